"""Documents, frames and finished datasets for the tests of the shard format."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.publish.publish import publish
from schemas.manifest import ManifestRow
from schemas.row import video_key
from schemas.rows import (
    AlignedRow,
    CaptionsRow,
    CodesRow,
    DocumentDraft,
    DocumentFrame,
    DocumentsRow,
    DocumentText,
    FrameCaption,
    FrameCodes,
    FrameFusion,
    FramesRow,
    FusedRow,
    SampledFrame,
    Sentence,
    SoundsRow,
    TextSound,
)
from stages.sound.opus import opus
from stages.write.additions import Additions
from stages.write.stage import VideoDocuments, WriteConfig, write_group
from storyloom.format.codes import codes_bytes
from storyloom.format.manifest import FunnelRow, Provenance, Published
from storyloom.format.model import to_milliseconds
from storyloom.format.opus import RATE
from storyloom.format.shard import Shard
from storyloom.format.tokenizer import TextTokenizer
from storyloom.fs.files import files_at

PROVENANCE = Provenance(
    config={"filter": {"mode": "time"}},
    fingerprints={"filter": "0123456789abcdef"},
    revisions={"score": "tiny@1"},
    tools={"ffmpeg": "5.1"},
)
"""How every dataset here was made, but for its funnel: see `made_of`."""


@cache
def jpeg(number: int, width: int = 64, height: int = 48, **options: Any) -> bytes:
    """A small baseline JPEG that differs for every number."""
    pixels = np.random.default_rng(number).integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((width, height)).save(file, "JPEG", quality=80, **options)
    return file.getvalue()


def document(
    number: int = 0, *, frames: int = 2, texts: int = 2, start: float = 0.0, words: str = "so here we"
) -> DocumentDraft:
    """Sentences of 1.5 s every 2 s, and a frame in each as long as there are frames; later frames follow the last."""
    return DocumentDraft(
        number=number,
        start=start,
        end=start + 2.0 * max(frames, texts),
        language="en",
        frames=[
            DocumentFrame(
                frame=number * frames + index,
                time=start + 2.0 * index + 0.5,
                text=index if index < texts else -1,
                similarity=0.25 if index < texts else -1.0,
                shift=0.0,
            )
            for index in range(frames)
        ],
        texts=[
            DocumentText(start=start + 2.0 * n, end=start + 2.0 * n + 1.5, text=f"{words} {number} {n}", source="asr")
            for n in range(texts)
        ],
    )


def video(name: str, *documents: DocumentDraft, jpegs: list[bytes] | None = None) -> VideoDocuments:
    """A video with these documents, as `write_group` reads it."""
    url = f"https://example.org/{name}.mp4"
    manifest = ManifestRow(video=video_key(name), url=url, source_id=name, published_url=url, title=name)
    rows = DocumentsRow(video=manifest.video, documents=list(documents) if jpegs else numbered(documents))
    pictures = jpegs or [jpeg(hash_of(name) + n) for n in range(sum(len(d.frames) for d in documents))]
    return VideoDocuments(manifest, rows, lambda: sampled(rows, pictures))


def complete(one: VideoDocuments) -> VideoDocuments:
    """The video with a caption and a fusion of most frames, the times of all words, and the sound of all texts."""
    numbers = count()
    drafts = [
        draft.model_copy(
            update={"texts": [text.model_copy(update={"sentence": next(numbers)}) for text in draft.texts]}
        )
        for draft in one.row.documents
    ]
    texts = [text for draft in drafts for text in draft.texts]
    frames = [frame.frame for draft in drafts for frame in draft.frames]
    sounds = SoundsRow(
        video=one.row.video,
        texts=[
            TextSound(document=draft.number, text=number, start=text.start, end=text.end)
            for draft in drafts
            for number, text in enumerate(draft.texts)
        ],
        opus=[tone(text.sentence % 4, text.end - text.start) for text in texts],
    )
    statuses = ("fused", "kept:unsure", "failed:no_answer")
    additions = Additions(
        captions=CaptionsRow(
            video=one.row.video,
            captions=[
                FrameCaption(frame=n, caption=f"a cup, 杯子 {n}" if n % 3 else "", status="captioned") for n in frames
            ],
        ),
        fusions=FusedRow(
            video=one.row.video,
            frames=[
                FrameFusion(frame=n, fused="" if n % 3 else f"here is a cup {n}", status=statuses[n % 3])
                for n in frames
            ],
        ),
        aligned=spoken(one.row.video, texts),
        sounds=lambda: sounds,
    )
    return one._replace(row=one.row.model_copy(update={"documents": drafts}), additions=additions)


def with_codes(one: VideoDocuments) -> VideoDocuments:
    """The video with codes of all frames: 3 rows of 4, which differ for every frame."""
    frames = [frame for draft in one.row.documents for frame in draft.frames]
    codes = CodesRow(
        video=one.row.video,
        frames=[FrameCodes(frame=frame.frame, time=frame.time, rows=3, columns=4) for frame in frames],
        npy=[codes_bytes(picture_codes(frame.frame)) for frame in frames],
    )
    return one._replace(additions=replace(one.additions, codes=lambda: codes))


def picture_codes(frame: int) -> NDArray[np.uint16]:
    """The codes that `with_codes` gives a frame."""
    return (np.arange(12) + 100 * frame).astype(np.uint16).reshape(3, 4)


def spoken(key: str, texts: Sequence[DocumentText]) -> AlignedRow:
    """Sentences of these texts, whose words follow one another without a gap."""
    words = [(text, n, len(text.text.split()), word) for text in texts for n, word in enumerate(text.text.split())]
    return AlignedRow(
        video=key,
        sentences=[Sentence(start=text.start, end=text.end, text=text.text, words=1) for text in texts],
        sentence_words=[len(text.text.split()) for text in texts],
        words=[word for *_, word in words],
        word_start=[to_milliseconds(text.start + (text.end - text.start) * n / of) for text, n, of, _ in words],
        word_end=[to_milliseconds(text.start + (text.end - text.start) * (n + 1) / of) for text, n, of, _ in words],
    )


@cache
def tone(number: int, seconds: float) -> bytes:
    """An Ogg Opus file of a tone that differs for every number."""
    phase = np.arange(round(seconds * RATE)) * 2 * np.pi * (300 + 100 * number) / RATE
    return opus((np.sin(phase) * 8000).astype(np.int16), 16_000)


def numbered(documents: Sequence[DocumentDraft]) -> list[DocumentDraft]:
    """Documents of one video whose frames are counted through all of them, so that none stands for two times."""
    place = count()
    return [
        document.model_copy(
            update={"frames": [frame.model_copy(update={"frame": next(place)}) for frame in document.frames]}
        )
        for document in documents
    ]


def sampled(row: DocumentsRow, pictures: list[bytes]) -> FramesRow:
    """The frames behind a video's documents, at the times that the documents state."""
    times = {frame.frame: frame.time for document in row.documents for frame in document.frames}
    shown = [
        SampledFrame(time=times.get(n, 0.0), start=0.0, scene=0, width=64, height=48, black=0.0, sharpness=0.0)
        for n in range(len(pictures))
    ]
    return FramesRow.model_construct(video=row.video, frames=shown, jpegs=pictures)


