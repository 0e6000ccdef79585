"""Bounds on the frames of a video: of more than they allow, an even share is kept."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

from schemas.rows import SampledFrame

ItemT = TypeVar("ItemT")

MINUTE = 60.0


@dataclass(frozen=True)
class Most:
    """Bounds on the frames of a video.

    Attributes:
        per_minute: Most frames of each minute of it.
        frames: Most frames of all of it.
        bytes: Most bytes of their JPEGs.
    """

    per_minute: int
    frames: int
    bytes: int


class Thinned:
    """Collects frames in time order. At most a minute of them is in memory; the others wait in a temporary file.

    Args:
        most: Bounds.

    Attributes:
        left_out: Number of frames that are left out so far.
    """

    def __init__(self, most: Most) -> None:
        self.left_out = 0
        self._most = most
        self._minute: list[tuple[SampledFrame, bytes]] = []
        self._waiting: list[tuple[SampledFrame, int]] = []  # with the size of its JPEG
        self._spool = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the last reference to it

    @property
    def last(self) -> SampledFrame | None:
        """The last added frame."""
        return self._minute[-1][0] if self._minute else None

    def add(self, frame: SampledFrame, jpeg: bytes) -> None:
        """Add a frame.

        Raises:
            OSError: It cannot be written.
        """
        if self.last and self.last.time // MINUTE != frame.time // MINUTE:
            self._end_minute()
        self._minute.append((frame, jpeg))

    def finished(self) -> tuple[list[SampledFrame], list[bytes]]:
        """The frames that are kept, and their JPEGs."""
        if self._minute:
            self._end_minute()
        sizes = [size for _, size in self._waiting]
        starts = [0, *accumulate(sizes)]
        kept = list(range(len(sizes)))
        while len(kept) > self._most.frames or sum(sizes[at] for at in kept) > self._most.bytes:
            affordable = int(len(kept) * self._most.bytes / sum(sizes[at] for at in kept))
            kept = evenly(kept, min(self._most.frames, affordable, len(kept) - 1))
        self.left_out += len(sizes) - len(kept)
        return [self._waiting[at][0] for at in kept], [self._read(starts[at], sizes[at]) for at in kept]

    def _end_minute(self) -> None:
        kept = evenly(self._minute, self._most.per_minute)
        self.left_out += len(self._minute) - len(kept)
        for frame, jpeg in kept:
            self._spool.write(jpeg)
            self._waiting.append((frame, len(jpeg)))
        self._minute = []

    def _read(self, start: int, size: int) -> bytes:
        self._spool.seek(start)
        return self._spool.read(size)


def evenly(items: Sequence[ItemT], most: int) -> list[ItemT]:
    """At most so many of the items, in their order and evenly spread over them."""
    if len(items) <= most:
        return list(items)
    return [items[(2 * number + 1) * len(items) // (2 * most)] for number in range(most)]
