"""The difference of two finished datasets: figures, the largest changes, and frames that only one of them has."""

from __future__ import annotations

import hashlib
import heapq
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar

from storyloom.diff.by_video import ByVideo
from storyloom.diff.compare import LoneFrame, Other, VideoDiff, compare
from storyloom.diff.settings import Setting, settings
from storyloom.format.manifest import Published, finished_dataset
from storyloom.format.model import Model
from storyloom.format.reader import ShardReader

LARGEST = 20
"""Videos that are named (our choice)."""

EXAMPLES = 24
"""Frames of each dataset that are shown (our choice)."""

Item = TypeVar("Item", bound=tuple[Any, ...])

WhyDropped = Callable[[str, float], str]
"""Why a run dropped a frame, by its video's id and its time in seconds; empty where it does not know."""

OnShard = Callable[[int, int], None]
"""Called after each shard with the number of shards done and their total."""


class Side(Model):
    """One of two datasets.

    Attributes:
        address: Its folder or URL, without what may be secret in it.
        name: As its manifest says.
        sha256: As its manifest says.
        videos: With a document.
        documents: In all.
        frames: In all.
        words: In all.
    """

    address: str
    name: str
    sha256: str
    videos: int
    documents: int
    frames: int
    words: int


class Alone(Model):
    """What only one of two datasets has.

    Attributes:
        videos: Without a document in the other one.
        documents: At whose times the other one has none.
        changed: Documents at whose times the other one has others.
        changes: Of those, by what is different: docs/diff.md lists it; a document may count under several.
        frames: At whose times the other one has none.
        frame_reasons: Of those, why the other one lacks them.
        words: Which the other one has not at their time.
        word_reasons: Of those, why.
    """

    videos: int = 0
    documents: int = 0
    changed: int = 0
    changes: dict[str, int] = {}
    frames: int = 0
    frame_reasons: dict[str, int] = {}
    words: int = 0
    word_reasons: dict[str, int] = {}


class VideoChange(Model):
    """A video that changed: documents, frames and words lost and gained, and the most frequent reason of each."""

    video: str
    title: str
    documents: tuple[int, int]
    frames: tuple[int, int]
    words: tuple[int, int]
    reasons: tuple[str, str]


class FrameChange(Model):
    """A frame that only one dataset has.

    Attributes:
        video: Id of its video.
        title: Of its video.
        time: Seconds.
        score: Similarity with its sentence; None without one.
        sentence: Its sentence; empty without one.
        reason: Why the other dataset lacks it.
        shard: Path within the dataset of its shard.
        document: Number of its document in the shard.
        image: Number of the image in the document.
    """

    video: str
    title: str
    time: float
    score: float | None
    sentence: str
    reason: str
    shard: str
    document: int
    image: int


class Difference(Model):
    """Two datasets beside each other.

    Attributes:
        first: The first dataset.
        second: The second.
        equal: Whether both have the same documents under the same keys, whatever their order and shards.
        settings: With which they were made, where they differ.
        pictures_compared: Whether pictures and their codes were read; otherwise a frame is the same where its time and
            size are, and whether it has codes.
        lost: What only the first has.
        gained: What only the second has.
        same_documents: With the same content.
        renamed_documents: Of those, under another key.
        same_frames: At the same time.
        other_pictures: Of those, with another picture.
        other_codes: Of those, with other codes, or with codes in one dataset alone.
        other_pairings: Of those, with another sentence as their own.
        other_scores: Of those, with the same sentence and another score or shift.
        largest: Videos with the largest changes.
        lost_frames: A sample of the frames that only the first has, the same one every time.
        gained_frames: A sample of those that only the second has.
    """

    first: Side
    second: Side
    equal: bool
    settings: list[Setting]
    pictures_compared: bool
    lost: Alone
    gained: Alone
    same_documents: int
    renamed_documents: int
    same_frames: int
    other_pictures: int
    other_codes: int
    other_pairings: int
    other_scores: int
    largest: list[VideoChange]
    lost_frames: list[FrameChange]
    gained_frames: list[FrameChange]


