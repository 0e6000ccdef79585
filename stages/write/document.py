"""A document as the sample of a shard."""

from __future__ import annotations

import io
from collections.abc import Sequence

from pydantic import ValidationError

from schemas.manifest import ManifestRow
from schemas.media import MediaRow
from schemas.rows import DocumentDraft, DocumentFrame, DocumentsRow
from stages.write.additions import NOTHING, Additions
from storyloom.format.model import to_milliseconds
from storyloom.format.sample import SCHEMA, FormatError, Sample, added, frames_first, image_name, refusal


def to_sample(
    key: str,
    manifest: ManifestRow,
    row: DocumentsRow,
    document: DocumentDraft,
    jpegs: Sequence[bytes],
    max_images: int,
    media: MediaRow | None = None,
    additions: Additions = NOTHING,
) -> Sample:
    """The sample of a document.

    Args:
        key: Its key.
        manifest: The video's line of the manifest.
        row: The video's documents.
        document: The one among them.
        jpegs: One JPEG per frame of the document, in order.
        max_images: Most images a document of the dataset may have.
        media: What `download` knows of the video. Where its site and the manifest differ, the manifest is right.
        additions: What optional stages say of the video.

    Raises:
        FormatError: The document breaks a rule of the shard format.
    """
    frames, texts = document.frames, additions.texts(key, document)
    order = frames_first([frame.time for frame in frames], [(text.start, text.end) for text in texts])
    names = (image_name(key, number) for number in range(len(frames)))
    words = (text.text for text in texts)
    sizes = [jpeg_size(key, jpeg) for jpeg in jpegs]
    site = media.site if media else None
    chapters = media.chapters if media else []
    values = {
        "schema": SCHEMA,
        "sample_id": key,
        "texts": [None if is_image else next(words) for is_image in order],
        "images": [next(names) if is_image else None for is_image in order],
        "image_time": [_seconds(frame.time) for frame in frames],
        "image_width": [width for width, _ in sizes],
        "image_height": [height for _, height in sizes],
        "image_text_index": [frame.text for frame in frames],
        "image_clip_score": [_score(frame) for frame in frames],
        "image_shift": [_seconds(frame.shift) for frame in frames],
        "text_start": [_seconds(text.start) for text in texts],
        "text_end": [_seconds(text.end) for text in texts],
        "text_source": [text.source for text in texts],
        "video_id": manifest.source_id,
        "video_url": manifest.published_url,
        "title": manifest.title or (site.title if site else ""),
        "doc_start": _seconds(document.start),
        "doc_end": _seconds(document.end),
        "language": document.language,
        "license": manifest.license or (site.license if site else ""),
        **added(len(frames), len(texts)),
        **additions.of_images(key, document),
        **additions.words(key, document, texts),
        "channel": site.channel if site else "",
        "upload_date": site.upload_date if site else "",
        "chapters": [chapter.title for chapter in chapters],
        "chapter_start": [_seconds(chapter.start) for chapter in chapters],
        "video_start": _seconds(max(0.0, manifest.start)),
        "extra": manifest.extra,
        "lag": _seconds(row.lag),
        "lag_confidence": row.lag_confidence,
    }
    try:
        return Sample.model_validate(values, context={"max_images": max_images})
    except ValidationError as error:
        raise refusal(key, error) from error


def jpeg_size(key: str, jpeg: bytes) -> tuple[int, int]:
    """Width and height in pixels, from the header of a baseline RGB JPEG; nothing is decoded.

    Raises:
        FormatError: The bytes are something else.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as image:
            if image.mode != "RGB" or "progressive" in image.info:
                kind = "progressive" if "progressive" in image.info else image.mode
                raise FormatError(key, "jpeg", f"a frame is a {kind} JPEG; it must be a baseline RGB one")
            return image.width, image.height
    except (OSError, Image.DecompressionBombError) as error:
        message = f"a frame of {len(jpeg)} bytes is no usable JPEG: run the sample stage again"
        raise FormatError(key, "jpeg", message) from error


def _seconds(value: float) -> float:
    return to_milliseconds(value) + 0.0  # turns -0.0 into 0.0


def _score(frame: DocumentFrame) -> float:
    return float(frame.similarity) + 0.0
