"""Assignment of sentences to frames: by the clock, or by similarity within a bounded shift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.rows import AlignedRow, ScoresRow
from stages.align.stage import FloatArray, IntArray

UNPAIRED = -1
"""Index that stands for "no sentence"."""

BEYOND_NULL = 0.001
"""Least share of unrelated pairs that is distinguished: the step of the calibration's quantiles."""

SIMILARITY_PER_NAT = 0.05
"""Similarity that is worth one nat where the threshold is absolute: how fast the tail of a null distribution with a
standard deviation of 0.1 falls at 5 %, that is the demo model's (our choice; divide it for a narrower model)."""

NULL_DEVIATION = 1.0
"""Standard deviation in nats of the worth of unrelated pairs: it is exponentially distributed for every model."""

LAG_LIMIT = 10.0
"""Largest narration lag that is considered, in seconds, either way (HowToCaption's window)."""

LAG_STEP = 0.1
"""Seconds between candidate lags (our choice)."""

LAG_SMOOTHING = 3.0
"""Seconds over which the votes for a lag are averaged, about a sentence: finds the middle of a peak (our choice)."""

LAG_EVIDENCE = 3.0
"""Standard errors by which a lag must beat no lag; the best of some twenty independent lags is tested (our choice)."""

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Assignment:
    """A video's frames and their sentences.

    Attributes:
        sentence: For each frame the index of its sentence, or -1; int64, shape (frames,).
        similarity: With that sentence, or -1.0; float64, shape (frames,).
        shift: Seconds by which the sentence is moved against the clock to reach the frame, negative when it is spoken
            after the frame, 0.0 when its interval holds the frame or there is none; float64, shape (frames,).
        lag: Seconds by which the video's speech follows its picture; negative when it precedes it, 0.0 when unknown.
    """

    sentence: IntArray
    similarity: FloatArray
    shift: FloatArray
    lag: float = 0.0


@dataclass(frozen=True)
class Candidates:
    """The pairs of frames and trusted sentences, as arrays with one entry per pair, ordered by frame, then sentence.

    Attributes:
        frame: Index of the frame, int64.
        sentence: Index of the sentence, int64.
        time: Seconds, of the frame.
        start: Seconds, of the sentence.
        end: Seconds, of the sentence.
    """

    frame: IntArray
    sentence: IntArray
    time: FloatArray
    start: FloatArray
    end: FloatArray

    def held(self, lag: float) -> BoolArray:
        """Whether the sentence, moved back by the lag, contains the frame: true for at most one pair of a frame."""
        return (self.start <= self.time + lag) & (self.time + lag < self.end)

    def distance(self, lag: float) -> FloatArray:
        """Seconds, signed, by which the sentence, moved back by the lag, must be moved further to reach the frame."""
        time = self.time + lag
        return np.minimum(time - self.start, 0.0) + np.maximum(time - self.end, 0.0)


def worth_by_null(similarity: FloatArray, quantiles: Sequence[float], rate: float) -> FloatArray:
    """Evidence of a similarity against the null distribution, in nats; 0.0 at the threshold.

    That is log(rate / share of unrelated pairs that are at least as similar). Without quantiles it is 0.0: without
    a null distribution, no similarity is evidence against the clock.

    Args:
        similarity: Shape (pairs,).
        quantiles: Of the null distribution, evenly spaced from 0 to 100 %; may be empty.
        rate: Accepted share of unrelated pairs.
    """
    if not quantiles:
        return np.zeros(len(similarity))
    values, first = np.unique(np.asarray(quantiles, dtype=np.float64), return_index=True)
    share = np.maximum(1.0 - first / (len(quantiles) - 1), BEYOND_NULL)
    worth: FloatArray = np.log(rate) - np.interp(similarity, values, np.log(share), right=np.log(BEYOND_NULL))
    return worth


