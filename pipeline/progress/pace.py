"""The pace of a run: how fast its stages are, and what that says of the time that is left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from threading import Lock

from pipeline.lineage import CORPUS
from pipeline.progress.listener import Advance

RECENT = 32
"""Finished units of a stage that its speed and the time left go by: the last ones (our choice)."""

TOGETHER = 0.05
"""Seconds within which units count as finished together: Ray's are found in bunches (our choice)."""

LONGEST_BUNCH = 5.0
"""Seconds of a bunch after which another begins (our choice)."""

FEW = 3
"""Finished parts after which there is something to say of the others (our choice)."""


@dataclass
class StagePace:
    """The progress of one stage in this run.

    Attributes:
        units: Number of units to do.
        done: Of them.
        videos: In finished units.
        failed: Videos that failed in this stage.
        ends: When the last units ended, and their seconds of media.
        first: Seconds of the run that went by for the first unit, before which models are loaded; see `Pace`.
        costs: Those for the last units after it.
    """

    units: int
    done: int = 0
    videos: int = 0
    failed: int = 0
    ends: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=RECENT + 1))
    first: float | None = None
    costs: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    @property
    def left(self) -> int:
        """Units that are still to do."""
        return self.units - self.done

    def speed(self, now: float) -> float:
        """Hours of media an hour over the last units; 0.0 while it is not known."""
        if len(self.ends) <= 1:
            return 0.0
        seconds = (now if self.left else self.ends[-1][0]) - self.ends[0][0]
        return sum(media for _, media in list(self.ends)[1:]) / seconds if seconds > TOGETHER else 0.0

    @property
    def unit_seconds(self) -> float | None:
        """Seconds of the run for a unit, without the first one as soon as there are others; None if not known."""
        return sum(self.costs) / len(self.costs) if self.costs else self.first

    def cost(self, seconds: float) -> None:
        """Add what a unit took of the run."""
        if self.first is None:
            self.first = seconds
        else:
            self.costs.append(seconds)


def about(seconds: float) -> str:
    """A time in words, as far as an estimate goes: ``about 3 h``."""
    for size, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 1.5 * size:
            amount = seconds / size
            return f"about {amount:.0f} {unit}" if amount >= 10.0 else f"about {amount:.2g} {unit}"  # noqa: PLR2004
    return f"about {max(1, round(seconds))} s"


class Pace:
    """The finished units of a run and their times.

    The time between two finished units is that of the stage which finished the latter, so that all times add up to the
    run's, whether one process works or many do; units that end together share it.

    Args:
        to_do: Units that the run has to do, by stage.
        clock: Gives the time in seconds.
        earlier: Seconds for a unit in an earlier run, by stage, which hold until this run knows better.
    """

    def __init__(
        self,
        to_do: Mapping[str, int],
        clock: Callable[[], float] = time.monotonic,
        earlier: Mapping[str, float] | None = None,
    ) -> None:
        self.stages = {name: StagePace(units) for name, units in to_do.items()}
        self.clock = clock
        self._earlier = earlier or {}
        self._began = self._last = clock()
        self._bunch: list[str] = []
        self._bunch_seconds = self._bunch_began = 0.0
        self._lock = Lock()

    def begin(self) -> None:
        """Start the clock again: what went before, such as Ray's start, is no stage's time."""
        self._began = self._last = self.clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return self.clock() - self._began

    def add(self, done: Advance) -> StagePace:
        """Count a finished unit; called from several threads."""
        with self._lock:
            stage = self.stages.setdefault(done.stage, StagePace(1))
            if done.unit == CORPUS and not stage.left:
                return stage  # the result over its parts
            now = self.clock()
            if now - self._last > TOGETHER or now - self._bunch_began > LONGEST_BUNCH:
                self._share_out()
            if not self._bunch:
                self._bunch_began = now
            self._bunch_seconds += now - self._last
            self._bunch.append(done.stage)
            self._last = now
            stage.done = stage.units if done.unit == CORPUS else stage.done + 1
            stage.videos += done.videos
            stage.failed += done.failed
            stage.ends.append((now, done.seconds))
            return stage

    def left(self) -> tuple[float, tuple[str, ...]]:
        """Seconds that the rest takes, and the stages whose time is not known and is not in it."""
        with self._lock:
            per_unit = {name: self._seconds(name) for name, stage in self.stages.items() if stage.left > 0}
            seconds = sum(took * self.stages[name].left for name, took in per_unit.items() if took is not None)
            return seconds, tuple(name for name, took in per_unit.items() if took is None)

    def unit_seconds(self) -> dict[str, float]:
        """Seconds for a unit of each stage whose time is known of this run."""
        with self._lock:
            self._share_out()
            found = {name: stage.unit_seconds for name, stage in self.stages.items()}
        return {name: seconds for name, seconds in found.items() if seconds is not None}

    def through(self, stages: Collection[str]) -> int:
        """Units that went through all of some stages that have begun."""
        return min((self.stages[name].done for name in self.begun(stages)), default=0)

    def begun(self, stages: Collection[str]) -> list[str]:
        """Those of some stages that have finished a unit."""
        return [name for name, stage in self.stages.items() if name in stages and stage.done]

    def _seconds(self, name: str) -> float | None:
        known = self.stages[name].unit_seconds
        return self._earlier.get(name) if known is None else known

    def _share_out(self) -> None:
        """Share the time of the units that ended together out among them."""
        for name in self._bunch:
            self.stages[name].cost(self._bunch_seconds / len(self._bunch))
        self._bunch, self._bunch_seconds = [], 0.0
