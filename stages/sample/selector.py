"""The selection of a video's frames by Emu3.5's rule, over a stream of candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

PictureT = TypeVar("PictureT")

ROUNDING = 1e-6
"""Tolerance of sums of times, in seconds."""


@dataclass(frozen=True, slots=True)
class Candidate(Generic[PictureT]):
    """A decoded frame that may be kept.

    Attributes:
        time: Presentation time in seconds, rounded to 1 ms.
        cut: Whether a scene begins with it, by its difference from the previous frame.
        picture: The frame.
    """

    time: float
    cut: bool
    picture: PictureT


@dataclass(frozen=True, slots=True)
class SelectedFrame(Generic[PictureT]):
    """A selected candidate, the number of its scene, from 0, and where its scene or its interval of one begins."""

    candidate: Candidate[PictureT]
    scene: int
    start: float


class FrameSelector(Generic[PictureT]):
    """Selects from candidates in time order; it holds at most one interval of them in memory.

    A scene shorter than the interval gives its middle frame; a longer one gives one frame per interval (Emu3.5,
    arXiv 2510.26583, section 3.1). Which frame of an interval is our choice: the middle of each whole interval counted
    from the scene's start, and the middle of the rest when the rest is at least half an interval.

    Args:
        interval: Seconds.
        min_scene: Least seconds of a scene; an earlier cut is a flash, not a scene.
    """

    def __init__(self, interval: float, min_scene: float) -> None:
        self._interval = interval
        self._min_scene = min_scene
        self._scene = 0
        self._start = 0.0
        self._window = 0
        self._cut = False
        self._held: list[Candidate[PictureT]] = []

    def add(self, candidate: Candidate[PictureT]) -> list[SelectedFrame[PictureT]]:
        """Add a candidate and return the frames that are now selected.

        One that is not later than the last is left out; the scene that began with it begins with the next.
        """
        if not self._held:
            self._begin(candidate)
            return []
        if candidate.time <= self._held[-1].time:
            self._cut = self._cut or candidate.cut
            return []
        cut, self._cut = candidate.cut or self._cut, False
        if cut and candidate.time - self._start >= self._min_scene - ROUNDING:
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

    def finish(self, end: float) -> list[SelectedFrame[PictureT]]:
        """End the current scene at `end` seconds and return its remaining selected frame, if any."""
        rest = end - self._start - self._window * self._interval
        if not self._held or (self._window and rest < self._interval / 2 - ROUNDING):
            return []
        return [self._middle(min(rest, self._interval))]

    def _begin(self, first: Candidate[PictureT]) -> None:
        self._start, self._window, self._held = first.time, 0, [first]

    def _middle(self, length: float) -> SelectedFrame[PictureT]:
        """The held candidate nearest to the middle of the current window, which is `length` seconds long."""
        start = self._start + self._window * self._interval
        middle = start + length / 2
        return SelectedFrame(min(self._held, key=lambda held: abs(held.time - middle)), self._scene, start)
