"""ms-swift: pretraining messages with ``<image>`` tags, one JSON line a document, images as files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from storyloom.export.images import TAG, extract
from storyloom.export.json_text import write_lines
from storyloom.export.one_text import one_text
from storyloom.export.read import SourceDocument


def write(documents: Iterable[SourceDocument], folder: Path, split: str, file_bytes: int) -> list[str]:
    """Write ``SPLIT.jsonl`` and the images. ms-swift drops `key` and `metadata` when it loads a row."""
    del file_bytes  # the lines are small: the images lie beside them
    write_lines(folder / f"{split}.jsonl", _rows(documents, folder, split))
    return []


def _rows(documents: Iterable[SourceDocument], folder: Path, split: str) -> Iterator[dict[str, Any]]:
    for document in documents:
        tags = [TAG] * len(document.sample.image_time)
        yield {
            "messages": [{"role": "assistant", "content": one_text(document.sample, tags)}],
            "images": extract(document, folder, split),
            "key": document.key,
            "metadata": document.metadata,
        }
