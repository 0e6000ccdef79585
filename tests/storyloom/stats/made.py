"""Datasets whose figures can be worked out by hand."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

from schemas.manifest import ManifestRow
from schemas.row import video_key
from schemas.rows import DocumentDraft, DocumentFrame, DocumentsRow, DocumentText
from stages.write.stage import VideoDocuments, WriteConfig
from tests.documents import dataset, jpeg, numbered, sampled

HOSTILE = '<script>document.title = "owned"</script><img src=x onerror=alert(1)>'


def told(number: int, *, texts: list[str], frames: list[tuple[float, int, float, float]]) -> DocumentDraft:
    """Sentences of 3 s every 4 s; frames as time, text, similarity, shift."""
    return DocumentDraft(
        number=number,
        start=0.0,
        end=4.0 * len(texts),
        language="en" if number % 2 == 0 else "de",
        texts=[
            DocumentText(start=4.0 * n, end=4.0 * n + 3.0, text=text, source="subtitles" if n == 0 else "asr")
            for n, text in enumerate(texts)
        ],
        frames=[
            DocumentFrame(frame=n, time=time, text=text, similarity=similarity, shift=shift)
            for n, (time, text, similarity, shift) in enumerate(frames)
        ],
    )


def video(name: str, *documents: DocumentDraft, title: str, license_name: str = "", url: str = "") -> VideoDocuments:
    row = ManifestRow(
        video=video_key(name),
        url=url or f"https://example.org/{name}.mp4",
        source_id=name,
        published_url=url or f"https://example.org/{name}.mp4",
        title=title,
        license=license_name,
    )
    count = sum(len(document.frames) for document in documents)
    told_of = DocumentsRow(video=row.video, documents=numbered(documents))
    return VideoDocuments(row, told_of, lambda: sampled(told_of, [jpeg(n) for n in range(count)]))


def three_documents() -> list[VideoDocuments]:
    """12 s with 3 frames and 9 words, 8 s with 1 frame and 5 words, 4 s with 2 frames and 2 words."""
    first = told(
        0,
        texts=["one two three", "four five six", "seven eight nine"],
        frames=[(0.5, 0, 0.30, 0.0), (4.5, 2, 0.20, -1.5), (8.5, -1, -1.0, 0.0)],
    )
    second = told(1, texts=["zebra crossing", "three more words"], frames=[(1.0, 0, 0.40, 0.0)])
    third = told(0, texts=["hello there"], frames=[(0.5, 0, 0.10, 0.0), (1.5, -1, -1.0, 0.0)])
    return [
        video("harbour", first, second, title="Harbour at dawn", license_name="CC-BY-4.0"),
        video("mill", third, title=HOSTILE, url="javascript:alert(1)"),
    ]


FUNNEL = [
    {
        "what": "videos",
        "found": 4,
        "kept": 2,
        "dropped": {"transcribe.no_speech": 1},
        "failed": {"download.not_found": 1},
    },
    {"what": "frames", "found": 9, "kept": 6, "dropped": {"low_similarity": 3}, "failed": {}},
]


def small_dataset(folder: Path) -> Path:
    """The three documents, published as if by a run with a funnel; returns the dataset's folder."""
    dataset(folder, [three_documents()], WriteConfig())
    return with_provenance(folder / "out", funnel=FUNNEL)


def with_provenance(output: Path, **changes: Any) -> Path:
    """A dataset whose manifest says something else of how it was made."""
    manifest = json.loads((output / "manifest.json").read_bytes())
    manifest["provenance"].update(changes)
    (output / "manifest.json").write_text(json.dumps(manifest))
    return output


def damage_images(output: Path) -> int:
    """Overwrite every byte of every image, and say how many there were."""
    damaged = 0
    for shard in sorted(output.rglob("*.tar")):
        with tarfile.open(shard) as tar:
            images = [(member.offset_data, member.size) for member in tar if member.name.endswith(".jpg")]
        shard.chmod(0o644)
        with shard.open("r+b") as file:
            for start, size in images:
                file.seek(start)
                file.write(b"\xff" * size)
                damaged += size
    return damaged
