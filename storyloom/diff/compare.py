"""What one video's documents in one dataset have and those in another one have not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from storyloom.diff.by_video import Placed, VideoPair
from storyloom.diff.told import Place, Told, ToldFrame, ToldText
from storyloom.format.words import WORD

NEARBY = 1000
"""Milliseconds within which another frame stands for one that is gone (our choice)."""

Sides = tuple[list[Placed], list[Placed]]


@dataclass(frozen=True, slots=True)
class Other:
    """What the other dataset says of a frame that it has not.

    Attributes:
        lowest: Lowest score of its frames; None without any, or where its scores are another model's.
    """

    lowest: float | None


@dataclass(frozen=True, slots=True)
class LoneFrame:
    """A frame that only one of the datasets has: where it lies there, and why the other one lacks it."""

    frame: ToldFrame
    place: Place
    reason: str


@dataclass(slots=True)
class SideDiff:
    """What only one of two datasets has of a video.

    Attributes:
        documents: All of its documents.
        alone: Documents at whose times the other one has none.
        changed: Documents at whose times the other one has others.
        changes: Of those, by what is different; a document may count under several.
        frames: All of its frames.
        lone_frames: Frames that the other one lacks.
        words: All of its words.
        lone_words: Words that the other one lacks, by reason.
    """

    documents: int = 0
    alone: int = 0
    changed: int = 0
    changes: Counter[str] = field(default_factory=Counter)
    frames: int = 0
    lone_frames: list[LoneFrame] = field(default_factory=list)
    words: int = 0
    lone_words: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class VideoDiff:
    """A video in two datasets.

    Attributes:
        video: Its id.
        title: Empty when unknown.
        sides: What only the first has, and only the second.
        renamed: Documents with the same content under another key.
        pictures: Frames at the same time with another picture.
        codes: Frames at the same time with other codes, or of which one alone has any.
        pairings: Frames at the same time whose own sentence is another one.
        scores: Frames with the same sentence and another score, or another shift.
    """

    video: str
    title: str
    sides: tuple[SideDiff, SideDiff]
    renamed: int = 0
    pictures: int = 0
    codes: int = 0
    pairings: int = 0
    scores: int = 0

    @property
    def size(self) -> tuple[int, int, int]:
        """How large the difference is: frames, words, documents."""
        return (
            sum(len(side.lone_frames) for side in self.sides),
            sum(side.lone_words.total() for side in self.sides),
            sum(side.alone + side.changed for side in self.sides),
        )


def compare(pair: VideoPair, others: tuple[Other, Other]) -> VideoDiff:
    """Compare a video's documents.

    Frames are the same where their time is, words where the sentences at their time hold them, documents where all is.

    Args:
        pair: The video's documents in both datasets.
        others: What the second dataset says of frames of the first, and the first of those of the second.
    """
    found = VideoDiff(pair.video, pair.title, (SideDiff(), SideDiff()))
    left = _without_same(pair.sides, found)
    _frames(pair.sides, left, others, found)
    _words(pair.sides, left, found)
    for side in (0, 1):
        mine, theirs = found.sides[side], left[1 - side]
        mine.documents = len(pair.sides[side])
        for one in left[side]:
            across = [other for other in theirs if _overlap(one.told, other.told)]
            if across:
                mine.changed += 1
                mine.changes.update(_changes(one.told, [other.told for other in across]))
            else:
                mine.alone += 1
    return found


def _without_same(sides: Sides, found: VideoDiff) -> Sides:
    """The documents whose content the other side lacks; those under another key are counted."""
    counts = [Counter(one.told for one in side) for side in sides]
    same = counts[0] & counts[1]
    keys = [Counter((one.told, one.key) for one in side) for side in sides]
    found.renamed = same.total() - (keys[0] & keys[1]).total()
    left: Sides = ([], [])
    for side in (0, 1):
        to_skip = same.copy()
        for one in sides[side]:
            if to_skip[one.told] > 0:
                to_skip[one.told] -= 1
            else:
                left[side].append(one)
    return left


def _frames(sides: Sides, left: Sides, others: tuple[Other, Other], found: VideoDiff) -> None:
    at = [_by_time(side) for side in left]
    lone: list[list[tuple[ToldFrame, Place]]] = [[], []]
    for time in sorted(at[0].keys() | at[1].keys()):
        here = at[0].get(time, []), at[1].get(time, [])
        for (first, _), (second, _) in zip(*here, strict=False):
            found.pictures += first.picture != second.picture
            found.codes += first.codes != second.codes
            found.pairings += first.sentence != second.sentence
            found.scores += first.sentence == second.sentence and (first.score, first.shift) != (
                second.score,
                second.shift,
            )
        for side in (0, 1):
            lone[side] += here[side][len(here[1 - side]) :]
    for side in (0, 1):
        theirs = [frame.time for frame, _ in lone[1 - side]]
        spans = [(one.told.start, one.told.end) for one in sides[1 - side]]
        found.sides[side].frames = sum(len(one.told.frames) for one in sides[side])
        found.sides[side].lone_frames = [
            LoneFrame(frame, place, _why_no_frame(frame, spans, theirs, others[side])) for frame, place in lone[side]
        ]


def _by_time(documents: Iterable[Placed]) -> dict[int, list[tuple[ToldFrame, Place]]]:
    """Frames by time, those of equal time in an order that depends on their content alone."""
    found: dict[int, list[tuple[ToldFrame, Place]]] = {}
    for one in documents:
        for image, frame in enumerate(one.told.frames):
            found.setdefault(frame.time, []).append((frame, one.place(image)))
    for some in found.values():
        if len(some) > 1:
            some.sort(key=lambda item: (item[0].picture, repr(item[0])))
    return found


def _why_no_frame(frame: ToldFrame, spans: Sequence[tuple[int, int]], lone: Sequence[int], other: Other) -> str:
    if not spans:
        return "no_video"
    if frame.score is not None and other.lowest is not None and frame.score < other.lowest:
        return "low_score"
    if any(abs(time - frame.time) <= NEARBY for time in lone):
        return "other_frame"
    return "unknown" if any(start <= frame.time <= end for start, end in spans) else "no_document"


def _words(sides: Sides, left: Sides, found: VideoDiff) -> None:
    """Sentences that overlap in time, over both sides, are compared as bags of words: cut otherwise, they are equal."""
    texts = [[text for one in side for text in one.told.texts] for side in left]
    both = [(text, side) for side in (0, 1) for text in texts[side]]
    for group in _overlapping(both):
        bags = [
            Counter(word for text, of in group if of == side for word in WORD.findall(text.text)) for side in (0, 1)
        ]
        begin, end = min(text.start for text, _ in group), max(text.end for text, _ in group)
        for side in (0, 1):
            if lone := (bags[side] - bags[1 - side]).total():
                spans = [(one.told.start, one.told.end) for one in sides[1 - side]]
                reason = _why_no_words(begin, end, spans, spoken=bool(bags[1 - side]))
                found.sides[side].lone_words[reason] += lone
    for side in (0, 1):
        found.sides[side].words = sum(len(WORD.findall(text.text)) for one in sides[side] for text in one.told.texts)


def _overlapping(texts: Sequence[tuple[ToldText, int]]) -> Iterator[list[tuple[ToldText, int]]]:
    """Groups of sentences that are linked by overlaps in time; those of no length belong where they begin."""
    group: list[tuple[ToldText, int]] = []
    end = -1
    for one in sorted(texts, key=lambda item: (item[0].start, item[0].end)):
        if group and one[0].start >= end and one[0].start != group[0][0].start:
            yield group
            group = []
            end = -1
        group.append(one)
        end = max(end, one[0].end)
    if group:
        yield group


def _why_no_words(begin: int, end: int, spans: Sequence[tuple[int, int]], *, spoken: bool) -> str:
    if not spans:
        return "no_video"
    if spoken:
        return "other_words"
    return "no_words" if any(start <= end and begin <= stop for start, stop in spans) else "no_document"


def _overlap(one: Told, other: Told) -> bool:
    return one.start == other.start or max(one.start, other.start) < min(one.end, other.end)


def _changes(one: Told, others: Sequence[Told]) -> Iterator[str]:
    """What is different between a document and those at its times."""
    times = [frame.time for frame in one.frames]
    inside = [frame for other in others for frame in other.frames if one.start <= frame.time <= one.end]
    there = {frame.time: frame for frame in inside}
    shared = [(frame, there[frame.time]) for frame in one.frames if frame.time in there]
    said = [text for other in others for text in other.texts if one.start <= text.start <= one.end]
    differences = {
        "boundaries": all((other.start, other.end) != (one.start, one.end) for other in others),
        "frames": sorted(times) != sorted(frame.time for frame in inside),
        "pictures": any(mine.picture != theirs.picture for mine, theirs in shared),
        "codes": any(mine.codes != theirs.codes for mine, theirs in shared),
        "text": Counter(one.texts) != Counter(said),
        "pairing": any(mine.sentence != theirs.sentence for mine, theirs in shared),
        "scores": any(
            mine.sentence == theirs.sentence and (mine.score, mine.shift) != (theirs.score, theirs.shift)
            for mine, theirs in shared
        ),
        "captions": any(mine.shown != theirs.shown for mine, theirs in shared),
        "split": all(other.split != one.split for other in others),
        "details": all(other.details != one.details for other in others),
    }
    yield from (name for name, differs in differences.items() if differs)
