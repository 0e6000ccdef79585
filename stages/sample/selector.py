"""Which frames of a video are kept: Emu3.5's rule, over a stream of candidates."""

from __future__ import annotations

from dataclasses import dataclass

ROUNDING = 1e-6
"""Seconds by which sums of times may be off."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A decoded frame that may be kept.

    Attributes:
        time: Presentation time in seconds, rounded to 1 ms.
        cut: Whether the picture changed so much against the frame before it that a scene begins.
        jpeg: The frame.
    """

    time: float
    cut: bool
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class SelectedFrame:
    """A candidate that was kept, and the number of its scene, from 0."""

    candidate: Candidate
    scene: int


class FrameSelector:
    """Picks from candidates that arrive in time order; it never holds more than one interval of them.

    A scene shorter than the interval gives its middle frame; a longer one gives one frame per interval (Emu3.5,
    arXiv 2510.26583, section 3.1). Which frame of an interval is our choice: the middle of each whole interval counted
    from the scene's start, and the middle of the rest when the rest is at least half an interval.

    Args:
        interval: Seconds.
        min_scene: Seconds that a scene lasts at least; a cut that follows sooner is a flash, not a scene.
    """

    def __init__(self, interval: float, min_scene: float) -> None:
        self._interval = interval
        self._min_scene = min_scene
        self._scene = 0
        self._start = 0.0
        self._window = 0
        self._held: list[Candidate] = []

    def add(self, candidate: Candidate) -> list[SelectedFrame]:
        """What is certain to be kept now that this candidate came; one not later than the last is passed over."""
        if not self._held:
            self._begin(candidate)
            return []
        if candidate.time <= self._held[-1].time:
            return []
        if candidate.cut and candidate.time - self._start >= self._min_scene - ROUNDING:
            selected = self.finish(candidate.time)
            self._scene += 1
            self._begin(candidate)
            return selected
        window = int((candidate.time - self._start + ROUNDING) / self._interval)
        if window == self._window:
            self._held.append(candidate)
            return []
        selected = [self._middle(self._interval)]
        self._window, self._held = window, [candidate]
        return selected

    def finish(self, end: float) -> list[SelectedFrame]:
        """What is kept of the running scene when it ends at `end` seconds."""
        rest = end - self._start - self._window * self._interval
        if not self._held or (self._window and rest < self._interval / 2 - ROUNDING):
            return []
        return [self._middle(min(rest, self._interval))]

    def _begin(self, first: Candidate) -> None:
        self._start, self._window, self._held = first.time, 0, [first]

    def _middle(self, length: float) -> SelectedFrame:
        """The held candidate nearest to the middle of the running window, which is `length` seconds long."""
        middle = self._start + self._window * self._interval + length / 2
        return SelectedFrame(min(self._held, key=lambda held: abs(held.time - middle)), self._scene)
