"""What optional stages add to a document: captions of its frames, fused texts, the times of its words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any, TypeVar

from schemas.rows import (
    AlignedRow,
    CaptionsRow,
    CodesRow,
    DocumentDraft,
    DocumentText,
    FrameCaption,
    FrameFusion,
    FusedRow,
    Sentence,
    SoundsRow,
)
from storyloom.format.sample import MOST_SOUNDS, FormatError

FUSED = "fused"
"""Status of a frame that has a fused text, and source of a text that is one."""

OneT = TypeVar("OneT", FrameCaption, FrameFusion)


@dataclass(frozen=True)
class Additions:
    """What optional stages say of a video; None where a stage is off.

    Attributes:
        captions: What its frames show.
        fusions: What is said and what is shown at them.
        aligned: Its sentences with their words; None where word times are not wanted.
        sounds: Loads the sound of its texts.
        codes: Loads the codes of its frames.
    """

    captions: CaptionsRow | None = None
    fusions: FusedRow | None = None
    aligned: AlignedRow | None = None
    sounds: Callable[[], SoundsRow] | None = None
    codes: Callable[[], CodesRow] | None = None

    def of_images(self, key: str, document: DocumentDraft) -> dict[str, list[str]]:
        """The keys of `KEY.json` that say what a document's images show.

        A video over which one of these stages failed as a whole has documents all the same.

        Raises:
            FormatError: A frame has no row.
        """
        none = [""] * len(document.frames)
        captions = self.captions if self.captions and self.captions.live else None
        fusions = self._fusions(key, document)
        return {
            "image_caption": [one.caption for one in _of_frames(key, document, captions.captions, "caption")]
            if captions
            else none,
            "image_fused": [one.fused for one in fusions] if fusions else none,
            "image_fuse_status": [one.status for one in fusions] if fusions else [self._no_fusion] * len(none),
        }

    @property
    def _no_fusion(self) -> str:
        """The status of every frame of a video without fusions."""
        error = self.fusions.error if self.fusions else None
        return f"failed:{error.code}" if error else "off"

    def _fusions(self, key: str, document: DocumentDraft) -> list[FrameFusion]:
        """The fusions of a document's frames; none where `fuse` is off, or failed over the video."""
        row = self.fusions if self.fusions and self.fusions.live else None
        return _of_frames(key, document, row.frames, "fuse") if row else []

    def texts(self, key: str, document: DocumentDraft) -> list[DocumentText]:
        """A document's texts; the first fused text of a text's frames stands in its place, where that is wanted.

        Raises:
            FormatError: A frame has no row.
        """
        if not (self.fusions and self.fusions.replace):
            return document.texts
        fused: dict[int, str] = {}
        for frame, one in zip(document.frames, self._fusions(key, document), strict=False):
            if one.status == FUSED:
                fused.setdefault(frame.text, one.fused)
        return [
            text.model_copy(update={"text": fused[number], "source": FUSED}) if number in fused else text
            for number, text in enumerate(document.texts)
        ]

    def words(self, key: str, document: DocumentDraft, texts: Sequence[DocumentText]) -> dict[str, list[Any]]:
        """The keys of `KEY.json` about single words. A text that was not said, as a fused one, has none.

        Args:
            key: Of the document.
            document: The document.
            texts: Its texts as they are written.

        Raises:
            FormatError: A text is not the sentence that it says.
        """
        if self.aligned is None:
            return {}
        columns = list(zip(self.aligned.words, self.aligned.word_start, self.aligned.word_end, strict=True))
        ends = list(accumulate(self.aligned.sentence_words, initial=0))
        found = [
            columns[ends[said.sentence] : ends[said.sentence + 1]] if text.source == said.source else []
            for said, text in zip(_checked(key, document.texts, self.aligned.sentences), texts, strict=True)
        ]
        flat = list(chain.from_iterable(found))
        return {
            "text_words": [len(some) for some in found],
            "words": [word for word, _, _ in flat],
            "word_start": [start for _, start, _ in flat],
            "word_end": [end for _, _, end in flat],
        }


def sounds_of(key: str, document: DocumentDraft, row: SoundsRow) -> list[bytes]:
    """The sound of each of a document's texts, joined by document and text and checked against the text's times.

    Raises:
        FormatError: A text has none, or that of other times; or there are more than names of members can count.
    """
    if len(document.texts) > MOST_SOUNDS:
        message = f"{len(document.texts)} texts, but with sound a document has at most {MOST_SOUNDS}"
        raise FormatError(key, "too_many_texts", f"{message}: lower filter.max_words")
    places = {(one.document, one.text, one.start, one.end): place for place, one in enumerate(row.texts)}
    wanted = [(document.number, number, text.start, text.end) for number, text in enumerate(document.texts)]
    if missing := [text for text in wanted if text not in places]:
        message = f"`sound` has nothing of text {missing[0][1]} from {missing[0][2]} to {missing[0][3]} s"
        raise FormatError(key, "text_without_sound", f"{message}: `filter` was done again since; run from `sound` on")
    return [row.opus[places[text]] for text in wanted]


def codes_of(key: str, document: DocumentDraft, row: CodesRow) -> list[bytes]:
    """The codes of each of a document's frames, joined by the frame's number and checked against its time.

    Raises:
        FormatError: A frame has none, or those of another time.
    """
    places = {(one.frame, one.time): place for place, one in enumerate(row.frames)}
    if missing := [frame for frame in document.frames if (frame.frame, frame.time) not in places]:
        message = f"`tokenize` has nothing of frame {missing[0].frame} at {missing[0].time} s"
        again = "`filter` was done again since; run from `tokenize` on"
        raise FormatError(key, "frame_without_codes", f"{message}: {again}")
    return [row.npy[places[frame.frame, frame.time]] for frame in document.frames]


def _checked(key: str, texts: Sequence[DocumentText], sentences: Sequence[Sentence]) -> Sequence[DocumentText]:
    """The texts of a document, each checked to be the sentence that it says.

    Raises:
        FormatError: One is not.
    """
    for text in texts:
        sentence = sentences[text.sentence] if 0 <= text.sentence < len(sentences) else None
        if sentence is None or (sentence.text, sentence.start, sentence.end) != (text.text, text.start, text.end):
            message = f"the text at {text.start} s is not the video's sentence {text.sentence}"
            raise FormatError(key, "sentence_index", f"{message}: `align` was done again since; run from `align` on")
    return texts


NOTHING = Additions()
"""What is added where all of these stages are off."""


def _of_frames(key: str, document: DocumentDraft, rows: Sequence[OneT], stage: str) -> list[OneT]:
    """A stage's rows of a document's frames, in their order, joined by the frames' numbers.

    Raises:
        FormatError: A frame has none.
    """
    by_frame = {one.frame: one for one in rows}
    missing = [frame.frame for frame in document.frames if frame.frame not in by_frame]
    if missing:
        message = f"`{stage}` has nothing of frame {missing[0]}: `filter` was done again since; run from `{stage}` on"
        raise FormatError(key, "frame_without_row", message)
    return [by_frame[frame.frame] for frame in document.frames]
