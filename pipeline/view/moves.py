"""Moves: what other settings of `filter` would keep, counted over a seeded sample of parts that grows."""

from __future__ import annotations

import heapq
import math
import random
import time
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.view.recorded import Recorded, parts_recorded, recorded_part
from pipeline.view.tuning import Known, Outcome, Retuned, outcome, results
from pipeline.workspace import Workspace
from schemas.calibration import Calibration
from stages.align.stage import FloatArray
from stages.base import Context
from stages.filter.assign import UNPAIRED
from stages.filter.candidates import BoolArray
from stages.filter.stage import FilterConfig

MOST_VIDEOS = 2000
"""Videos of a sample (our choice)."""

MOST_BYTES = 2**28
"""Bytes of a sample in memory, 256 MiB (our choice)."""

AT_HAND = 256
"""Videos whose rows are kept as they are, some 60 MB, so that the first answer counts more (our choice)."""

SECONDS = 0.6
"""Seconds of work after which a move answers with what it has (our choice: a second with the way there and back)."""

MOVES = 16
"""Moves that are remembered (our choice)."""

EXAMPLES = 8
"""Frames of each kind that are shown (our choice)."""

CONFIDENT = 1.96
"""Standard errors either side of an estimate that hold the truth in 95 % of samples."""

STEP = 0.01
"""Width of a bar of similarities."""

EDGES = np.linspace(-1.0, 1.0, round(2 / STEP) + 1)
"""Bounds of all bars."""

WHAT = ("videos", "documents", "frames", "words")
WAYS = ("now", "then", "gained", "lost")

Counts = npt.NDArray[np.int64]
"""By `WHAT` and `WAYS`."""


@dataclass(frozen=True)
class Example:
    """A frame to look at.

    Attributes:
        video: The recorded video.
        frame: Index of the frame.
        sentence: Index of its sentence; -1 for none.
        similarity: Of both.
        needed: The least similarity that would have been accepted.
        reason: Why it is dropped; empty for a kept one.
    """

    video: Recorded
    frame: int
    sentence: int
    similarity: float
    needed: float
    reason: str


@dataclass
class Move:
    """The counts of some settings over the parts that were looked at so far, in the order of the sample.

    Attributes:
        stage: With the settings.
        parts: Counts of each part; (parts, what, ways).
        videos: Number of videos of each part.
        kept: Kept frames with a sentence by similarity, in bars between `EDGES`.
        dropped: Frames dropped for their similarity.
        examples: By kind, the first `EXAMPLES` in the order that the kind asks for.
    """

    stage: Retuned
    parts: list[Counts] = field(default_factory=list)
    videos: list[int] = field(default_factory=list)
    kept: Counts = field(default_factory=lambda: np.zeros(len(EDGES) - 1, np.int64))
    dropped: Counts = field(default_factory=lambda: np.zeros(len(EDGES) - 1, np.int64))
    examples: dict[str, list[tuple[float, str, int, Example]]] = field(
        default_factory=lambda: {kind: [] for kind in ("worst_kept", "best_dropped", "gained", "lost")}
    )


@dataclass(frozen=True)
class Estimate:
    """A count over all scored videos.

    Attributes:
        value: The count.
        error: Half of its 95 % interval; 0.0 where every video was looked at.
    """

    value: float
    error: float


@dataclass
class _Part:
    videos: list[Recorded]
    known: list[Known]
    before: list[Outcome]


