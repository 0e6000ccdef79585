"""The measures of the alignment bench: assignments against the ground truth of narrated videos."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.bench.media import NOTHING, Narrated
from schemas.manifest import ManifestRow
from schemas.rows import AlignedRow, DocumentsRow, FramesRow, ScoresRow, Sentence
from stages.filter.assign import UNPAIRED, Assignment

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

HALF = 0.5
"""A sentence is about a shot when they share at least half of the shorter one's time (our choice)."""

NORMAL_97_5 = 1.959964
"""97.5 % quantile of the standard normal distribution."""


@dataclass(frozen=True)
class Lag:
    """The seconds by which the sound is late; negative when words are heard before their picture.

    Attributes:
        name: As the report calls it.
        seconds: Of each section of a video; the last one's for all further ones. For one that drifts: at its start and
            its end, linear in time between.
        drifts: Whether it changes all the time.
    """

    name: str
    seconds: tuple[float, ...]
    drifts: bool = False

    def at(self, times: FloatArray, video: Narrated) -> FloatArray:
        """The lag of the sound of these picture times of a video, in seconds."""
        if self.drifts:
            first, last = self.seconds
            return first + (last - first) * times / video.seconds
        section = np.searchsorted(video.sections, times, side="right") - 1
        return np.array(self.seconds)[np.clip(section, 0, len(self.seconds) - 1)]

    def late(self, times: FloatArray, video: Narrated) -> FloatArray:
        """Times at which the sound of these picture times of a video is heard."""
        return times + self.at(times, video)


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
        shots = self.narrated.shots
        spoken = self.lag.late(np.array([(shot.speech_start, shot.speech_end) for shot in shots]), self.narrated)
        heard = spans(self.aligned.sentences)
        shared = overlaps(spoken, heard)
        of_shot = (shared > 0) & (shared >= HALF * np.minimum(np.diff(spoken), np.diff(heard).T))
        found = np.zeros_like(of_shot)
        for shot, sentences in zip(shots, of_shot, strict=True):
            if shot.about != NOTHING:
                found[shot.about] |= sentences
        return found[self.shown()]

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

    def true_lags(self) -> FloatArray:
        """Seconds of lag at each frame, (frames,)."""
        return self.lag.at(np.array(self.aligned.frame_times), self.narrated)

    def lag_error(self, estimates: FloatArray) -> float:
        """Mean distance of lags that were estimated for each frame from the truth, in seconds; without the card."""
        return float(np.abs(estimates - self.true_lags())[self.counted()].mean())

    def pair_scores(self) -> tuple[FloatArray, FloatArray]:
        """Similarities of the matching and of the other candidate pairs."""
        about, counted = self.about(), self.counted()
        pairs = self.aligned.pairs
        similarity = np.array(self.scores.similarity)
        matched = np.array([about[pair.frame, pair.sentence] for pair in pairs], dtype=bool)
        seen = np.array([counted[pair.frame] for pair in pairs], dtype=bool)
        return similarity[matched & seen], similarity[~matched & seen]

    def null_scores(self) -> list[float]:
        """Similarities of the unrelated pairs, without the card, which is no picture of a video."""
        counted = self.counted()
        pairs = [*self.aligned.null_pairs, *self.aligned.null_text_pairs]
        return [s for pair, s in zip(pairs, self.scores.null_similarity, strict=True) if counted[pair.frame]]

    def boundary_errors(self, estimates: FloatArray) -> FloatArray:
        """Seconds between the times of what was heard, less the lag, and the truth; start and end, (n, 2).

        Each true sentence is compared with the recognized one that overlaps it most; one without overlap is left out.

        Args:
            estimates: Seconds of lag for each frame, (frames,); a sentence's is that of the frame nearest to it.
        """
        truth = np.array([(shot.speech_start, shot.speech_end) for shot in self.narrated.shots if shot.text])
        found = spans(self.aligned.sentences)
        shared = overlaps(self.lag.late(truth, self.narrated), found)
        best, heard = shared.argmax(axis=1), shared.max(axis=1) > 0
        times = np.array(self.aligned.frame_times)
        nearest = np.abs(times - truth.mean(axis=1, keepdims=True)).argmin(axis=1)
        errors: FloatArray = np.abs(found[best] - estimates[nearest][:, None] - truth)[heard]
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
    kept = {frame.frame for document in filtered.documents for frame in document.frames}
    right, wrong = right_and_wrong(case, assignment)
    right_kept, wrong_kept = right_and_wrong(case, assignment, kept)
    return Judged(int(case.described().sum()), right, wrong, right_kept, wrong_kept)


def right_and_wrong(case: Case, assignment: Assignment, kept: Collection[int] | None = None) -> tuple[int, int]:
    """Number of frames whose assigned sentence is about them, and of those whose is not; of all frames or the kept."""
    about, counted = case.about(), case.counted()
    verdicts = [
        bool(about[frame, sentence])
        for frame, sentence in enumerate(assignment.sentence.tolist())
        if sentence != UNPAIRED and counted[frame] and (kept is None or frame in kept)
    ]
    return sum(verdicts), len(verdicts) - sum(verdicts)


@dataclass(frozen=True)
class Share:
    """A share of frames with its 95 % confidence interval."""

    share: float
    low: float
    high: float


def share(count: int, whole: int) -> Share | None:
    """The share with its interval, rounded to 4 decimals; None of nothing."""
    if not whole:
        return None
    return Share(round(count / whole, 4), *(round(bound, 4) for bound in wilson(count, whole)))


def wilson(count: int, whole: int) -> tuple[float, float]:
    """95 % confidence interval of a share of at least one (Wilson 1927)."""
    square = NORMAL_97_5**2
    middle = (count + square / 2) / (whole + square)
    half = NORMAL_97_5 / (whole + square) * float(np.sqrt(count * (whole - count) / whole + square / 4))
    return max(0.0, middle - half), min(1.0, middle + half)


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
