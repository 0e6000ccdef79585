"""Candidate pairs of frames and sentences as arrays, with the times at which they are shown and heard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.rows import AlignedRow, FramesRow, ScoresRow
from stages.align.stage import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Candidates:
    """The pairs of frames and trusted sentences, as arrays with one entry per pair, ordered by frame, then sentence.

    Attributes:
        frame: Index of the frame, int64.
        sentence: Index of the sentence, int64.
        time: Seconds, of the frame.
        start: Seconds, of the sentence.
        end: Seconds, of the sentence.
        similarity: Of the frame and the sentence.
    """

    frame: IntArray
    sentence: IntArray
    time: FloatArray
    start: FloatArray
    end: FloatArray
    similarity: FloatArray

    def __len__(self) -> int:
        return len(self.frame)

    def held(self, lag: FloatArray) -> BoolArray:
        """Whether the sentence, moved back by the lag, contains the frame: true for at most one pair of a frame.

        Args:
            lag: Seconds, of each pair's frame.
        """
        return (self.start <= self.time + lag) & (self.time + lag < self.end)

    def distance(self, lag: FloatArray) -> FloatArray:
        """Seconds, signed, by which the sentence, moved back by the lag, must be moved further to reach the frame."""
        time = self.time + lag
        return np.minimum(time - self.start, 0.0) + np.maximum(time - self.end, 0.0)


def candidates(aligned: AlignedRow, scores: ScoresRow) -> Candidates:
    """The candidate pairs of a video's trusted sentences."""
    index = np.array([(pair.frame, pair.sentence) for pair in aligned.pairs], dtype=np.int64).reshape(-1, 2)
    trusted = np.array([not sentence.flag for sentence in aligned.sentences], dtype=np.bool_)[index[:, 1]]
    frame, sentence = index[trusted].T
    times = np.array(aligned.frame_times, dtype=np.float64)
    starts = np.array([s.start for s in aligned.sentences], dtype=np.float64)
    ends = np.array([s.end for s in aligned.sentences], dtype=np.float64)
    similarity = np.array(scores.similarity, dtype=np.float64)[trusted]
    return Candidates(frame, sentence, times[frame], starts[sentence], ends[sentence], similarity)


def shown_spans(row: FramesRow) -> FloatArray:
    """Seconds from which and until which what a frame shows is seen: its start, and the next frame's; (frames, 2)."""
    starts = [frame.start for frame in row.frames]
    last = [max(row.covered, frame.time) for frame in row.frames[-1:]]
    return np.array([starts, [*starts[1:], *last]], dtype=np.float64).T
