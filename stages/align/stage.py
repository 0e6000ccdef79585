"""align: sentences with times, and candidate pairs of frames and sentences that are near in time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from schemas.config import OPERATIONAL, Resources, StageConfig
from schemas.row import Row
from schemas.rows import AlignedRow, FramesRow, Pair, Sentence, TranscriptRow
from stages.align.sentences import SentenceRules, sentences_of_words
from stages.align.words import timed_words
from stages.base import Input, Stage, Video

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class AlignConfig(StageConfig):
    """Rules for the ends of sentences, and the window of candidate pairs.

    Attributes:
        max_gap: Seconds of silence that end a sentence (TemporalAlignNet, sentencify).
        soft_words: Words from which a comma ends it too (TemporalAlignNet cuts at any stop from 20 tokens on).
        max_words: Longest sentence, in words (our choice).
        min_words: Shorter sentences join a neighbour (our choice).
        window: Most seconds between the frame and the sentence of a candidate pair (HowToCaption, ±10 s).
        null_per_frame: Unrelated sentences drawn per frame, for the null distribution: from the same video, outside the
            window; if it has none there, from other videos of the part (our choice).
    """

    max_gap: Annotated[float, Field(gt=0, le=3600)] = 1.0
    soft_words: Annotated[int, Field(ge=1, le=100_000)] = 20
    max_words: Annotated[int, Field(ge=1, le=100_000)] = 60
    min_words: Annotated[int, Field(ge=1, le=100_000)] = 3
    window: Annotated[float, Field(ge=0, le=3600)] = 10.0
    null_per_frame: Annotated[int, Field(ge=0, le=10_000)] = 16
    resources: Annotated[Resources, OPERATIONAL] = Resources(cpus=0.25)


class Align(Stage[AlignConfig, AlignedRow]):
    """Makes sentences of words and pairs them with frames, by times only."""

    name = "align"
    version = 4
    reads = (Input("transcribe"), Input("sample", without=("jpegs",)))
    seeded = True
    row = AlignedRow
    Config = AlignConfig

    def process(self, videos: Iterable[Video]) -> Iterator[Row]:
        """Align each video; then draw unrelated texts for videos that have none outside the window.

        Only sentences are held in memory for the part, no frames.
        """
        rows = [self.guarded(video) for video in videos]
        spoken = {row.video: row.sentences for row in rows if isinstance(row, AlignedRow)}
        for row in rows:
            if isinstance(row, AlignedRow) and row.live and not row.null_pairs:
                others = {s.text for key, found in spoken.items() if key != row.video for s in found if not s.flag}
                yield self._with_other_null(row, sorted(others))
            else:
                yield row

    def _with_other_null(self, row: AlignedRow, foreign: Sequence[str]) -> AlignedRow:
        """Pair frames with sentences of other videos; without any, with own ones outside the frames' times."""
        seed, times = _seed(self.context.seed, row.video), np.array(row.frame_times, dtype=np.float64)
        if not foreign:
            own = _null_pairs(window_bounds(times, row.sentences, 0.0), len(row.sentences), self._draws, seed)
            return row.model_copy(update={"null_pairs": own})
        drawn = np.random.default_rng(seed).permutation(len(foreign))[: self._draws]
        frames, texts = np.divmod(np.arange(len(times) * len(drawn)), len(drawn))
        return row.model_copy(
            update={"null_texts": [foreign[index] for index in drawn], "null_text_pairs": _pairs(frames, texts)}
        )

    @property
    def _draws(self) -> int:
        return self.config.null_per_frame

    def one(self, video: Video) -> AlignedRow:
        config = self.config
        transcript = video[TranscriptRow]
        rules = SentenceRules(config.max_gap, config.soft_words, config.max_words, config.min_words)
        spoken = sentences_of_words(transcript.segments, rules)
        found = [sentence for sentence, _ in spoken]
        words = [timed_words(sentence, run) for sentence, run in spoken]
        timed = list(chain.from_iterable(words))
        times = np.array([frame.time for frame in video[FramesRow].frames], dtype=np.float64)
        first, last = window_bounds(times, found, config.window)
        return AlignedRow(
            video=video.key,
            warnings=[*transcript.warnings, *video[FramesRow].warnings],
            language=transcript.language,
            sentences=found,
            sentence_words=[len(some) for some in words],
            words=[word.text for word in timed],
            word_start=[word.start for word in timed],
            word_end=[word.end for word in timed],
            frame_times=times.tolist(),
            pairs=_pairs(*_ranges(first, last)),
            null_pairs=_null_pairs((first, last), len(found), self._draws, _seed(self.context.seed, video.key)),
        )


def window_bounds(times: FloatArray, found: list[Sentence], window: float) -> tuple[IntArray, IntArray]:
    """For each frame time, the half-open range of sentences at most `window` seconds away from it.

    Sentences are in time order and do not overlap, so those near a frame are consecutive.

    Args:
        times: Seconds, shape (frames,).
        found: The video's sentences.
        window: Seconds; 0.0 finds the sentence whose interval `[start, end)` holds the frame.
    """
    starts = np.array([sentence.start for sentence in found], dtype=np.float64)
    ends = np.array([sentence.end for sentence in found], dtype=np.float64)
    first = np.searchsorted(ends, times - window, side="right")
    last = np.searchsorted(starts, times + window, side="right")
    return first, np.maximum(first, last)


def _ranges(first: IntArray, last: IntArray) -> tuple[IntArray, IntArray]:
    """Expand one range of sentences per frame into two parallel arrays, frame and sentence."""
    counts = last - first
    frames = np.repeat(np.arange(len(first)), counts)
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return frames, np.repeat(first, counts) + offsets


def _null_pairs(near: tuple[IntArray, IntArray], count: int, draws: int, seed: int) -> list[Pair]:
    """Draw sentences for each frame among the `count` of its video, except those in its half-open range `near`."""
    first, last = near
    outside = count - (last - first)
    frames = np.repeat(np.flatnonzero(outside > 0), draws)
    drawn = np.random.default_rng(seed).integers(0, np.maximum(outside[frames], 1))
    drawn = np.where(drawn >= first[frames], drawn + (last - first)[frames], drawn)
    unique = np.unique(np.stack([frames, drawn], axis=1), axis=0)
    return _pairs(unique[:, 0], unique[:, 1])


def _pairs(frames: IntArray, found: IntArray) -> list[Pair]:
    return [Pair(frame=f, sentence=s) for f, s in zip(frames.tolist(), found.tolist(), strict=True)]


def _seed(seed: int, key: str) -> int:
    """A seed per video, so that neither the part nor the order of execution matters."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{key}".encode()).digest()[:8], "big")