def worth_by_threshold(similarity: FloatArray, threshold: float) -> FloatArray:
    """Similarity above an absolute threshold, in units of `SIMILARITY_PER_NAT`; shape (pairs,)."""
    worth: FloatArray = (similarity - threshold) / SIMILARITY_PER_NAT
    return worth


def assign_by_time(aligned: AlignedRow, scores: ScoresRow) -> Assignment:
    """Give each frame the trusted sentence whose interval holds it, if there is one."""
    pairs, similarity, _ = _candidates(aligned, scores)
    return _assignment(len(aligned.frame_times), pairs, similarity, np.flatnonzero(pairs.held(0.0)), 0.0)


def assign_by_clip(aligned: AlignedRow, scores: ScoresRow, worth: FloatArray, cost: float) -> Assignment:
    """Give frames the sentences with the largest total worth, keeping both in order.

    A pair is worth its evidence, less `cost` for each second by which the sentence, moved by the video's lag, misses
    the frame, and less the logarithm of the number of sentences the frame can choose from (Bonferroni correction). A
    pair must have positive worth, except the one that the lagged clock gives, whose worth is at least zero. A frame may
    stay without a sentence.

    Args:
        aligned: Sentences, frame times and candidate pairs; the pairs' window bounds the shift.
        scores: Similarity of the candidate pairs.
        worth: Evidence for each candidate pair in nats, 0.0 at the threshold, shape (pairs,).
        cost: Nats per second.
    """
    pairs, similarity, trusted = _candidates(aligned, scores)
    worth = worth[trusted]
    lag = narration_lag(pairs, worth)
    choices = np.bincount(pairs.frame)[pairs.frame]
    gain = worth - np.log(choices) - cost * np.abs(pairs.distance(lag))
    gain = np.where(pairs.held(lag), np.maximum(worth, 0.0), np.where(gain > 0.0, gain, -np.inf))
    chosen = ordered_choice(pairs.frame, pairs.sentence, gain)
    return _assignment(len(aligned.frame_times), pairs, similarity, chosen, lag)


def narration_lag(pairs: Candidates, worth: FloatArray) -> float:
    """Constant lag of the speech behind the picture, in seconds; 0.0 unless the evidence is clear.

    Each pair votes for the lags at which the sentence would contain the frame, weighted by its worth beyond the other
    pairs of its frame and sentence. So a picture or sentence that matches everything does not affect the lag.

    Args:
        pairs: Of trusted sentences.
        worth: Evidence for each pair in nats, shape (pairs,).
    """
    if not len(worth):
        return 0.0
    votes = worth - _others_mean(pairs.frame, worth) - _others_mean(pairs.sentence, worth) + worth.mean()
    steps = round(LAG_LIMIT / LAG_STEP)
    first, last = (
        np.clip(np.ceil((edge - pairs.time) / LAG_STEP), -steps, steps + 1).astype(np.int64) + steps
        for edge in (pairs.start, pairs.end)
    )
    size = 2 * steps + 2
    changes = np.bincount(first, votes, size) - np.bincount(last, votes, size)
    width = round(LAG_SMOOTHING / LAG_STEP) + 1
    smooth = np.convolve(np.cumsum(changes)[:-1], np.full(width, 1.0 / width), mode="same")
    lag = round((int(np.argmax(smooth)) - steps) * LAG_STEP, 3)
    gained, lost = pairs.held(lag) & ~pairs.held(0.0), pairs.held(0.0) & ~pairs.held(lag)
    error = max(float(votes.std()), NULL_DEVIATION) * np.sqrt(np.count_nonzero(gained | lost))
    return lag if votes[gained].sum() - votes[lost].sum() > LAG_EVIDENCE * error else 0.0


