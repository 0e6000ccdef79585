"""The rows that a stage returns for the videos of a part: put into order, and held against the contract of stages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipeline import seam
from schemas.row import Row, RowError
from stages.base import Stage, Video, passed_on


class ContractBroken(RuntimeError):
    """A stage returned other rows than one for each of its videos, or rows of two stages do not match."""


def rows_in_order(
    stage: Stage[Any, Any], videos: Iterable[Video], given_up: Mapping[str, RowError] | None = None
) -> Iterator[Row]:
    """The stage's rows in the order of the videos; rows of ended videos are passed on.

    Args:
        stage: Set up.
        videos: In the order of the part.
        given_up: Errors of videos that the stage does not get, by key.

    Raises:
        ContractBroken: The stage returned other rows than one for each video.
    """
    order = _InOrder(stage)

    def live() -> Iterator[Video]:
        for video in videos:
            order.expect(video.key)
            ended = passed_on(stage, video)
            if ended is None and given_up and video.key in given_up:
                ended = stage.row(video=video.key, error=given_up[video.key])
            if ended is None:
                yield video
            else:
                order.put(ended)

    remaining = live()
    for row in handed(stage, remaining):
        order.put(row)
        if type(row) is stage.row:
            seam.at("row", stage.name, row.video)
        yield from order.whole(before=row.video)
    if (left := next(remaining, None)) is not None:
        raise ContractBroken(f"{stage.name} ended before it took {left.key} and the videos after it")
    yield from order.whole()
    order.check_empty()


def handed(stage: Stage[Any, Any], videos: Iterable[Video]) -> Iterator[Row]:
    """The rows that a stage returns for videos, in its own order."""

    def announced() -> Iterator[Video]:
        for video in videos:
            seam.at("video", stage.name, video.key)
            yield video

    return stage.process(announced())


class _InOrder:
    """A buffer that puts rows into the order of their videos."""

    def __init__(self, stage: Stage[Any, Any]) -> None:
        self._stage = stage
        self._waiting: dict[str, list[Row]] = {}
        self._finished: set[str] = set()

    def expect(self, video: str) -> None:
        """Expect rows of a video, after those of earlier expected videos."""
        self._waiting[video] = []

    def put(self, row: Row) -> None:
        """Add a row.

        Raises:
            ContractBroken: Its video is not expected, or has its row already.
        """
        main = type(row) is self._stage.row
        if row.video not in self._waiting or (main and row.video in self._finished):
            name = self._stage.name
            raise ContractBroken(f"{name} returned a row for {row.video}, which it was not given or did twice")
        self._waiting[row.video].append(row)
        if main:
            self._finished.add(row.video)

    def whole(self, before: str = "") -> Iterator[Row]:
        """The rows of the leading finished videos; rows of `before` may still come."""
        while self._waiting:
            video = next(iter(self._waiting))
            if video not in self._finished or video == before:
                return
            yield from self._waiting.pop(video)

    def check_empty(self) -> None:
        """Check that no expected row is missing.

        Raises:
            ContractBroken: One does.
        """
        if self._waiting:
            raise ContractBroken(f"{self._stage.name} returned no row for {next(iter(self._waiting))}")
