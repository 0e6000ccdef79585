"""What a runner is: something that brings parts through stages, wherever that happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from pipeline.execute import Job

OnDone = Callable[[str, str], None]
"""Called with a stage's name and the id of the part or group that became done."""


class Runner(Protocol):
    """Where stages run. Whatever runs them, the bytes are the same.

    Attributes:
        overlaps: Whether its methods may be called from several threads, so that work goes on beside other work.
    """

    overlaps: bool

    def rows(self, job: Job, stages: Sequence[str], parts: Sequence[str], on_done: OnDone) -> None:
        """Bring parts through row stages, named in the pipeline's order; what is done already is left alone."""

    def write(self, job: Job, groups: dict[str, tuple[str, ...]], on_done: OnDone) -> None:
        """Write groups of parts, by id, into shards; what is done already is left alone."""
