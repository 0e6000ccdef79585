"""Fault injection: the one place where tests make a run fail, at named points of real processes and files."""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable
from typing import Literal

VARIABLE = "STORYLOOM_FAULTS"
"""Environment variable with ``module:function``; the function is called at each point. Unset outside tests."""

Point = Literal["video", "row", "group"]
"""Before a stage gets a video; after it returned a row; after a group's files are written, before their mark."""


def at(point: Point, stage: str, what: str) -> None:
    """Call the test's function, which e.g. kills the process; `what` is the video's key or the group's id."""
    fault = _fault(os.environ.get(VARIABLE, ""))
    if fault is not None:
        fault(point, stage, what)


@functools.cache
def _fault(name: str) -> Callable[[str, str, str], None] | None:
    if not name:
        return None
    module, _, function = name.partition(":")
    found: Callable[[str, str, str], None] = getattr(importlib.import_module(module), function)
    return found
