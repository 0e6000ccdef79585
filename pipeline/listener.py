"""Who is told how a run goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pipeline.plan import Plan
from pipeline.progress import Advance, Tail
from pipeline.status import StageStatus
from schemas.calibration import Calibration


class Listener(Protocol):
    """Who is told how a run goes, e.g. the terminal."""

    def planned(self, before: Sequence[StageStatus], plan: Plan, duplicates: int, runner: str) -> None:
        """The plan stands; nothing has run yet."""

    def started(self, logs: str) -> None:
        """The runner is there; its logs are at `logs`, which is empty when it has none."""

    def advanced(self, done: Advance) -> None:
        """A part or group of a stage is done; called from several threads."""

    def finished(self, after: Sequence[StageStatus], calibration: Calibration | None, tail: Tail | None) -> None:
        """All that was asked for is done."""
