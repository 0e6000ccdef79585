"""The documents that a page shows, as storyboards."""

from __future__ import annotations

import base64
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

import numpy as np

from storyloom.format.manifest import Published
from storyloom.format.reader import ShardReader
from storyloom.format.sample import Sample
from storyloom.format.shard import Shard
from storyloom.format.words import count_words
from storyloom.view.text import LONGEST_SENTENCE, shown

BUDGET = 24_000_000
"""Bytes of JPEGs on a page, our choice: base64 adds a third, and a browser opens 32 MB without waiting."""

PLAYABLE = ("https://", "http://")
"""Schemes that a title may link to; any other URL stays plain text."""


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


@dataclass(frozen=True)
class Picture:
    """A frame on a storyboard.

    Attributes:
        time: Seconds.
        width: Pixels.
        height: Pixels.
        source: Its JPEG as a data: URI; empty where the page had no room left.
        score: Similarity with its text; None without a text.
        shift: Seconds by which its text was moved.
        sentence: Its own text, if that is not the one right below it.
        reason: Why it was dropped; empty for a document's frame.
    """

    time: float
    width: int
    height: int
    source: str
    score: float | None = None
    shift: float = 0.0
    sentence: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Caption:
    """A sentence on a storyboard: seconds, text, and whether it is that of the frame above it."""

    start: float
    end: float
    text: str
    own: bool


@dataclass
class Beat:
    """A frame and the sentences up to the next one; no frame where a document starts with words."""

    picture: Picture | None
    lines: list[Caption] = field(default_factory=list)


@dataclass(frozen=True)
class Story:
    """A document on the page.

    Attributes:
        sample: As the shard holds it.
        shard: Path of its shard in the dataset.
        beats: In time order.
        dropped: How many of the beats are dropped frames.
    """

    sample: Sample
    shard: str
    beats: list[Beat]
    dropped: int

    @property
    def title(self) -> str:
        """The document's heading."""
        sample = self.sample
        return sample.title or sample.video_url.rstrip("/").rsplit("/", 1)[-1] or sample.video_id or sample.sample_id

    @property
    def link(self) -> str:
        """URL of the video; empty when it is not a web page."""
        return self.sample.video_url if self.sample.video_url.lower().startswith(PLAYABLE) else ""

    @property
    def words(self) -> int:
        """Of its texts."""
        return sum(count_words(text) for text in self.sample.spoken)

    @property
    def score(self) -> float | None:
        """Mean similarity of its frames with a text; None without any."""
        pairs = zip(self.sample.image_clip_score, self.sample.image_text_index, strict=True)
        scores = [score for score, text in pairs if text >= 0]
        return fmean(scores) if scores else None


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


def gallery_videos(output: Path, published: Published, count: int) -> list[str]:
    """Ids of the videos whose documents a gallery of this size shows.

    Raises:
        BadShard: A shard is damaged or does not match the manifest.
    """
    reader = ShardReader(output)
    chosen = (next(reader.json_only(shard, range(n, n + 1))) for shard, n in _spread(published.shards, count))
    return sorted({stored.sample().video_id for stored in chosen})


def gallery(output: Path, published: Published, count: int, dropped: DroppedFrames) -> list[Story]:
    """Documents at equal distances over the shards, the same ones every time.

    Args:
        output: Folder of the dataset.
        published: Its manifest.
        count: How many documents, at most.
        dropped: Dropped frames, shown in time order inside the documents.

    Raises:
        BadShard: A shard is damaged or does not match the manifest.
    """
    reader = ShardReader(output)
    chosen = list(_spread(published.shards, count))
    budget = Budget(len(chosen), BUDGET)
    stories = []
    for shard, number in chosen:
        (stored,) = reader.pick([(shard, number)])
        sample = stored.sample()
        images = stored.pictures(sample)
        budget.next_share()
        inside = [f for f in dropped.get(sample.video_id, []) if sample.doc_start <= f.time <= sample.doc_end]
        beats = list(_beats(sample, images, budget))
        stories.append(Story(sample, shard.file, _with_dropped(beats, inside, budget), len(inside)))
    return stories


def _spread(shards: Sequence[Shard], count: int) -> Iterator[tuple[Shard, int]]:
    """Shard and number in it of documents at equal distances over all shards."""
    ends = np.cumsum([shard.nsamples for shard in shards]).tolist()
    total = ends[-1] if ends else 0
    count = min(count, total)
    for n in range(count):
        place = (2 * n + 1) * total // (2 * count)
        shard = bisect_left(ends, place + 1)
        yield shards[shard], place - (ends[shard] - shards[shard].nsamples)


def _beats(sample: Sample, images: Sequence[bytes], budget: Budget) -> Iterator[Beat]:
    beat = Beat(None)
    spoken = [shown(one, LONGEST_SENTENCE) for one in sample.spoken]  # frames may quote it, up to a thousand times
    image = text = 0
    for position, sentence in enumerate(sample.texts):
        if sentence is not None:
            own = beat.picture is not None and sample.image_text_index[image - 1] == text
            beat.lines.append(Caption(sample.text_start[text], sample.text_end[text], spoken[text], own))
            text += 1
            continue
        if beat.picture or beat.lines:
            yield beat
        below = range(text, text + _texts_after(sample, position))
        own_text = sample.image_text_index[image]
        quoted = spoken[own_text] if own_text >= 0 and own_text not in below else ""
        beat = Beat(_picture(sample, image, budget.uri(images[image]), quoted))
        image += 1
    yield beat


def _texts_after(sample: Sample, position: int) -> int:
    """How many texts stand between an image and the next one."""
    following = sample.images[position + 1 :]
    return next((n for n, image in enumerate(following) if image is not None), len(following))


def _picture(sample: Sample, image: int, source: str, sentence: str) -> Picture:
    return Picture(
        time=sample.image_time[image],
        width=sample.image_width[image],
        height=sample.image_height[image],
        source=source,
        score=sample.image_clip_score[image] if sample.image_text_index[image] >= 0 else None,
        shift=sample.image_shift[image],
        sentence=sentence,
    )


def _with_dropped(beats: Sequence[Beat], dropped: Sequence[DroppedFrame], budget: Budget) -> list[Beat]:
    """The beats with dropped frames between them, so that all frames are in time order."""

    def time(beat: Beat) -> float:
        return beat.picture.time if beat.picture else beat.lines[0].start

    pictures = [
        Picture(frame.time, frame.width, frame.height, budget.uri(frame.jpeg), reason=frame.reason) for frame in dropped
    ]
    return sorted([*beats, *map(Beat, pictures)], key=time)
