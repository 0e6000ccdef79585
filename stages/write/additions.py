"""What optional stages add to a document: captions of its frames, fused texts, the times of its words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from schemas.rows import CaptionsRow, DocumentDraft, DocumentText, FrameCaption, FrameFusion, FusedRow
from storyloom.format.sample import FormatError

FUSED = "fused"
"""Status of a frame that has a fused text, and source of a text that is one."""

OneT = TypeVar("OneT", FrameCaption, FrameFusion)


@dataclass(frozen=True)
class Additions:
    """What optional stages say of a video; None where a stage is off.

    Attributes:
        captions: What its frames show.
        fusions: What is said and what is shown at them.
    """

    captions: CaptionsRow | None = None
    fusions: FusedRow | None = None

    @property
    def ended(self) -> bool:
        """Whether the video ended in one of these stages, by an error or a drop."""
        return any(row is not None and not row.live for row in (self.captions, self.fusions))

    def of_images(self, key: str, document: DocumentDraft) -> dict[str, list[str]]:
        """The keys of `KEY.json` that say what a document's images show.

        Raises:
            FormatError: A frame has no row.
        """
        none = [""] * len(document.frames)
        captions = _of_frames(key, document, self.captions.captions, "caption") if self.captions else []
        fusions = _of_frames(key, document, self.fusions.frames, "fuse") if self.fusions else []
        return {
            "image_caption": [one.caption for one in captions] or none,
            "image_fused": [one.fused for one in fusions] or none,
            "image_fuse_status": [one.status for one in fusions] or ["off"] * len(document.frames),
        }

    def texts(self, key: str, document: DocumentDraft) -> list[DocumentText]:
        """A document's texts; the first fused text of a text's frames stands in its place, where that is wanted.

        Raises:
            FormatError: A frame has no row.
        """
        if not (self.fusions and self.fusions.replace):
            return document.texts
        fused: dict[int, str] = {}
        for frame, one in zip(document.frames, _of_frames(key, document, self.fusions.frames, "fuse"), strict=True):
            if one.status == FUSED:
                fused.setdefault(frame.text, one.fused)
        return [
            text.model_copy(update={"text": fused[number], "source": FUSED}) if number in fused else text
            for number, text in enumerate(document.texts)
        ]


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
