"""How a run goes: what became done, how fast, and how long its last part took."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.execute import Job
from pipeline.plan import part_rows
from pipeline.waves import media_seconds
from schemas.rows import MediaRow
from stages.registry import WRITE

TAIL = 0.05
"""Share of the work that counts as a run's tail."""

TAIL_VIDEOS = 3
"""Videos of the tail that are named, the longest ones."""

LEAST_FOR_A_TAIL = 40
"""Finished parts of stages from which a tail says something (our choice)."""


@dataclass(frozen=True)
class Advance:
    """A part or group that a stage finished.

    Attributes:
        stage: The stage's name.
        unit: Id of the part or group.
        videos: Videos in it; 0 for groups.
        failed: Videos that failed in this very stage.
        seconds: Of media; 0.0 for groups.
    """

    stage: str
    unit: str
    videos: int = 0
    failed: int = 0
    seconds: float = 0.0


def advance(job: Job, stage: str, unit: str) -> Advance:
    """What a finished part or group brought."""
    if stage == WRITE:
        return Advance(stage, unit)
    metrics = job.store.metrics(stage, job.digests[stage], unit)
    failed = sum(count for code, count in metrics.failed.items() if code.startswith(f"{stage}."))
    return Advance(stage, unit, metrics.videos, failed, media_seconds(job, unit))


@dataclass(frozen=True)
class Tail:
    """The end of a run, in which fewer and fewer workers have anything to do.

    Attributes:
        seconds: That the last 5 % of the work took, weighed by length of media.
        of: Seconds that all of it took.
        videos: The longest videos that were worked on then, with their seconds.
    """

    seconds: float
    of: float
    videos: tuple[tuple[str, float], ...]


@dataclass
class Pace:
    """Remembers when what was finished."""

    clock: Callable[[], float] = time.monotonic
    _began: float = 0.0
    _times: array[float] = field(default_factory=lambda: array("d"))
    _weights: array[float] = field(default_factory=lambda: array("d"))
    _parts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._began = self.clock()

    def add(self, done: Advance) -> None:
        """Note that a row stage finished a part."""
        if done.stage == WRITE:
            return
        self._times.append(self.clock() - self._began)
        self._weights.append(max(done.seconds, 1.0))
        self._parts.append(done.unit)

    def tail(self, job: Job) -> Tail | None:
        """How the run ended; None when too little was done to tell."""
        if len(self._parts) < LEAST_FOR_A_TAIL:
            return None
        left, position = TAIL * sum(self._weights), len(self._parts)
        while left > 0:
            position -= 1
            left -= self._weights[position]
        last = self._times[-1]
        begin = self._times[position - 1] if position else 0.0
        return Tail(last - begin, last, _longest_videos(job, sorted(set(self._parts[position:]))))


def _longest_videos(job: Job, parts: list[str]) -> tuple[tuple[str, float], ...]:
    store, digest = job.store, job.digests["download"]
    found = [
        (line.source_id, row.duration)
        for part in sorted(parts, key=lambda part: -media_seconds(job, part))[:TAIL_VIDEOS]
        for line, row in zip(part_rows(store.plan, part), store.rows("download", digest, part, MediaRow), strict=True)
    ]
    return tuple(sorted(found, key=lambda video: (-video[1], video[0]))[:TAIL_VIDEOS])