def ordered_choice(frame: IntArray, sentence: IntArray, gain: FloatArray) -> IntArray:
    """Choose at most one pair per frame, with non-decreasing sentences, and the largest sum of gains.

    A dynamic program, one numpy step a frame over the frame's own sentences: `best[s]` is the largest sum over the
    frames so far whose sentences come before the s-th. On equal sums a frame is paired rather than not.

    Args:
        frame: Ordered, shape (pairs,).
        sentence: For each frame a contiguous range, whose ends never decrease from frame to frame. Shape (pairs,).
        gain: Minus infinity forbids a pair. Shape (pairs,).

    Returns:
        Indexes of the chosen pairs, rising.
    """
    if not len(frame):
        return np.zeros(0, dtype=np.int64)
    known, column = np.unique(sentence, return_inverse=True)
    _, begins = np.unique(frame, return_index=True)
    bands = list(zip(begins.tolist(), [*begins[1:].tolist(), len(frame)], strict=True))
    position = np.arange(len(frame))
    choice = np.empty(len(frame), dtype=np.int64)
    best = np.zeros(len(known) + 1)
    reached = 0
    for begin, end in bands:
        first, last = int(column[begin]) + 1, int(column[end - 1]) + 1
        best[reached + 1 : last + 1] = best[reached]
        reached = last
        sums = best[first : last + 1] + gain[begin:end]
        largest = np.maximum.accumulate(sums)
        chosen = np.maximum.accumulate(np.where(sums == largest, position[begin:end], begin))
        choice[begin:end] = np.where(largest >= best[first : last + 1], chosen, UNPAIRED)
        best[first : last + 1] = np.maximum(largest, best[first : last + 1])
    return _traced(bands, column, choice)


def _traced(bands: Sequence[tuple[int, int]], column: IntArray, choice: IntArray) -> IntArray:
    """Follow the choices back from the last frame: each band is a frame's range of pairs."""
    chosen = []
    limit = int(column.max())
    for begin, end in reversed(bands):
        limit = min(limit, int(column[end - 1]))
        pair = int(choice[begin + limit - int(column[begin])])
        if pair != UNPAIRED:
            chosen.append(pair)
            limit = int(column[pair])
    return np.array(chosen[::-1], dtype=np.int64)


def _candidates(aligned: AlignedRow, scores: ScoresRow) -> tuple[Candidates, FloatArray, BoolArray]:
    """The pairs of trusted sentences, their similarity, and which of the row's pairs they are."""
    index = np.array([(pair.frame, pair.sentence) for pair in aligned.pairs], dtype=np.int64).reshape(-1, 2)
    trusted = np.array([not sentence.flag for sentence in aligned.sentences], dtype=np.bool_)[index[:, 1]]
    frame, sentence = index[trusted].T
    times = np.array(aligned.frame_times, dtype=np.float64)
    starts = np.array([s.start for s in aligned.sentences], dtype=np.float64)
    ends = np.array([s.end for s in aligned.sentences], dtype=np.float64)
    similarity = np.array(scores.similarity, dtype=np.float64)[trusted]
    return Candidates(frame, sentence, times[frame], starts[sentence], ends[sentence]), similarity, trusted


def _assignment(frames: int, pairs: Candidates, similarity: FloatArray, chosen: IntArray, lag: float) -> Assignment:
    """The assignment of all the video's frames from the chosen pairs."""
    rows = pairs.frame[chosen]
    sentence = np.full(frames, UNPAIRED, dtype=np.int64)
    sentence[rows] = pairs.sentence[chosen]
    scored = np.full(frames, -1.0)
    scored[rows] = similarity[chosen]
    shift = np.zeros(frames)
    shift[rows] = pairs.distance(0.0)[chosen].round(3)
    return Assignment(sentence, scored, shift, lag)


def _others_mean(group: IntArray, values: FloatArray) -> FloatArray:
    """For each value the mean of the others in its group and of the overall mean (so that none is empty)."""
    sums, counts = np.bincount(group, values), np.bincount(group)
    mean: FloatArray = (sums[group] - values + values.mean()) / counts[group]
    return mean
