"""The interface of executors, which bring units through stages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pipeline.workspace import Work, Workspace
from storyloom.errors import RunFailed

OnDone = Callable[[str, str], None]
"""Called with a stage's name and the id of the unit that became done."""

ATTEMPTS = 3
"""Rounds without a finished unit before a run gives up (our choice)."""


class UnitsMissing(RunFailed):
    """Units are missing after several attempts; finished units are kept.

    Args:
        message: The last problem.
        upstream: Whether their inputs have to be done again first.
    """

    def __init__(self, message: str, *, upstream: bool = False) -> None:
        super().__init__(message)
        self.upstream = upstream


class Executor(Protocol):
    """Runs stages. All executors give the same bytes.

    Attributes:
        overlaps: Whether `run` may be called from several threads at once.
    """

    overlaps: bool

    def run(self, workspace: Workspace, work: Work, on_done: OnDone) -> None:
        """Bring units through stages; finished units are left as they are.

        Raises:
            UnitsMissing: Some are missing after several attempts.
            RunFailed: No further attempt would help.
        """
