"""Write a dataset of many small documents, to measure `storyloom stats` on.

Run with ``python -m tests.storyloom.stats.many FOLDER DOCUMENTS``; the dataset lies at FOLDER/out.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from schemas.manifest import ManifestRow
from schemas.row import video_key
from schemas.rows import DocumentDraft, DocumentFrame, DocumentsRow, DocumentText
from stages.write.stage import VideoDocuments, WriteConfig
from tests.documents import dataset, jpeg, numbered, sampled

WORDS = (
    "so",
    "here",
    "we",
    "take",
    "the",
    "red",
    "cup",
    "and",
    "put",
    "it",
    "on",
    "a",
    "wooden",
    "table",
    "while",
    "water",
)

DOCUMENTS = 10
"""Of a video."""


def many(count: int) -> Iterator[VideoDocuments]:
    """Videos with so many documents in all: 2 to 10 pictures of 16 pixels, 6 to 20 sentences, about 160 words."""
    draw = random.Random(0)
    pictures = [jpeg(number, 16, 16) for number in range(100)]
    for number in range(count // DOCUMENTS):
        name = f"video-{number}"
        row = ManifestRow(video=video_key(name), url=f"https://example.org/{name}.mp4", source_id=name, title=name)
        documents = numbered([_document(n, draw) for n in range(DOCUMENTS)])
        told_of = DocumentsRow(video=row.video, documents=documents)
        yield VideoDocuments(row, told_of, partial(sampled, told_of, pictures))


def _document(number: int, draw: random.Random) -> DocumentDraft:
    frames, texts, start = draw.randint(2, 10), draw.randint(6, 20), 200.0 * number
    return DocumentDraft(
        number=number,
        start=start,
        end=start + 4.0 * texts,
        language=draw.choice(["en", "en", "de"]),
        texts=[
            DocumentText(
                start=start + 4.0 * n,
                end=start + 4.0 * n + 3.213,
                text=" ".join(draw.choices(WORDS, k=draw.randint(4, 20))),
                source="asr",
            )
            for n in range(texts)
        ],
        frames=[_frame(n, start + 4.0 * n * texts / frames, n * texts // frames, draw) for n in range(frames)],
    )


def _frame(number: int, time: float, text: int, draw: random.Random) -> DocumentFrame:
    if draw.random() < 0.1:
        return DocumentFrame(frame=number, time=round(time, 3), text=-1, similarity=-1.0, shift=0.0)
    similarity, shift = round(draw.gauss(0.28, 0.05), 4), round(draw.gauss(0.0, 1.5), 3)
    return DocumentFrame(frame=number, time=round(time, 3), text=text, similarity=similarity, shift=shift)


if __name__ == "__main__":
    dataset(Path(sys.argv[1]), [list(many(int(sys.argv[2])))], WriteConfig(shard_bytes=128_000_000, val_share=0.05))
