"""The lag of a video's speech behind its picture, as a hidden Markov model over time.

Time is cut into stretches of `STRETCH` seconds. In each, speech either has nothing to do with the picture, or it
follows it by a lag, which moves at a speed: it stays, or it drifts. From one stretch to the next the lag moves on by
its speed; rarely the speed turns; and rarely the lag jumps, and anything may follow. So a constant lag, a drift, and
sections with lags of their own are one model.

What is seen are the pairs of frames and sentences. A frame stands for the time in which its picture is shown, not for
an instant; under a lag it goes with the sentences that are heard in that time, each as much as they overlap.
`evidence` is the logarithm of how much more likely the similarities are under a lag than for speech that has nothing to
do with the picture. Forward and backward sums over the stretches (Rabiner 1989, section III) give the probability of
every lag in each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.rows import LEAST_LAG_CONFIDENCE
from stages.align.stage import FloatArray, IntArray
from stages.filter.candidates import Candidates

LAG_LIMIT = 10.0
"""Largest narration lag that is considered, in seconds, either way (HowToCaption's window)."""

LAG_STEP = 0.1
"""Seconds between candidate lags (our choice)."""

STRETCH = 4.0
"""Seconds over which a lag is taken as constant: the interval of frames (our choice)."""

SPEEDS = np.array([-2, -1, 0, 1, 2])
"""Steps of `LAG_STEP` by which a lag may move per stretch, up to 0.05 s a second (our choice)."""

STEADY = 0.35
"""Probability at first that a lag stays; the other speeds share the rest. All probabilities here are our choice."""

TURN = 0.01
"""Probability per stretch that the speed is drawn again."""

JUMP = 0.02
"""Probability per stretch that lag and speed are drawn again."""

UNRELATED = 0.02
"""Probability at first that speech has nothing to do with the picture."""

ON_TIME = 0.02
"""Probability of no lag at all, beyond that of any lag, which are equally likely at first."""

RELATED = 0.9
"""Share of the sentences heard under the right lag that are about what is shown."""

TAIL = 0.7
"""How much more slowly the worth of related pairs falls than that of unrelated ones: 1 - TAIL nats per nat, not 1."""

TOLERANCE = 1.0
"""Seconds from the true lag within which an estimate counts as right."""

HALF = 0.5
ON, OFF = slice(0, -1), -1
"""Places of the lags and of "nothing to do with the picture" in an array of states."""


@dataclass(frozen=True)
class NarrationLag:
    """The estimated lag of a video.

    Attributes:
        seconds: By which speech follows the picture at each frame; negative when it precedes it. All 0.0 unless it is
            known with `LEAST_LAG_CONFIDENCE`. Shape (frames,).
        confidence: Probability that speech is about the picture and its lag within `TOLERANCE` of these, mean over the
            frames. A video about which nothing is known has a lag of 0.0 with a low confidence.
    """

    seconds: FloatArray
    confidence: float

    @property
    def median(self) -> float:
        """Of the frames, in seconds; 0.0 without frames."""
        return round(float(np.median(self.seconds)), 3) if len(self.seconds) else 0.0


def narration_lag(pairs: Candidates, worth: FloatArray, times: FloatArray, shown: FloatArray) -> NarrationLag:
    """Estimate the lag at each frame.

    Args:
        pairs: Of trusted sentences.
        worth: Evidence for each pair in nats, shape (pairs,).
        times: Seconds, of all the video's frames, shape (frames,).
        shown: Seconds from which and until which a frame's picture is shown, (frames, 2).
    """
    if not len(pairs):
        return NarrationLag(np.zeros(len(times)), 0.0)
    stretch = (times // STRETCH).astype(np.int64)
    states = probabilities(evidence(pairs, worth, stretch, shown))
    lags = _grid()
    likely = np.cumsum(states[:, ON], axis=1) >= HALF * (1.0 - states[:, OFF:])
    estimate = np.where(states[:, OFF] < HALF, lags[likely.argmax(axis=1)], 0.0)
    for found in (estimate, np.zeros(len(states))):
        near = np.abs(lags - found[:, None]) < TOLERANCE + LAG_STEP / 2
        confidence = (states[:, ON] * near).sum(axis=1)[stretch].mean()
        if confidence >= LEAST_LAG_CONFIDENCE:
            break
    return NarrationLag(found[stretch].round(3), round(float(confidence), 4))


def evidence(pairs: Candidates, worth: FloatArray, stretch: IntArray, shown: FloatArray) -> FloatArray:
    """Log-likelihood ratio of each lag in each stretch, against speech that has nothing to do with the picture.

    A pair counts by its worth beyond that of the other pairs of its frame and of its sentence, so that a picture or
    sentence that matches everything says nothing. That excess is taken to be exponentially distributed around 0, as
    the worth of unrelated pairs is for every model; that of related pairs falls more slowly.

    Args:
        pairs: Of trusted sentences.
        worth: Nats, (pairs,).
        stretch: Of each frame, (frames,).
        shown: Seconds from which and until which a frame's picture is shown, (frames, 2).

    Returns:
        Shape (stretches, lags).
    """
    excess = worth - _others_mean(pairs.frame, worth) - _others_mean(pairs.sentence, worth) + worth.mean()
    votes = np.log(1.0 - RELATED + RELATED * (1.0 - TAIL) * np.exp(TAIL * (excess + 1.0)))
    heard = np.stack([pairs.start, pairs.end], axis=1)
    return overlaps(votes, stretch[pairs.frame], int(stretch.max()) + 1, shown[pairs.frame], heard)


def overlaps(votes: FloatArray, row: IntArray, rows: int, shown: FloatArray, heard: FloatArray) -> FloatArray:
    """Sum of votes by row and lag, each times the share of the shorter of both intervals in which they overlap.

    As a function of the lag that share is a trapezoid, so it is the double sum of four bends.

    Args:
        votes: Shape (pairs,).
        row: Row that a pair's vote is added to, (pairs,).
        rows: Their number.
        shown: Seconds, start and end, (pairs, 2).
        heard: Seconds, start and end, (pairs, 2); moved back by the lag.

    Returns:
        Shape (rows, lags).
    """
    lags = len(_grid())
    shorter = np.minimum(shown[:, 1] - shown[:, 0], heard[:, 1] - heard[:, 0])
    slope = votes * LAG_STEP / np.maximum(shorter, LAG_STEP)
    bends, begin = np.zeros(rows * (lags + 1)), np.zeros(rows)
    for edges, sign in (((0, 1), 1.0), ((0, 0), -1.0), ((1, 1), -1.0), ((1, 0), 1.0)):
        place = (heard[:, edges[0]] - shown[:, edges[1]] + LAG_LIMIT) / LAG_STEP
        begin += np.bincount(row, sign * slope * np.maximum(-place, 0.0), rows)
        place = np.clip(place, 0.0, lags - 1)
        whole = place.astype(np.int64)
        at, part = row * (lags + 1) + whole, place - whole
        bends += np.bincount(at, sign * slope * (1.0 - part), len(bends))
        bends += np.bincount(at + 1, sign * slope * part, len(bends))
    slopes = np.cumsum(bends.reshape(rows, lags + 1)[:, : lags - 1], axis=1)
    rise = np.cumsum(np.pad(slopes, ((0, 0), (1, 0))), axis=1)
    found: FloatArray = begin[:, None] + rise
    return found


def probabilities(likelihoods: FloatArray) -> FloatArray:
    """Probability of each lag in each stretch, all of them considered.

    Args:
        likelihoods: Logarithms against speech that has nothing to do with the picture, (stretches, lags).

    Returns:
        Shape (stretches, lags + 1); the last one is that speech has nothing to do with the picture.
    """
    chain = Chain(likelihoods.shape[1])
    best = np.maximum(likelihoods.max(axis=1, keepdims=True), 0.0)
    seen = np.hstack([np.tile(np.exp(likelihoods - best), len(SPEEDS)), np.exp(-best)])
    forward, backward = np.empty_like(seen), np.empty_like(seen)
    state = chain.first.copy()
    for i, factor in enumerate(seen):
        state *= factor
        forward[i] = state / state.sum()
        state = chain.onward(forward[i])
    state = np.ones(len(chain.first))
    for i in reversed(range(len(seen))):
        backward[i] = state
        state = chain.back(state * seen[i])
        state /= state.max()
    both = np.multiply(forward, backward, out=forward)
    both /= both.sum(axis=1, keepdims=True)
    lags = both[:, ON].reshape(len(both), len(SPEEDS), -1).sum(axis=1)
    found: FloatArray = np.hstack([lags, both[:, OFF:]])
    return found


class Chain:
    """How states follow each other: all lags at each speed in turn, then "nothing to do with the picture".

    Args:
        lags: Number of them.
    """

    def __init__(self, lags: int) -> None:
        speeds = np.where(SPEEDS == 0, STEADY, (1.0 - STEADY) / (len(SPEEDS) - 1))
        related = np.outer(speeds, np.full(lags, (1.0 - ON_TIME) / lags))
        related[SPEEDS == 0, lags // 2] += ON_TIME
        self.first = np.append((1.0 - UNRELATED) * related.ravel(), UNRELATED)
        stays = (1.0 - TURN) * np.eye(len(SPEEDS))
        self._turns = (1.0 - JUMP) * (stays + TURN * np.outer(speeds, np.ones(len(SPEEDS))))
        self._ahead, self._behind = (_Moves(lags, way * SPEEDS) for way in (1, -1))

    def onward(self, state: FloatArray) -> FloatArray:
        """Probabilities of the next stretch from those of this one; what leaves the limits is lost."""
        following: FloatArray = (JUMP * state.sum()) * self.first
        following[ON] += (self._turns @ self._ahead.applied(state[ON])).ravel()
        following[OFF] += (1.0 - JUMP) * state[OFF]
        return following

    def back(self, state: FloatArray) -> FloatArray:
        """Likelihoods of this stretch's states from those of the next one's: the transpose of `onward`."""
        turned = self._turns.T @ state[ON].reshape(len(SPEEDS), -1)
        earlier = np.append(self._behind.applied(turned.ravel()), (1.0 - JUMP) * state[OFF])
        earlier += JUMP * (self.first @ state)
        return earlier


class _Moves:
    """Moves values along the lags, each speed's by its steps.

    Args:
        lags: Number of them.
        steps: Of each speed.
    """

    def __init__(self, lags: int, steps: npt.NDArray[np.int64]) -> None:
        source = np.arange(lags) - steps[:, None]
        self._inside = ((source >= 0) & (source < lags)).astype(np.float64)
        self._source = np.arange(len(steps))[:, None] * lags + np.clip(source, 0, lags - 1)

    def applied(self, values: FloatArray) -> FloatArray:
        """Values of all speeds in turn, raveled, after the move; 0.0 where none comes from; (speeds, lags)."""
        moved: FloatArray = values.take(self._source)
        moved *= self._inside
        return moved


def _grid() -> FloatArray:
    """All lags, in seconds."""
    steps = round(LAG_LIMIT / LAG_STEP)
    return np.arange(-steps, steps + 1, dtype=np.float64) * LAG_STEP


def _others_mean(group: IntArray, values: FloatArray) -> FloatArray:
    """For each value the mean of the others in its group and of the overall mean (so that none is empty)."""
    sums, counts = np.bincount(group, values), np.bincount(group)
    mean: FloatArray = (sums[group] - values + values.mean()) / counts[group]
    return mean
