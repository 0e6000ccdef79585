"""What an executor is: something that brings units through stages, wherever that happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pipeline.workspace import Work, Workspace
from storyloom.errors import RunFailed

OnDone = Callable[[str, str], None]
"""Called with a stage's name and the id of the unit that became done."""

ATTEMPTS = 3
"""Rounds over what is missing that bring nothing, before a run gives up (our choice)."""


class UnitsMissing(RunFailed):
    """Units are missing after several attempts; what is done is kept.

    Args:
        message: The last problem.
        upstream: Whether what they read has to be done again first.
    """

    def __init__(self, message: str, *, upstream: bool = False) -> None:
        super().__init__(message)
        self.upstream = upstream


class Executor(Protocol):
    """Where stages run. Whatever runs them, the bytes are the same.

    Attributes:
        overlaps: Whether `run` may be called from several threads, so that work goes on beside other work.
    """

    overlaps: bool

    def run(self, workspace: Workspace, work: Work, on_done: OnDone) -> None:
        """Bring units through stages; what is done already is left alone.

        Raises:
            UnitsMissing: Some are missing after several attempts.
            RunFailed: No further attempt would help.
        """
