"""The one place where a test makes a run fail on purpose: real processes and real files, at a named point."""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable
from typing import Literal

VARIABLE = "STORYLOOM_FAULTS"
"""Environment variable with ``module:function``; the function is called at each point. Unset outside tests."""

Point = Literal["video", "row", "group"]
"""A stage is about to be given a video; it returned a row; a group's files are written and have no mark yet."""


def at(point: Point, stage: str, what: str) -> None:
    """Let a test's function act here, e.g. kill the process; `what` is the key of the video, or the group's id."""
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
