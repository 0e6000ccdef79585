"""A small dataset of every shape of document, and what an export of it has to hold."""

from __future__ import annotations

from pathlib import Path

from schemas.rows import DocumentDraft as Row
from schemas.rows import DocumentFrame, DocumentText
from stages.write.stage import WriteConfig
from storyloom.export.read import SourceDocument, documents
from storyloom.format.manifest import read_manifest
from tests.documents import dataset, document, video, videos

CONFIG = WriteConfig(name="exported", shard_bytes=25_000, max_images=6, val_share=0.3)

SPLITS = {"train": "train", "validation": "val"}
"""A split's name in an export, and its folder in the dataset."""


def text_first(number: int) -> Row:
    """Starts with a text, has two texts in a row, ends with a frame that goes with none; one sentence was moved."""
    texts = [
        (0.0, 1.5, "Erst ein Satz.", "asr"),
        (2.0, 3.5, "“Dann” noch <einer> & \\ 面白い", "vtt"),
        (4.0, 5.0, "c", "asr"),
    ]
    return Row(
        number=number,
        start=0.0,
        end=9.5,
        language="de",
        frames=[
            DocumentFrame(frame=0, time=2.5, text=1, similarity=0.3125, shift=-1.5),
            DocumentFrame(frame=1, time=9.0, text=-1, similarity=-1.0, shift=0.0),
        ],
        texts=[DocumentText(start=start, end=end, text=text, source=source) for start, end, text, source in texts],
    )


def made(folder: Path) -> Path:
    """The dataset: several shards in each split, documents with one to six images."""
    odd = [video(f"odd-{n}", document(0, frames=1 + n % 6, texts=1 + n % 4), document(1, start=0.5)) for n in range(7)]
    other = [video(f"other-{n}", text_first(0)) for n in range(5)]
    dataset(folder, [videos(6), odd, other], CONFIG)
    return folder / "out"


def expected(out: Path, split: str) -> list[SourceDocument]:
    """The documents of a split of an export, in order."""
    published = read_manifest(out)
    assert published is not None
    found = list(documents(out, published.of("train" if split == "train" else "val")))
    assert len(found) > 3
    return found
