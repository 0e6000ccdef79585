"""Document boundaries: at chapters, silences, changes of topic and limits, never inside a sentence."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from schemas.rows import SampledFrame, Sentence
from stages.align.stage import IntArray
from stages.filter.assign import UNPAIRED


@dataclass
class Unit:
    """A sentence with its frames, which a document boundary never separates. Without speech, frames alone."""

    sentence: int
    start: float
    end: float
    words: int
    frames: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class DocumentLimits:
    """Limits that end a document.

    Attributes:
        min_words: Least words before a change of topic ends it.
        max_words: Most words.
        max_images: Most images.
        max_silence: Most seconds without a sentence.
    """

    min_words: int
    max_words: int
    max_images: int
    max_silence: float


def units_of(
    sentences: Sequence[Sentence],
    frames: Sequence[SampledFrame],
    kept: Sequence[int],
    sentence_of: IntArray,
    chapter_starts: Sequence[float] = (),
) -> list[Unit]:
    """Trusted sentences with their frames: the assigned ones, and the nearest unassigned ones.

    A frame with a sentence stays with it, even against the clock, so that no document boundary separates them. A frame
    without one is placed by the clock, in its own chapter where a neighbouring sentence is in it, but not beyond the
    neighbouring frames that have one, so that frames keep their order across documents.
    """
    units = [Unit(i, s.start, s.end, s.words) for i, s in enumerate(sentences) if not s.flag]
    if not units:
        return [Unit(UNPAIRED, frames[kept[0]].time, frames[kept[-1]].time, 0, list(kept))] if kept else []
    times = np.array([frames[index].time for index in kept], dtype=np.float64)
    starts, ends = np.array([unit.start for unit in units]), np.array([unit.end for unit in units])
    following = np.searchsorted(starts, times, side="right")
    previous, following = np.maximum(following - 1, 0), np.minimum(following, len(units) - 1)
    nearest = np.where(times - ends[previous] > starts[following] - times, following, previous)
    bounds = np.array(chapter_starts, dtype=np.float64)
    chapter = np.searchsorted(bounds, times, side="right")
    of_units = np.searchsorted(bounds, (starts + ends) / 2, side="right")
    before, after = of_units[previous] == chapter, of_units[following] == chapter
    nearest = np.where(before == after, nearest, np.where(before, previous, following))

    own = sentence_of[np.array(kept, dtype=np.int64)]
    unit_of_own = np.searchsorted([unit.sentence for unit in units], own)
    earliest = np.maximum.accumulate(np.where(own == UNPAIRED, 0, unit_of_own))
    latest = np.minimum.accumulate(np.where(own == UNPAIRED, len(units) - 1, unit_of_own)[::-1])[::-1]
    for index, unit in zip(kept, np.clip(nearest, earliest, latest).tolist(), strict=True):
        units[unit].frames.append(index)
    return units


def topic_turns(
    sentences: Sequence[Sentence], frames: Sequence[SampledFrame], continuity: Sequence[float], threshold: float
) -> set[int]:
    """Sentences that begin a topic: the similarity of the text drops, at a scene cut.

    Args:
        sentences: Of the video.
        frames: Of the video; the scene of a sentence is that of the frame nearest to its middle.
        continuity: Similarity of the text before and after each boundary between sentences.
        threshold: Similarity below which the topic changes.
    """
    if not frames or not continuity:
        return set()
    times = np.array([frame.time for frame in frames])
    middles = np.array([(sentence.start + sentence.end) / 2 for sentence in sentences])
    nearest = np.searchsorted((times[1:] + times[:-1]) / 2, middles)
    scenes = np.array([frame.scene for frame in frames])[nearest]
    turns = (np.array(continuity) < threshold) & (scenes[1:] != scenes[:-1])
    return set((np.flatnonzero(turns) + 1).tolist())


def chapter_of(unit: Unit, starts: Sequence[float]) -> int:
    """The number of the chapter in which the middle of a unit lies; 0 before the first."""
    return bisect_right(starts, (unit.start + unit.end) / 2)


def documents_of(
    units: Sequence[Unit], turns: Collection[int], limits: DocumentLimits, chapter_starts: Sequence[float] = ()
) -> Iterator[tuple[str, list[Unit]]]:
    """Group units into documents, each with the reason why it begins; the first one has none.

    A new one begins in a new chapter, after a long silence, at a change of topic, and before a limit is exceeded.
    """
    document: list[Unit] = []
    begins, words, images = "", 0, 0
    for unit in units:
        images += len(unit.frames)
        why = ""
        if document:
            if chapter_of(unit, chapter_starts) != chapter_of(document[-1], chapter_starts):
                why = "chapter"
            elif unit.start - document[-1].end > limits.max_silence:
                why = "silence"
            elif words + unit.words > limits.max_words:
                why = "max_words"
            elif images > limits.max_images:
                why = "max_images"
            elif unit.sentence in turns and words >= limits.min_words:
                why = "topic"
        if why:
            yield begins, document
            document, begins, words, images = [], why, 0, len(unit.frames)
        document.append(unit)
        words += unit.words
    if document:
        yield begins, document