@dataclass(frozen=True, slots=True)
class Compared:
    """A dataset that is compared.

    Attributes:
        place: Its folder or URL.
        why_dropped: Of the run that made it; None where its work folder is not known.
    """

    place: str | os.PathLike[str]
    why_dropped: WhyDropped | None = None


def diff(
    first: Compared, second: Compared, *, pictures: bool = True, on_shard: OnShard = lambda _done, _of: None
) -> Difference:
    """Compare two datasets. Each is read once; memory holds one video at a time, a temporary file the documents.

    Args:
        first: The one that is taken for the earlier.
        second: The later.
        pictures: Whether to read the pictures and their codes, too, but for those in shards that both have.
        on_shard: Called with the progress.

    Raises:
        UsageError: There is no finished dataset at a place.
        BadDataset: One is damaged.
    """
    sides = first, second
    published = finished_dataset(first.place), finished_dataset(second.place)
    readers = ShardReader(first.place), ShardReader(second.place)
    shared = {one.sha256 for one in published[0].shards} & {one.sha256 for one in published[1].shards}
    total, done = sum(len(one.shards) for one in published), count(1)
    sums = _Sums()
    with ByVideo() as documents:
        for side in (0, 1):
            documents.add(
                side, readers[side], published[side], shared if pictures else None, lambda: on_shard(next(done), total)
            )
        lowest = documents.lowest if _same_model(*published) else [None, None]
        for pair in documents.videos(*published):
            found = compare(pair, (Other(lowest[1]), Other(lowest[0])))
            for side in (0, 1):
                _ask(sides[1 - side].why_dropped, found, side)
            sums.add(found)
    return sums.difference(
        [reader.folder.address for reader in readers], published, settings(*published), pictures_compared=pictures
    )


def _same_model(first: Published, second: Published) -> bool:
    return first.provenance.revisions.get("score") == second.provenance.revisions.get("score")


def _ask(why_dropped: WhyDropped | None, found: VideoDiff, side: int) -> None:
    """Put the run's own reasons in the place of those that the datasets alone can tell."""
    if why_dropped is not None:
        mine = found.sides[side]
        mine.lone_frames = [
            LoneFrame(one.frame, one.place, why_dropped(found.video, one.frame.time / 1000) or one.reason)
            for one in mine.lone_frames
        ]


