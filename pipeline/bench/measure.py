"""The measures of the alignment bench: assignments against the ground truth of narrated videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.bench.media import Narrated
from schemas.rows import AlignedRow, DocumentsRow, FramesRow, ManifestRow, ScoresRow, Sentence
from stages.filter.assign import UNPAIRED, Assignment

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

HALF = 0.5
"""A sentence is about a shot when they share at least half of the shorter one's time (our choice)."""


@dataclass(frozen=True)
class Lag:
    """The seconds by which the sound is late, linear in time; negative when words are heard before their picture.

    Attributes:
        name: As the report calls it.
        first: Seconds at the start of the video.
        last: Seconds at its end.
    """

    name: str
    first: float
    last: float

    def late(self, times: FloatArray, seconds: float) -> FloatArray:
        """Times at which the sound of these picture times is heard, in a video of this many seconds."""
        return times + self.first + (self.last - self.first) * times / seconds

    def due(self, times: FloatArray, seconds: float) -> FloatArray:
        """Picture times of the sound that is heard at these times; the inverse of `late`."""
        return (times - self.first) / (1 + (self.last - self.first) / seconds)


@dataclass(frozen=True)
class Case:
    """A video under a lag, aligned and scored.

    Attributes:
        narrated: The video with its ground truth.
        lag: Of the sound.
        aligned: Its sentences have the lagged clock.
        scores: Of the aligned row's pairs.
        frames: The row of `sample`.
        manifest: The line of the manifest.
    """

    narrated: Narrated
    lag: Lag
    aligned: AlignedRow
    scores: ScoresRow
    frames: FramesRow
    manifest: ManifestRow

    def about(self) -> BoolArray:
        """Whether a sentence is about what a frame shows; (frames, sentences)."""
        speech = np.array([(shot.speech_start, shot.speech_end) for shot in self.narrated.shots])
        kinds = np.array([shot.kind for shot in self.narrated.shots])
        heard = self.lag.due(spans(self.aligned.sentences), self.narrated.seconds)
        shared = overlaps(speech, heard)
        shorter = np.minimum(np.diff(speech), np.diff(heard).T)
        of_shot = (shared > 0) & (shared >= HALF * shorter) & (kinds == "described")[:, None]
        found: BoolArray = of_shot[self.shown()]
        return found

    def shown(self) -> NDArray[np.int64]:
        """The number of the shot that each frame shows, (frames,)."""
        starts = [shot.start for shot in self.narrated.shots]
        found: NDArray[np.int64] = np.searchsorted(starts, self.aligned.frame_times, side="right") - 1
        return found

    def counted(self) -> BoolArray:
        """Whether a frame is evaluated: frames of the grey card are not; (frames,)."""
        return np.array([self.narrated.shots[shot].kind != "card" for shot in self.shown()])

    def described(self) -> BoolArray:
        """Whether a frame has a sentence about it in the ground truth; (frames,)."""
        return np.array([self.narrated.shots[shot].kind == "described" for shot in self.shown()])

    def true_lag(self) -> float:
        """Mean over the sentences, in seconds."""
        middles = np.array([(s.speech_start + s.speech_end) / 2 for s in self.narrated.shots if s.text])
        return float((self.lag.late(middles, self.narrated.seconds) - middles).mean())

    def pair_scores(self) -> tuple[FloatArray, FloatArray]:
        """Similarities of the matching and of the other candidate pairs."""
        about, counted = self.about(), self.counted()
        pairs = self.aligned.pairs
        similarity = np.array(self.scores.similarity)
        matched = np.array([about[pair.frame, pair.sentence] for pair in pairs], dtype=bool)
        seen = np.array([counted[pair.frame] for pair in pairs], dtype=bool)
        return similarity[matched & seen], similarity[~matched & seen]

    def boundary_errors(self, estimate: float) -> FloatArray:
        """Seconds between the times of what was heard, less an estimated lag, and the truth; start and end, (n, 2).

        Each true sentence is compared with the recognized one that overlaps it most; one without overlap is left out.
        """
        truth = np.array([(shot.speech_start, shot.speech_end) for shot in self.narrated.shots if shot.text])
        found = spans(self.aligned.sentences)
        shared = overlaps(truth, self.lag.due(found, self.narrated.seconds))
        best, heard = shared.argmax(axis=1), shared.max(axis=1) > 0
        errors: FloatArray = np.abs(found[best] - estimate - truth)[heard]
        return errors


@dataclass(frozen=True)
class Judged:
    """Counts of frames with a right or a wrong sentence, assigned and kept by the filter.

    Attributes:
        described: Frames with a sentence about them in the truth.
        right: Frames whose assigned sentence is about them; nothing is dropped.
        wrong: Frames with an assigned sentence that is not about them; nothing is dropped.
        right_kept: Those of the right ones that are in a document.
        wrong_kept: Those of the wrong ones that are in a document.
    """

    described: int
    right: int
    wrong: int
    right_kept: int
    wrong_kept: int

    def __add__(self, other: Judged) -> Judged:
        return Judged(*(int(n) for n in np.add(astuple(self), astuple(other))))


def judge(case: Case, assignment: Assignment, filtered: DocumentsRow) -> Judged:
    """Compare the assignment, and what the filter keeps of it, with the truth."""
    about, counted = case.about(), case.counted()
    given = {frame: int(s) for frame, s in enumerate(assignment.sentence) if s != UNPAIRED}
    right, wrong = _right_and_wrong(given, about, counted)
    kept = {frame.frame for document in filtered.documents for frame in document.frames}
    right_kept, wrong_kept = _right_and_wrong({f: s for f, s in given.items() if f in kept}, about, counted)
    return Judged(int(case.described().sum()), right, wrong, right_kept, wrong_kept)


def auc(positive: FloatArray, negative: FloatArray) -> float | None:
    """Chance that a positive scores above a negative, ties counted half (the area under the ROC curve).

    None where there are none of one kind.
    """
    if not len(positive) or not len(negative):
        return None
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left") + np.searchsorted(ordered, positive, "right")
    return float(below.mean() / 2 / len(ordered))


def spans(sentences: Sequence[Sentence]) -> FloatArray:
    """Start and end in seconds, (sentences, 2)."""
    return np.array([(sentence.start, sentence.end) for sentence in sentences], dtype=np.float64).reshape(-1, 2)


def overlaps(one: FloatArray, other: FloatArray) -> FloatArray:
    """Seconds that intervals share, 0 where none; (n, 2) and (m, 2) give (n, m)."""
    ends = np.minimum(one[:, None, 1], other[None, :, 1])
    shared: FloatArray = np.maximum(ends - np.maximum(one[:, None, 0], other[None, :, 0]), 0.0)
    return shared


def _right_and_wrong(sentence_of: dict[int, int], about: BoolArray, counted: BoolArray) -> tuple[int, int]:
    verdicts = [bool(about[frame, sentence]) for frame, sentence in sentence_of.items() if counted[frame]]
    return sum(verdicts), len(verdicts) - sum(verdicts)
