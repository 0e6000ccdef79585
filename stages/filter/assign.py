"""Assignment of sentences to frames: by the clock, or by similarity within a bounded shift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.align.stage import FloatArray, IntArray
from stages.filter.candidates import BoolArray, Candidates

UNPAIRED = -1
"""Index that stands for "no sentence"."""

BEYOND_NULL = 0.001
"""Least share of unrelated pairs that is distinguished: the step of the calibration's quantiles."""

SIMILARITY_PER_NAT = 0.05
"""Similarity that is worth one nat where the threshold is absolute: how fast the tail of a null distribution with a
standard deviation of 0.1 falls at 5 %, that is the demo model's (our choice; divide it for a narrower model)."""

ON_THE_CLOCK = 0.8
"""Share of the false-accept rate that the sentence of the lagged clock may use up (our choice)."""

ELSEWHERE = 0.1
"""Share of it that all other candidates of a frame may use up together, so that a frame stays under the rate however
many sentences it can choose from. The rest makes up for pauses, whose frames are kept whenever they get a sentence
(our choice)."""


@dataclass(frozen=True)
class Assignment:
    """A video's frames and their sentences.

    Attributes:
        sentence: For each frame the index of its sentence, or -1; int64, shape (frames,).
        similarity: With that sentence, or -1.0; float64, shape (frames,).
        shift: Seconds by which the sentence is moved against the clock to reach the frame, negative when it is spoken
            after the frame, 0.0 when its interval holds the frame or there is none; float64, shape (frames,).
        accepted: Whether the similarity is high enough at the false-accept rate; true without a sentence. (frames,).
        asked: Evidence in nats that was asked of the pair, 0.0 for the threshold itself, which is also the value of a
            frame without a sentence; float64, shape (frames,).
    """

    sentence: IntArray
    similarity: FloatArray
    shift: FloatArray
    accepted: BoolArray
    asked: FloatArray


def worth_by_null(similarity: FloatArray, quantiles: Sequence[float], rate: float) -> FloatArray:
    """Evidence of a similarity against the null distribution, in nats; 0.0 at the threshold.

    That is log(rate / share of unrelated pairs that are at least as similar).

    Args:
        similarity: Shape (pairs,).
        quantiles: Of the null distribution, evenly spaced from 0 to 100 %.
        rate: Accepted share of unrelated pairs.
    """
    values, first = np.unique(np.asarray(quantiles, dtype=np.float64), return_index=True)
    share = np.maximum(1.0 - first / (len(quantiles) - 1), BEYOND_NULL)
    worth: FloatArray = np.log(rate) - np.interp(similarity, values, np.log(share), right=np.log(BEYOND_NULL))
    return worth


def worth_by_threshold(similarity: FloatArray, threshold: float, per_nat: float = SIMILARITY_PER_NAT) -> FloatArray:
    """Similarity above an absolute threshold, in units of what is worth one nat; shape (pairs,)."""
    worth: FloatArray = (similarity - threshold) / per_nat
    return worth


def similarity_of(worth: FloatArray, quantiles: Sequence[float], rate: float) -> FloatArray:
    """The least similarity with which `worth_by_null` gives each evidence; 1.0 where the distribution has none such."""
    values, first = np.unique(np.asarray(quantiles, dtype=np.float64), return_index=True)
    share = np.maximum(1.0 - first / (len(quantiles) - 1), BEYOND_NULL)
    wanted = np.log(rate) - worth
    found: FloatArray = np.interp(-wanted, -np.log(share), values, right=1.0)
    return found


def assign_by_time(frames: int, pairs: Candidates, threshold: float) -> Assignment:
    """Give each frame the trusted sentence whose interval holds it, if there is one.

    Args:
        frames: Number of frames of the video.
        pairs: Of trusted sentences.
        threshold: Least similarity that is accepted.
    """
    chosen = np.flatnonzero(pairs.held(np.zeros(len(pairs))))
    return _assignment(frames, pairs, chosen, pairs.similarity[chosen] >= threshold, np.zeros(len(chosen)))


def assign_by_clip(pairs: Candidates, worth: FloatArray, cost: float, lags: FloatArray) -> Assignment:
    """Give frames the sentences with the largest total worth, keeping both in order.

    A pair's worth counts against its share of the false-accept rate: `ON_THE_CLOCK` for the sentence that holds the
    frame once it is moved by the lag; `ELSEWHERE` for all others together, each with a weight that falls by `cost`
    nats for each second by which it misses the frame. A pair must gain by that, except the one that the lagged clock
    gives: it is taken where nothing else gains, and not accepted then. A frame may stay without a sentence.

    Args:
        pairs: Of trusted sentences; their window bounds the shift.
        worth: Evidence for each pair in nats, 0.0 at the threshold, shape (pairs,).
        cost: Nats per second.
        lags: Seconds by which speech follows the picture at each frame, (frames,).
    """
    lag = lags[pairs.frame]
    held = pairs.held(lag)
    share = _log_share(pairs.frame, held, np.abs(pairs.distance(lag)), cost)
    gain = worth + share
    chosen = ordered_choice(
        pairs.frame, pairs.sentence, np.where(held, np.maximum(gain, 0.0), np.where(gain > 0.0, gain, -np.inf))
    )
    return _assignment(len(lags), pairs, chosen, gain[chosen] >= 0.0, -share[chosen])


def _log_share(frame: IntArray, held: BoolArray, distance: FloatArray, cost: float) -> FloatArray:
    """Logarithm of the share of the false-accept rate that each pair may use up; (pairs,)."""
    if not len(frame):
        return np.zeros(0)
    weight = np.where(held, 0.0, np.exp(-cost * distance))
    together = np.maximum(np.bincount(frame, weight), 1.0)[frame]
    share: FloatArray = np.where(held, np.log(ON_THE_CLOCK), np.log(ELSEWHERE) - cost * distance - np.log(together))
    return share


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


def _assignment(frames: int, pairs: Candidates, chosen: IntArray, accepted: BoolArray, asked: FloatArray) -> Assignment:
    """The assignment of all the video's frames from the chosen pairs."""
    rows = pairs.frame[chosen]
    sentence = np.full(frames, UNPAIRED, dtype=np.int64)
    sentence[rows] = pairs.sentence[chosen]
    scored = np.full(frames, -1.0)
    scored[rows] = pairs.similarity[chosen]
    shift = np.zeros(frames)
    shift[rows] = pairs.distance(np.zeros(len(pairs)))[chosen].round(3)
    passes = np.ones(frames, dtype=np.bool_)
    passes[rows] = accepted
    nats = np.zeros(frames)
    nats[rows] = asked
    return Assignment(sentence, scored, shift, passes, nats)