def hash_of(name: str) -> int:
    return int(video_key(name)[:6], 16)


def videos(count: int, documents: int = 2, **shape: Any) -> list[VideoDocuments]:
    """So many videos with so many documents each."""
    return [
        video(f"video-{v}", *(document(d, start=100.0 * d, **shape) for d in range(documents))) for v in range(count)
    ]


def published(
    groups: Sequence[Sequence[Shard]],
    folders: Sequence[Path],
    rests: Path,
    output: Path,
    config: WriteConfig,
    provenance: Provenance,
) -> Published:
    """Publish shards of folders on this disk."""
    return publish(groups, [files_at(one) for one in folders], files_at(rests), files_at(output), config, provenance)


def dataset(
    folder: Path, groups: list[list[VideoDocuments]], config: WriteConfig, tokenizer: TextTokenizer | None = None
) -> Published:
    """Write and publish the groups; the dataset lies at ``folder/out``."""
    work = [folder / "work" / f"group-{number}" for number in range(len(groups))]
    shards = [write_group(some, place, config, 7, tokenizer) for some, place in zip(groups, work, strict=True)]
    return published(shards, work, folder / "work" / "rests", folder / "out", config, made_of(groups))


def made_of(groups: list[list[VideoDocuments]]) -> Provenance:
    """How the dataset of these groups was made; one more video was dropped."""
    kept = sum(map(len, groups))
    row = FunnelRow(what="videos", found=kept + 1, kept=kept, dropped={"transcribe.no_speech": 1})
    return PROVENANCE.model_copy(update={"funnel": [row]})


def read_shard(path: Path) -> dict[str, bytes]:
    """Content by member name, in the tar's order."""
    with tarfile.open(path) as tar:
        found = {info.name: tar.extractfile(info) for info in tar}
        return {name: file.read() for name, file in found.items() if file is not None}


def read_documents(place: Path) -> dict[str, Any]:
    """Every document of a shard, or below a folder, by key."""
    members = [read_shard(path) for path in ([place] if place.is_file() else sorted(place.rglob("*.tar")))]
    return {
        name.removesuffix(".json"): json.loads(content)
        for shard in members
        for name, content in shard.items()
        if name.endswith(".json")
    }


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and modification time of every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
