"""filter: assigns sentences to frames, drops frames and documents with reasons, and sets document boundaries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from schemas.calibration import Basis, Calibration
from schemas.config import LONGEST, OPERATIONAL, Resources, StageConfig
from schemas.duplicates import Duplicates
from schemas.media import MediaRow
from schemas.row import Dropped
from schemas.rows import (
    WORD_COLUMNS,
    AlignedRow,
    DocumentDraft,
    DocumentFrame,
    DocumentsRow,
    DocumentText,
    DroppedItem,
    FramesRow,
    SampledFrame,
    ScoresRow,
    Sentence,
)
from stages.align.stage import FloatArray
from stages.base import Input, Stage, Video, VideoDropped
from stages.filter.assign import UNPAIRED, Assignment, assign_by_clip, assign_by_time, worth_by_null, worth_by_threshold
from stages.filter.boundaries import DocumentLimits, Unit, documents_of, topic_turns, units_of
from stages.filter.candidates import Candidates, candidates, shown_spans
from stages.filter.lag import NarrationLag, narration_lag


class FilterConfig(StageConfig):
    """Rules of assignment, drops and document boundaries.

    Attributes:
        mode: ``time`` gives a frame the sentence whose interval contains it. ``clip`` estimates by how much the
            narration lags behind the picture at each time, and a frame may take the sentence that looks right near the
            lagged clock, inside align's window; frames and sentences keep their order. docs/alignment.md measures both.
        shift_cost: Cost of a second between a frame and its sentence in ``clip`` mode, in nats: at 0.5, a sentence that
            is 2 s further away must be 2.7 times rarer among unrelated pairs (our choice).
        threshold: Similarity below which a frame is dropped; ``calibrated`` takes it from the null distribution, and
            with under 50 null scores from what is stated for the image-text model. In ``clip`` mode more is asked for,
            as a frame has several sentences to choose from.
        false_accept_rate: Share of unrelated pairs that pass a calibrated threshold; in ``clip`` mode, share of frames
            that unrelated sentences pass with, however many a frame can choose from (our choice).
        max_black: Share of black pixels from which a frame is dropped as black (ffmpeg blackframe's default, 98 %).
        min_sharpness: Variance of the Laplacian below which a frame is dropped as blurred; plain slides are low too.
            0.0, the default, keeps all frames; NeMo Curator's interleaved documents use 100.
        min_words: Fewest words of a document (OBELICS).
        max_words: Most words of a document (OBELICS).
        max_images: Most images of a document (OBELICS).
        min_scored_share: Least share of a document's frames that have a sentence of their own, and so a score: frames
            of pauses pass every threshold. 0.0 keeps all (our choice; docs/alignment.md has the shares of real videos).
        max_silence: Seconds without a sentence that end a document (our choice).
        chapters: Whether a document also ends where its site says that a chapter does, with the sentence whose middle
            lies before that (our choice).
        duplicates: What becomes of a video whose content an earlier one has, by the hash of its file: ``keep`` makes
            documents of it too, in the same split; ``drop`` leaves it out. For that, `filter` waits for all downloads.
        topic_similarity: A document also ends at a scene cut where the text before and after it is less similar than
            this. -1.0, the default, is off: the value depends on the model, and short captions differ at every cut.
    """

    mode: Literal["time", "clip"] = "clip"
    shift_cost: Annotated[float, Field(ge=0.0, le=1e6)] = 0.5
    threshold: Literal["calibrated"] | Annotated[float, Field(ge=-1.0, le=1.0)] = "calibrated"
    false_accept_rate: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.05
    max_black: Annotated[float, Field(gt=0.0, le=1.0)] = 0.98
    min_sharpness: Annotated[float, Field(ge=0.0, le=1e6)] = 0.0
    min_words: Annotated[int, Field(ge=1, le=1_000_000)] = 10
    max_words: Annotated[int, Field(ge=1, le=1_000_000)] = 2000
    max_images: Annotated[int, Field(ge=1, le=1000)] = 30
    min_scored_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.1
    max_silence: Annotated[float, Field(gt=0, le=LONGEST)] = 30.0
    chapters: bool = True
    duplicates: Literal["keep", "drop"] = "keep"
    topic_similarity: Annotated[float, Field(ge=-1.0, le=1.0)] = -1.0
    resources: Annotated[Resources, OPERATIONAL] = Resources(cpus=0.25)


class Filter(Stage[FilterConfig, DocumentsRow]):
    """Assigns, drops and cuts into documents. A dropped frame does not drop its text; every drop has a reason."""

    name = "filter"
    version = 5
    reads = (
        Input("align", without=WORD_COLUMNS),
        Input("score"),
        Input("sample", without=("jpegs",)),
        Input("download", files=False),
    )
    row = DocumentsRow
    Config = FilterConfig

    @classmethod
    def inputs(cls, config: FilterConfig) -> tuple[Input, ...]:
        """Read the calibration only if the threshold depends on it, the duplicates only to drop them."""
        calibration = (Input("calibrate"),) if config.threshold == "calibrated" else ()
        return (*cls.reads, *calibration, *((Input("duplicates"),) if config.duplicates == "drop" else ()))

    @property
    def _calibration(self) -> Calibration:
        return self.context.result("calibrate", Calibration)

    def _same_as(self, video: str) -> str:
        """The id of the video that is kept instead of one that is to be dropped; empty for any other."""
        if self.config.duplicates == "keep":
            return ""
        return self.context.result("duplicates", Duplicates).same_as.get(video, "")

    @property
    def threshold(self) -> float:
        """Similarity below which a frame is dropped."""
        if self.config.threshold != "calibrated":
            return self.config.threshold
        return self._calibration.threshold(self.config.false_accept_rate)

    def one(self, video: Video) -> DocumentsRow:
        if same_as := self._same_as(video.key):
            raise VideoDropped("duplicate", f"the same content as {same_as}")
        aligned, frames = video[AlignedRow], video[FramesRow].frames
        dropped = [
            DroppedItem(kind="sentence", index=i, time=s.start, reason=s.flag)
            for i, s in enumerate(aligned.sentences)
            if s.flag
        ]
        assigned, lag = self.assign(aligned, video[ScoresRow], video[FramesRow])
        kept = []
        for index, frame in enumerate(frames):
            reason = self._frame_reason(frame, accepted=bool(assigned.accepted[index]))
            if reason:
                dropped.append(DroppedItem(kind="frame", index=index, time=frame.time, reason=reason))
            else:
                kept.append(index)

        documents: list[DocumentDraft] = []
        for _, units in self.cut(video, assigned, kept):
            reason = self._document_reason(units, assigned)
            surplus = [f for unit in units for f in unit.frames][self.config.max_images :]
            if reason:
                dropped.extend(_dropped_document(units, aligned.sentences, frames, reason))
            else:
                dropped.extend(_dropped_frames(surplus, frames, "too_many_images"))
                documents.append(_document(len(documents), units, set(surplus), aligned, assigned))
        return DocumentsRow(
            video=video.key,
            dropped=None if documents else _nothing_left(dropped),
            warnings=aligned.warnings + self._threshold_warnings(),
            threshold=self.threshold,
            threshold_from=self._basis,
            lag=lag.median,
            lag_confidence=lag.confidence,
            frame_lags=lag.seconds.tolist(),
            documents=documents,
            dropped_items=sorted(dropped, key=lambda item: (item.time, item.kind, item.index)),
        )

    def cut(self, video: Video, assigned: Assignment, kept: Sequence[int]) -> Iterator[tuple[str, list[Unit]]]:
        """Cut a video into documents, each with the reason why it begins; none is dropped yet.

        Args:
            video: The video.
            assigned: Its sentences and frames.
            kept: The frames that have no reason of their own to be dropped.
        """
        aligned, frames = video[AlignedRow], video[FramesRow].frames
        turns = topic_turns(aligned.sentences, frames, video[ScoresRow].continuity, self.config.topic_similarity)
        chapters = self._chapter_starts(video)
        units = units_of(aligned.sentences, frames, kept, assigned.sentence, chapters)
        return documents_of(units, turns, self._limits(), chapters)

    def assign(self, aligned: AlignedRow, scores: ScoresRow, frames: FramesRow) -> tuple[Assignment, NarrationLag]:
        """Assign sentences to the frames in the configured mode; nothing is dropped yet.

        Without a threshold no similarity is evidence, and the clock is all there is.
        """
        times = np.array(aligned.frame_times, dtype=np.float64)
        return self.assigned(candidates(aligned, scores), times, shown_spans(frames))

    def assigned(
        self, pairs: Candidates, times: FloatArray, shown: FloatArray, lag: NarrationLag | None = None
    ) -> tuple[Assignment, NarrationLag]:
        """As `assign`, over arrays.

        Args:
            pairs: Of trusted sentences.
            times: Seconds, of all the video's frames, (frames,).
            shown: Seconds from which and until which a frame's picture is shown, (frames, 2).
            lag: Where it is known already, for this basis of the threshold. It is the same for every false-accept rate
                and threshold: these move the worth of all pairs alike, and the lag rests on its differences.
        """
        if self.config.mode == "time" or self._basis == "none":
            return assign_by_time(len(times), pairs, self.threshold), NarrationLag(np.zeros(len(times)), 0.0)
        worth = self.worth(pairs)
        lag = lag or narration_lag(pairs, worth, times, shown)
        return assign_by_clip(pairs, worth, self.config.shift_cost, lag.seconds), lag

    def worth(self, pairs: Candidates) -> FloatArray:
        """Evidence for each pair in nats, 0.0 at the threshold; (pairs,)."""
        if self._basis == "config":
            return worth_by_threshold(pairs.similarity, self.threshold)
        if stated := self._calibration.stated if self._basis == "model" else None:
            return worth_by_threshold(pairs.similarity, self.threshold, stated.per_nat)
        return worth_by_null(pairs.similarity, self._calibration.quantiles, self.config.false_accept_rate)

    @property
    def _basis(self) -> Basis:
        return self._calibration.basis if self.config.threshold == "calibrated" else "config"

    def _threshold_warnings(self) -> list[str]:
        return {"model": ["threshold_of_model"], "none": ["no_threshold"]}.get(self._basis, [])

    def _chapter_starts(self, video: Video) -> list[float]:
        if not (self.config.chapters and video.has(MediaRow)):
            return []
        return sorted(chapter.start for chapter in video[MediaRow].chapters)

    def _limits(self) -> DocumentLimits:
        config = self.config
        return DocumentLimits(config.min_words, config.max_words, config.max_images, config.max_silence)

    def _frame_reason(self, frame: SampledFrame, *, accepted: bool) -> str:
        if frame.black >= self.config.max_black:
            return "black"
        if frame.sharpness < self.config.min_sharpness:
            return "blurred"
        return "" if accepted else "low_similarity"

    def _document_reason(self, units: Sequence[Unit], assigned: Assignment) -> str:
        words = sum(unit.words for unit in units)
        if words == 0:
            return "no_text"
        if words < self.config.min_words:
            return "too_few_words"
        inside = [index for unit in units for index in unit.frames][: self.config.max_images]
        if not inside:
            return "no_image"
        scored = float(np.mean(assigned.sentence[inside] != UNPAIRED))
        return "few_scored_frames" if scored < self.config.min_scored_share else ""


def _document(
    number: int,
    units: Sequence[Unit],
    surplus: set[int],
    aligned: AlignedRow,
    assigned: Assignment,
) -> DocumentDraft:
    text_of_sentence = {UNPAIRED: UNPAIRED} | {unit.sentence: position for position, unit in enumerate(units)}
    kept = sorted(index for unit in units for index in unit.frames if index not in surplus)
    texts = [aligned.sentences[unit.sentence] for unit in units]
    times = [aligned.frame_times[index] for index in kept]
    return DocumentDraft(
        number=number,
        start=min(times[0], texts[0].start),
        end=max(times[-1], texts[-1].end),
        language=aligned.language,
        frames=[
            DocumentFrame(
                frame=index,
                time=time,
                text=text_of_sentence[int(assigned.sentence[index])],
                similarity=float(assigned.similarity[index]),
                shift=float(assigned.shift[index]),
            )
            for index, time in zip(kept, times, strict=True)
        ],
        texts=[
            DocumentText(start=s.start, end=s.end, text=s.text, source=s.source, sentence=unit.sentence)
            for s, unit in zip(texts, units, strict=True)
        ],
    )


def _dropped_document(
    units: Sequence[Unit], sentences: Sequence[Sentence], frames: Sequence[SampledFrame], reason: str
) -> list[DroppedItem]:
    """The dropped items of a document, its sentences and its frames, with the document's reason."""
    spoken = [unit.sentence for unit in units if unit.sentence != UNPAIRED]
    inside = [index for unit in units for index in unit.frames]
    return [
        DroppedItem(kind="document", index=units[0].sentence, time=units[0].start, reason=reason),
        *(DroppedItem(kind="sentence", index=i, time=sentences[i].start, reason=f"document_{reason}") for i in spoken),
        *_dropped_frames(inside, frames, f"document_{reason}"),
    ]


def _dropped_frames(indexes: Sequence[int], frames: Sequence[SampledFrame], reason: str) -> list[DroppedItem]:
    return [DroppedItem(kind="frame", index=i, time=frames[i].time, reason=reason) for i in indexes]


def _nothing_left(dropped: Sequence[DroppedItem]) -> Dropped:
    reasons = sorted({item.reason for item in dropped if item.kind == "document"}) or ["no_frames_no_sentences"]
    return Dropped(stage=Filter.name, reason="no_document", detail=", ".join(reasons))
