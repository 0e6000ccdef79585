"""Measuring the sides of a comparison in turns, so that other load on the machine affects them equally."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from storyloom.errors import RunFailed

SHORT_SECONDS = 4.0
"""Sides that together take less than this per round take more turns, since short times vary more (our choice)."""

MORE_ROUNDS = 8
"""Most rounds, as a multiple of the requested ones (our choice)."""

Kind = Literal["limit", "ours", "peer"]

Turn = Callable[[], float]
"""Does a side's work once and returns its seconds, without set-up."""


class SideFailed(RunFailed):
    """A side cannot do its work; the others go on without it."""


@dataclass(frozen=True)
class Contender:
    """A side before it is measured.

    Attributes:
        name: Of the side.
        kind: ``limit``, ``ours`` or ``peer``.
        work: Does the work once and returns its seconds.
        setup_seconds: Of earlier set-up, e.g. loading models; None without any, or if the side reports it later.
    """

    name: str
    kind: Kind
    work: Turn
    setup_seconds: float | None = None


class Side(BaseModel):
    """A side of a comparison, measured.

    Attributes:
        name: Of the side.
        kind: ``limit``, ``ours`` or ``peer``.
        seconds: Wall time of each round, without set-up.
        setup_seconds: Of loading models and the like, measured separately; None without any.
        failed: Why it did not finish; empty when it did.
    """

    name: str
    kind: Kind
    seconds: list[float] = []
    setup_seconds: float | None = None
    failed: str = ""

    @property
    def median(self) -> float | None:
        """Seconds; None for a side that failed."""
        return statistics.median(self.seconds) if self.seconds and not self.failed else None


class Comparison(BaseModel):
    """The sides that did the same work.

    Attributes:
        work: The work.
        media_seconds: Length of the videos.
        sides: Limits, ours and peers, in the order in which they took turns.
    """

    work: str
    media_seconds: float
    sides: list[Side]

    @property
    def limit(self) -> float | None:
        """Median seconds of the limit."""
        return self._first("limit")

    @property
    def ours(self) -> float | None:
        """Median seconds of our first side, the one with the config's own settings."""
        return self._first("ours")

    def _first(self, kind: Kind) -> float | None:
        return next((side.median for side in self.sides if side.kind == kind), None)


def interleaved(contenders: Sequence[Contender], rounds: int) -> list[Side]:
    """Measure the sides in turns, a b c a b c; a side that fails leaves the turns.

    Args:
        contenders: In the order of their turns.
        rounds: Least rounds; short ones are repeated up to `SHORT_SECONDS` or `MORE_ROUNDS` of each.
    """
    sides = {one.name: Side(name=one.name, kind=one.kind, setup_seconds=one.setup_seconds) for one in contenders}
    for number in range(MORE_ROUNDS * rounds):
        if number >= rounds and sum(sum(side.seconds) for side in sides.values()) >= SHORT_SECONDS * rounds:
            break
        for one in contenders:
            side = sides[one.name]
            if side.failed:
                continue
            try:
                side.seconds.append(one.work())
            except SideFailed as reason:
                side.failed = str(reason)
    return list(sides.values())


def timed(work: Callable[[], object]) -> float:
    """Seconds of wall time that a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