class _Sums:
    """Sums over videos, the largest changes and a sample of frames; memory is bounded."""

    def __init__(self) -> None:
        self._counts: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        self._reasons: dict[str, tuple[Counter[str], Counter[str]]] = {
            name: (Counter(), Counter()) for name in ("changes", "frames", "words")
        }
        self._both: Counter[str] = Counter()
        self._largest: list[tuple[tuple[int, int, int], str, int, VideoChange]] = []
        self._examples: tuple[list[tuple[int, int, FrameChange]], ...] = ([], [])
        self._number = count()  # heaps never compare what comes after it

    def add(self, found: VideoDiff) -> None:
        for side, mine in enumerate(found.sides):
            self._counts[side].update(
                videos=bool(mine.documents),
                lone_videos=bool(mine.documents) and not found.sides[1 - side].documents,
                documents=mine.documents,
                alone=mine.alone,
                changed=mine.changed,
                frames=mine.frames,
                lone_frames=len(mine.lone_frames),
                words=mine.words,
                lone_words=mine.lone_words.total(),
            )
            self._reasons["changes"][side].update(mine.changes)
            self._reasons["frames"][side].update(one.reason for one in mine.lone_frames)
            self._reasons["words"][side].update(mine.lone_words)
            for one in mine.lone_frames:
                self._keep_frame(side, found, one)
        names = ("renamed", "pictures", "codes", "pairings", "scores")
        self._both.update({name: getattr(found, name) for name in names})
        if any(found.size):
            item = (found.size, found.video, next(self._number), _change(found))
            _push(self._largest, item, LARGEST)

    def _keep_frame(self, side: int, found: VideoDiff, one: LoneFrame) -> None:
        draw = hashlib.blake2b(f"{one.frame.time} {found.video}".encode(), digest_size=8).digest()
        priority = -int.from_bytes(draw)  # a heap drops its smallest
        kept = self._examples[side]
        if len(kept) == EXAMPLES and priority <= kept[0][0]:
            return
        sentence = one.frame.sentence.text if one.frame.sentence else ""
        change = FrameChange(
            video=found.video,
            title=found.title,
            time=one.frame.time / 1000,
            score=one.frame.score,
            sentence=sentence,
            reason=one.reason,
            shard=one.place.shard,
            document=one.place.document,
            image=one.place.image,
        )
        _push(kept, (priority, next(self._number), change), EXAMPLES)

    def difference(
        self,
        addresses: list[str],
        published: tuple[Published, Published],
        differing: list[Setting],
        *,
        pictures_compared: bool,
    ) -> Difference:
        first, second = (
            Side(
                address=address,
                name=one.name,
                sha256=one.sha256,
                **{name: counts[name] for name in ("videos", "documents", "frames", "words")},
            )
            for address, one, counts in zip(addresses, published, self._counts, strict=True)
        )
        lost, gained = (self._alone(side) for side in (0, 1))
        lost_frames, gained_frames = (self._examples_of(side) for side in (0, 1))
        alone = (lost.documents, lost.changed, gained.documents, gained.changed)
        return Difference(
            first=first,
            second=second,
            equal=not any(alone) and not self._both["renamed"],
            settings=differing,
            pictures_compared=pictures_compared,
            lost=lost,
            gained=gained,
            same_documents=first.documents - lost.documents - lost.changed,
            renamed_documents=self._both["renamed"],
            same_frames=first.frames - lost.frames,
            other_pictures=self._both["pictures"],
            other_codes=self._both["codes"],
            other_pairings=self._both["pairings"],
            other_scores=self._both["scores"],
            largest=[one[-1] for one in sorted(self._largest, key=_by_size)],
            lost_frames=lost_frames,
            gained_frames=gained_frames,
        )

    def _alone(self, side: int) -> Alone:
        counts = self._counts[side]
        changes, frames, words = (_sorted(self._reasons[name][side]) for name in ("changes", "frames", "words"))
        return Alone(
            videos=counts["lone_videos"],
            documents=counts["alone"],
            changed=counts["changed"],
            changes=changes,
            frames=counts["lone_frames"],
            frame_reasons=frames,
            words=counts["lone_words"],
            word_reasons=words,
        )

    def _examples_of(self, side: int) -> list[FrameChange]:
        frames = (frame for _, _, frame in self._examples[side])
        return sorted(frames, key=lambda one: (one.video, one.time, one.shard, one.document, one.image))


def _by_size(item: tuple[tuple[int, int, int], str, int, VideoChange]) -> tuple[tuple[int, ...], str]:
    return tuple(-number for number in item[0]), item[1]


def _push(heap: list[Item], item: Item, most: int) -> None:
    """Keep the largest items."""
    if len(heap) < most:
        heapq.heappush(heap, item)
    else:
        heapq.heappushpop(heap, item)


def _change(found: VideoDiff) -> VideoChange:
    first, second = found.sides
    return VideoChange(
        video=found.video,
        title=found.title,
        documents=(first.alone + first.changed, second.alone + second.changed),
        frames=(len(first.lone_frames), len(second.lone_frames)),
        words=(first.lone_words.total(), second.lone_words.total()),
        reasons=(_main_reason(found, 0), _main_reason(found, 1)),
    )


def _main_reason(found: VideoDiff, side: int) -> str:
    mine = found.sides[side]
    reasons = Counter(one.reason for one in mine.lone_frames) or mine.lone_words or mine.changes
    return next(iter(_sorted(reasons)), "")


def _sorted(counts: Counter[str]) -> dict[str, int]:
    """The most frequent first."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def pictures_of(place: str | os.PathLike[str], frames: list[FrameChange]) -> Iterator[bytes]:
    """The JPEG of each frame, read from its dataset.

    Raises:
        BadDataset: The dataset is damaged.
    """
    reader = ShardReader(place)
    shards = {shard.file: shard for shard in finished_dataset(place).shards}
    for stored, frame in zip(reader.pick([(shards[one.shard], one.document) for one in frames]), frames, strict=True):
        yield stored.pictures(stored.sample())[frame.image]
