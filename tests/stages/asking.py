"""Videos with documents for tests of the stages that ask models, and the stages over a server."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from schemas.manifest import ManifestRow
from schemas.row import video_key
from schemas.rows import (
    CaptionsRow,
    DocumentDraft,
    DocumentFrame,
    DocumentsRow,
    DocumentText,
    FrameCaption,
    FramesRow,
    FusedRow,
    SampledFrame,
)
from stages.base import Context, Video
from stages.caption.stage import Caption, CaptionConfig
from stages.fuse.stage import Fuse, FuseConfig
from stages.score.stage import ScoreConfig
from storyloom.fs.files import files_at
from tests.chat_server import MODEL, ChatServer

PART = "0000001-0badcafe"

SAID = (
    "Now we put 250 grams of flour into the bowl.",
    "This is Bella, who came to us in Bremen.",
    "The second train to Oslo leaves at nine.",
    "Here the water is only four metres deep.",
)

SHOWN = (
    "A hand holds a white bowl over a wooden table.",
    "A brown dog lies on a red blanket.",
    "A train stands at a platform.",
    "Waves run onto a beach.",
)


def jpeg(number: int, size: tuple[int, int] = (64, 48)) -> bytes:
    """A plain picture, another one for each number."""
    content = io.BytesIO()
    Image.new("RGB", size, (37 * number % 256, 91 * number % 256, 15)).save(content, "JPEG")
    return content.getvalue()


def video(
    name: str = "a",
    said: Sequence[str] = SAID,
    shown: Sequence[str] = SHOWN,
    *,
    scenes: Sequence[int] = (),
    size: tuple[int, int] = (64, 48),
    similarity: float = 0.3,
    language: str = "en",
) -> Video:
    """A video with one document; an empty string is a frame without a sentence, or without a caption."""
    key = video_key(name)
    times = [4.0 * number for number in range(len(said))]
    texts = [
        DocumentText(start=time, end=time + 3, text=text, source="asr")
        for time, text in zip(times, said, strict=True)
        if text
    ]
    places = [sum(map(bool, said[:number])) if text else -1 for number, text in enumerate(said)]
    frames = [
        DocumentFrame(frame=number, time=time, text=place, similarity=similarity if place >= 0 else -1.0, shift=0.0)
        for number, (time, place) in enumerate(zip(times, places, strict=True))
    ]
    document = DocumentDraft(number=0, start=0.0, end=99.0, language=language, frames=frames, texts=texts)
    sampled = [
        SampledFrame(
            time=time,
            start=time,
            scene=scenes[number] if scenes else number,
            width=size[0],
            height=size[1],
            black=0.0,
            sharpness=9.0,
        )
        for number, time in enumerate(times)
    ]
    offset = int(key[:4], 16)
    jpegs = [jpeg(offset + number, size) for number in range(len(said))]
    captions = [
        FrameCaption(frame=number, caption=text, status="captioned" if text else "failed:timeout")
        for number, text in enumerate(shown)
    ]
    rows = [
        DocumentsRow(video=key, documents=[document]),
        FramesRow(video=key, frames=sampled, jpegs=jpegs),
        CaptionsRow(video=key, captions=captions),
    ]
    return Video(ManifestRow(video=key, url=name, source_id=name), rows, PART)


def context(folder: Path) -> Context:
    """A context whose answers lie in a folder."""
    sections = {"score": ScoreConfig()}
    return Context(0, files_at(folder), answers=files_at(folder / "answers"), sections=sections)


def captioned(server: ChatServer, folder: Path, *videos: Video, **settings: Any) -> list[CaptionsRow]:
    """The rows of `caption` over a server."""
    config = CaptionConfig(**{"enabled": True, "model": MODEL, "url": server.url, **settings})
    stage = Caption(config, context(folder))
    stage.setup()
    return [row for row in stage.process(videos) if isinstance(row, CaptionsRow)]


def fused(server: ChatServer, folder: Path, *videos: Video, **settings: Any) -> list[FusedRow]:
    """The rows of `fuse` over a server; pictures are compared only where a margin is given."""
    config = FuseConfig(**{"enabled": True, "model": MODEL, "url": server.url, "margin": "off", **settings})
    stage = Fuse(config, context(folder))
    stage.setup()
    return [row for row in stage.process(videos) if isinstance(row, FusedRow)]
