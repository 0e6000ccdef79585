"""The documents that a page shows, as storyboards."""

from __future__ import annotations

import base64
import os
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from storyloom.format.manifest import Published
from storyloom.format.reader import ShardReader
from storyloom.format.shard import Shard
from storyloom.view.storyboard import Beat, Picture, Story, beats

BUDGET = 24_000_000
"""Bytes of JPEGs on a page, our choice: base64 adds a third, and a browser opens 32 MB without waiting."""


@dataclass(frozen=True)
class DroppedFrame:
    """A frame that is in no document.

    Attributes:
        time: Seconds from the start of the video.
        reason: Reason of the drop, as docs/errors.md lists it.
        width: Pixels.
        height: Pixels.
        jpeg: The picture.
    """

    time: float
    reason: str
    width: int
    height: int
    jpeg: bytes


DroppedFrames = Mapping[str, Sequence[DroppedFrame]]
"""Dropped frames in time order, by the id that the manifest gives their video."""


class Budget:
    """The page's byte budget for pictures: each document may use its share and what earlier ones left."""

    def __init__(self, shares: int, total: int) -> None:
        self._share = total // max(1, shares)
        self._left = 0

    def next_share(self) -> None:
        """Begin the next document."""
        self._left += self._share

    def uri(self, jpeg: bytes) -> str:
        """The picture as a data: URI; empty where there is no room."""
        if len(jpeg) > self._left:
            return ""
        self._left -= len(jpeg)
        return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def gallery_videos(output: str | os.PathLike[str], published: Published, count: int) -> list[str]:
    """Ids of the videos whose documents a gallery of this size shows.

    Raises:
        BadShard: A shard is damaged or does not match the manifest.
    """
    reader = ShardReader(output)
    chosen = (next(reader.json_only(shard, range(n, n + 1))) for shard, n in spread(published.shards, count))
    return sorted({stored.sample().video_id for stored in chosen})


def gallery(output: str | os.PathLike[str], published: Published, count: int, dropped: DroppedFrames) -> list[Story]:
    """Documents at equal distances over the shards, the same ones every time.

    Args:
        output: Folder of the dataset, or its URL.
        published: Its manifest.
        count: How many documents, at most.
        dropped: Dropped frames, shown in time order inside the documents.

    Raises:
        BadShard: A shard is damaged or does not match the manifest.
    """
    reader = ShardReader(output)
    chosen = list(spread(published.shards, count))
    budget = Budget(len(chosen), BUDGET)
    stories = []
    for shard, number in chosen:
        (stored,) = reader.pick([(shard, number)])
        sample = stored.sample()
        images = stored.pictures(sample)
        budget.next_share()
        inside = [f for f in dropped.get(sample.video_id, []) if sample.doc_start <= f.time <= sample.doc_end]
        sources = [budget.uri(image) for image in images]
        told = list(beats(sample, sources.__getitem__))
        stories.append(Story(sample, shard.file, _with_dropped(told, inside, budget), len(inside)))
    return stories


def spread(shards: Sequence[Shard], count: int) -> Iterator[tuple[Shard, int]]:
    """Shard and number in it of documents at equal distances over all shards."""
    ends = np.cumsum([shard.nsamples for shard in shards]).tolist()
    total = ends[-1] if ends else 0
    count = min(count, total)
    for n in range(count):
        place = (2 * n + 1) * total // (2 * count)
        shard = bisect_left(ends, place + 1)
        yield shards[shard], place - (ends[shard] - shards[shard].nsamples)


def _with_dropped(told: Sequence[Beat], dropped: Sequence[DroppedFrame], budget: Budget) -> list[Beat]:
    """The beats with dropped frames between them, so that all frames are in time order."""

    def time(beat: Beat) -> float:
        return beat.picture.time if beat.picture else beat.lines[0].start

    pictures = [
        Picture(frame.time, frame.width, frame.height, budget.uri(frame.jpeg), reason=frame.reason) for frame in dropped
    ]
    return sorted([*told, *map(Beat, pictures)], key=time)
