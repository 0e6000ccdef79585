"""`filter` once more over what a run recorded, with other settings, without the run.

The stage's own code decides; this module only spares it what does not change from move to move: reading rows, finding
the lag, and the assignment where only the rules for documents move.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.view.recorded import Recorded, null_scores, parts_recorded
from pipeline.workspace import Workspace
from schemas.calibration import Basis
from schemas.duplicates import Duplicates
from schemas.rows import AlignedRow, DocumentsRow, FramesRow, ScoresRow
from stages.align.stage import FloatArray, IntArray
from stages.base import Context, Video
from stages.calibrate.stage import Calibrate, CalibrateConfig
from stages.filter.assign import SIMILARITY_PER_NAT, UNPAIRED, Assignment, similarity_of
from stages.filter.candidates import BoolArray
from stages.filter.lag import NarrationLag
from stages.filter.stage import Filter, FilterConfig
from storyloom.format.model import Model

ASSIGNED_BY = ("mode", "shift_cost", "threshold", "false_accept_rate")
"""The settings that the assignment rests on; all others are about what is done with it."""


@dataclass
class Known:
    """What is known of a video: its lag, by the basis of the threshold, its last assignments, and maybe its rows."""

    lags: dict[Basis, NarrationLag]
    assigned: dict[tuple[object, ...], tuple[Assignment, NarrationLag]]
    rows: Video | None = None


class Retuned(Filter):
    """`filter` over recorded videos.

    Args:
        config: The changed settings.
        context: With the results that `filter` reads.
    """

    def __init__(self, config: FilterConfig, context: Context) -> None:
        super().__init__(config, context)
        self._now: tuple[Recorded, Known] | None = None
        self._assignment: Assignment | None = None

    def decided(self, video: Recorded, known: Known) -> tuple[DocumentsRow, Assignment | None]:
        """The row of a video, and its assignment; None where it ended before, or is a duplicate."""
        if video.ended:
            return video.ended, None
        self._now, self._assignment = (video, known), None
        row = self.guarded(known.rows or video.video())
        assert isinstance(row, DocumentsRow)
        return row, self._assignment

    def assign(self, aligned: AlignedRow, scores: ScoresRow, frames: FramesRow) -> tuple[Assignment, NarrationLag]:
        """As the stage does, over the arrays, with what is known."""
        del aligned, scores, frames
        assert self._now is not None
        video, known = self._now
        settings = tuple(getattr(self.config, name) for name in ASSIGNED_BY)
        if settings not in known.assigned:
            lag = known.lags.get(self._basis)
            found = self.assigned(video.candidates(), video.frames.time, video.shown_spans(), lag)
            if self.config.mode == "clip":
                known.lags[self._basis] = found[1]
            while len(known.assigned) > 1:  # the run's own settings, which are asked for first, stay
                known.assigned.popitem()
            known.assigned[settings] = found
        self._assignment, lag = known.assigned[settings]
        return self._assignment, lag

    def needed(self, assignment: Assignment) -> FloatArray:
        """The least similarity with which each frame would have been accepted; above 1.0 where none is; (frames,)."""
        basis, asked = self._basis, assignment.asked
        if self.config.mode == "time" or basis == "none":
            return np.full(len(asked), self.threshold)
        if basis == "calibrated":
            return similarity_of(asked, self._calibration.quantiles, self.config.false_accept_rate)
        stated = self._calibration.stated if basis == "model" else None
        return self.threshold + (stated.per_nat if stated else SIMILARITY_PER_NAT) * asked


@dataclass(frozen=True)
class Outcome:
    """What `filter` makes of a video.

    Attributes:
        frames: Which are in documents, (frames,).
        sentences: Which are, (sentences,).
        documents: The number of the document of each sentence that is in one, (sentences kept,).
        paired: For each frame the index of its sentence, or -1; (frames,).
        similarity: With it, or -1.0; (frames,).
        needed: The least similarity with which it would have been accepted; (frames,).
        reasons: Why each other frame was dropped.
    """

    frames: BoolArray
    sentences: BoolArray
    documents: list[int]
    paired: IntArray
    similarity: FloatArray
    needed: FloatArray
    reasons: dict[int, str]


def outcome(stage: Retuned, video: Recorded, known: Known) -> Outcome:
    """What the stage makes of a recorded video."""
    row, assignment = stage.decided(video, known)
    frames, sentences = np.ones(len(video.frames), np.bool_), np.ones(len(video.sentences), np.bool_)
    if assignment is None:
        nothing = np.full(len(frames), -1.0)
        return Outcome(~frames, ~sentences, [], np.full(len(frames), UNPAIRED), nothing, nothing, {})
    reasons = {item.index: item.reason for item in row.dropped_items if item.kind == "frame"}
    frames[list(reasons)] = False
    sentences[[item.index for item in row.dropped_items if item.kind == "sentence"]] = False
    numbers = [document.number for document in row.documents for _ in document.texts]
    needed = stage.needed(assignment)
    return Outcome(frames, sentences, numbers, assignment.sentence, assignment.similarity, needed, reasons)


def results(workspace: Workspace) -> dict[str, Model]:
    """The results over the corpus that `filter` reads.

    A null distribution that the run has not pooled, as it is not there yet or the threshold is a number, is pooled here
    of the same parts, as far as they are scored.
    """
    known = {name: result.value for name, result in workspace.job.results.items()}
    if "calibrate" not in known:
        sample = set(workspace.plan.sample(workspace.config.parts.group))
        parts = [part for part in parts_recorded(workspace) if part in sample]
        step = Calibrate(workspace.config.section(CalibrateConfig), workspace.job.context)
        known["calibrate"] = step.reduce(step.one(video) for part in parts for video in null_scores(workspace, part))
    return {"duplicates": Duplicates(), **known}
