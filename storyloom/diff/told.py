"""What is compared of a document."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from storyloom.format.sample import added

SHOWN = ("caption", "fused", "fuse_status")
"""Keys of what is told of the picture of each image, without their beginning."""

COMPARED = frozenset(
    {"doc_end", "doc_start", "images", "sample_id", "schema", "texts", "video_id"}
    | {f"image_{name}" for name in ("clip_score", "height", "shift", "text_index", "time", "width")}
    | {f"text_{name}" for name in ("end", "source", "start", "words")}
    | {"word_end", "word_start", "words"}
    | {f"image_{name}" for name in SHOWN}
)
"""Keys of `KEY.json` that are compared one by one; all others are its details, and whether words have times."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a picture lies: path of the shard, number of the document in it, number of the image in that."""

    shard: str
    document: int
    image: int


@dataclass(frozen=True, slots=True)
class ToldText:
    """A sentence: milliseconds from the start of the video, words, and where they come from."""

    start: int
    end: int
    text: str
    source: str


@dataclass(frozen=True, slots=True)
class ToldFrame:
    """A frame.

    Attributes:
        time: Milliseconds from the start of the video.
        picture: Size, and digest of the JPEG.
        score: Similarity with its sentence; None without one.
        shift: Seconds by which the sentence was moved.
        sentence: Its own sentence; None without one.
        shown: Its caption, fused text and status.
        codes: Digest of its discrete codes; empty without them.
    """

    time: int
    picture: tuple[int, int, bytes]
    score: float | None
    shift: float
    sentence: ToldText | None
    shown: tuple[str, ...] = ()
    codes: bytes = b""


@dataclass(frozen=True, slots=True)
class Told:
    """The content of a document; two with the same content are equal, under whatever key and wherever they lie.

    Attributes:
        split: ``train`` or ``val``.
        start: Milliseconds, of its first frame or word.
        end: Milliseconds, of its last.
        frames: In time order.
        texts: In time order.
        details: Title, licence and all else, as one digest.
    """

    split: str
    start: int
    end: int
    frames: tuple[ToldFrame, ...]
    texts: tuple[ToldText, ...]
    details: bytes


def told(values: Mapping[str, Any], split: str, pictures: Sequence[bytes], codes: Sequence[bytes] = ()) -> Told:
    """The content of a document.

    Args:
        values: Of `KEY.json`, a valid sample's.
        split: Of its shard.
        pictures: Digest of each image.
        codes: Digest of each image's codes; empty without them.
    """
    spoken = [text for text in values["texts"] if text is not None]
    texts = [
        ToldText(milliseconds(start), milliseconds(end), text, source)
        for start, end, text, source in zip(
            values["text_start"], values["text_end"], spoken, values["text_source"], strict=True
        )
    ]
    whole = added(len(pictures), len(texts)) | dict(values)
    frames = [
        ToldFrame(
            milliseconds(values["image_time"][n]),
            (values["image_width"][n], values["image_height"][n], picture),
            values["image_clip_score"][n] if index >= 0 else None,
            values["image_shift"][n],
            texts[index] if index >= 0 else None,
            tuple(whole[f"image_{name}"][n] for name in SHOWN),
            codes[n] if codes else b"",
        )
        for n, (index, picture) in enumerate(zip(values["image_text_index"], pictures, strict=True))
    ]
    details = {name: value for name, value in whole.items() if name not in COMPARED}
    details["words"] = bool(whole["words"])
    content = json.dumps(details, sort_keys=True).encode()
    return Told(
        split,
        milliseconds(values["doc_start"]),
        milliseconds(values["doc_end"]),
        tuple(frames),
        tuple(texts),
        hashlib.blake2b(content, digest_size=16).digest(),
    )


def milliseconds(seconds: float) -> int:
    """The resolution of all times in a dataset, as a whole number: it is joined by."""
    return round(seconds * 1000)