class Tuning:
    """The recorded scores of a run, held in memory as far as the bounds allow, and moves over them.

    Args:
        workspace: A run, as far as it is.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.config = workspace.config.section(FilterConfig)
        self._context = Context(workspace.config.seed, workspace.job.store.media, results(workspace))
        self.parts = list(parts_recorded(workspace))
        self.videos = sum(len(workspace.plan.members[part]) for part in self.parts)
        self.then = _totals(workspace, self.parts)
        self._order = list(self.parts)
        random.Random(workspace.config.seed).shuffle(self._order)  # noqa: S311 - a sample, not a secret
        self._read: list[_Part] = []
        self._bytes = 0
        self._held = 0
        self._run = Retuned(self.config, self._context)
        self._moves: OrderedDict[str, Move] = OrderedDict()

    @property
    def calibration(self) -> Calibration:
        """The null distribution."""
        return self._context.result("calibrate", Calibration)

    @property
    def whole(self) -> bool:
        """Whether the sample grows no more: it holds all parts, or as many as the bounds allow."""
        return len(self._read) == len(self._order) or self._held >= MOST_VIDEOS or self._bytes >= MOST_BYTES

    def move(self, config: FilterConfig, seconds: float = SECONDS) -> tuple[Move, bool]:
        """The counts of some settings so far, and whether the whole sample is in them; ask again for more.

        At least two parts are looked at, so that an error can be told, however long that takes.
        """
        key = config.model_dump_json()
        move = self._moves.setdefault(key, Move(Retuned(config, self._context)))
        self._moves.move_to_end(key)
        while len(self._moves) > MOVES:
            self._moves.popitem(last=False)
        end = time.monotonic() + seconds
        while len(move.parts) < 2 or time.monotonic() < end:  # noqa: PLR2004
            if len(move.parts) == len(self._read) and not self._read_one():
                break
            self._count(move, self._read[len(move.parts)])
        return move, self.whole and len(move.parts) == len(self._read)

    def estimate(self, move: Move, what: str, way: str) -> Estimate:
        """A count over all scored videos by the ratio to the number of videos, parts being drawn (Cochran, 6.2).

        Where the run counted all videos itself, only the difference to its count is estimated.
        """
        drawn, total = len(move.parts), len(self.parts)
        known = self.then.get(what, 0) if way in ("now", "then") else 0
        counts = np.array([part[WHAT.index(what), WAYS.index(way)] for part in move.parts], dtype=np.float64)
        if known:
            counts -= [part[WHAT.index(what), WAYS.index("then")] for part in move.parts]
        videos = np.array(move.videos, dtype=np.float64)
        if drawn == total:
            return Estimate(known + float(counts.sum()), 0.0)
        ratio = counts.sum() / videos.sum()
        off = counts - ratio * videos
        variance = (1 - drawn / total) * (off @ off) / (drawn - 1) / drawn if drawn > 1 else 0.0
        return Estimate(known + self.videos * ratio, CONFIDENT * self.videos * math.sqrt(variance) / videos.mean())

    def _read_one(self) -> bool:
        """Read the next part of the sample; whether there was one. A part that a run does again is left out."""
        while not self.whole:
            part = self._order[len(self._read)]
            try:
                videos = recorded_part(self._workspace, part)
            except (OSError, pa.ArrowException):
                self._order.remove(part)
                self.parts.remove(part)
                self.videos -= len(self._workspace.plan.members[part])
                self.then = {}
                continue
            known = [Known({}, {}, video.video() if self._held < AT_HAND else None) for video in videos]
            before = [outcome(self._run, *pair) for pair in zip(videos, known, strict=True)]
            self._read.append(_Part(videos, known, before))
            self._bytes += 2 * sum(video.size for video in videos)  # what is known of them takes about as much
            self._held += len(videos)
            return True
        return False

    def _count(self, move: Move, part: _Part) -> None:
        counts = np.zeros((len(WHAT), len(WAYS)), dtype=np.int64)
        for video, known, before in zip(part.videos, part.known, part.before, strict=True):
            after = outcome(move.stage, video, known)
            counts += _compared(video, before, after)
            self._remember(move, video, before, after)
        move.parts.append(counts)
        move.videos.append(len(part.videos))

    @staticmethod
    def _remember(move: Move, video: Recorded, before: Outcome, after: Outcome) -> None:
        """Put a video's frames into the bars and among the examples."""
        paired = after.paired != UNPAIRED
        kept = np.flatnonzero(paired & after.frames)
        unlike = np.array([i for i, reason in after.reasons.items() if reason == "low_similarity"], dtype=np.int64)
        move.kept += np.histogram(after.similarity[kept], EDGES)[0]
        move.dropped += np.histogram(after.similarity[unlike], EDGES)[0]
        margin = after.similarity - after.needed
        for kind, frames, order in (
            ("worst_kept", kept, margin),
            ("best_dropped", unlike, -margin),
            ("gained", np.flatnonzero(after.frames & ~before.frames), None),
            ("lost", np.flatnonzero(before.frames & ~after.frames), None),
        ):
            shown = before if kind == "lost" else after
            places = [(i, _drawn(video.key, i) if order is None else float(order[i])) for i in _first(frames, order)]
            found = [(place, video.key, i, _example(video, shown, after, i)) for i, place in places]
            move.examples[kind] = heapq.nsmallest(EXAMPLES, [*move.examples[kind], *found], key=lambda one: one[:3])


def _totals(workspace: Workspace, parts: Sequence[str]) -> dict[str, int]:
    """What the run kept in these parts, by `WHAT`; empty where `filter` is not done in all of them."""
    done = workspace.done("filter", parts)
    if len(done) < len(parts):
        return {}
    told = workspace.summaries.summary(done.values())
    return {"videos": told.live, **{what: told.counts.get(what, 0) for what in ("documents", "frames")}}


def _first(frames: npt.NDArray[np.int64], order: FloatArray | None) -> list[int]:
    """The frames that may be examples: at most `EXAMPLES`, where they have an order."""
    ordered = frames if order is None else frames[np.argsort(order[frames], kind="stable")][:EXAMPLES]
    found: list[int] = ordered.tolist()
    return found


def _drawn(video: str, frame: int) -> float:
    """A place in an order that has nothing to do with what a frame shows, and is the same each time."""
    return float(zlib.crc32(f"{video} {frame}".encode()))


def _example(video: Recorded, shown: Outcome, after: Outcome, frame: int) -> Example:
    return Example(
        video,
        frame,
        int(shown.paired[frame]),
        float(shown.similarity[frame]),
        float(after.needed[frame]),
        after.reasons.get(frame, ""),
    )


def _compared(video: Recorded, before: Outcome, after: Outcome) -> Counts:
    """Counts of a video by what and way.

    A document is gained when none of its sentences was in a document before, and lost when none is in one any more.
    """
    words = video.sentences.counted

    def ways(now: int, then: int, gained: int, lost: int) -> list[int]:
        return [now, then, gained, lost]

    def documents(one: Outcome, other: BoolArray) -> int:
        """Documents none of whose sentences the other one has."""
        return len(set(one.documents)) - len(
            {n for n, there in zip(one.documents, other[one.sentences].tolist(), strict=True) if there}
        )

    now, then = bool(after.documents), bool(before.documents)
    return np.array(
        [
            ways(now, then, now and not then, then and not now),
            ways(
                len(set(after.documents)),
                len(set(before.documents)),
                documents(after, before.sentences),
                documents(before, after.sentences),
            ),
            ways(*(int(np.count_nonzero(one)) for one in _ways_of(after.frames, before.frames))),
            ways(*(int(words[one].sum()) for one in _ways_of(after.sentences, before.sentences))),
        ],
        dtype=np.int64,
    )


def _ways_of(now: BoolArray, then: BoolArray) -> Sequence[BoolArray]:
    return now, then, now & ~then, then & ~now
