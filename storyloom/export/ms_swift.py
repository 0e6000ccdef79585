"""ms-swift: pretraining messages with ``<image>`` tags, one JSON line a document, images as files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from storyloom.export.images import TAG, extract
from storyloom.export.json_text import write_lines
from storyloom.export.read import SourceDocument
from storyloom.format.sample import Sample


def write(documents: Iterable[SourceDocument], folder: Path, split: str, file_bytes: int) -> list[str]:
    """Write ``SPLIT.jsonl`` and the images. ms-swift drops `key` and `metadata` when it loads a row."""
    del file_bytes  # the lines are small: the images lie beside them
    write_lines(folder / f"{split}.jsonl", _rows(documents, folder, split))
    return []


def _rows(documents: Iterable[SourceDocument], folder: Path, split: str) -> Iterator[dict[str, Any]]:
    for document in documents:
        yield {
            "messages": [{"role": "assistant", "content": interleaved(document.sample)}],
            "images": extract(document, folder, split),
            "key": document.key,
            "metadata": document.metadata,
        }


def interleaved(sample: Sample) -> str:
    """The document as one text: a tag for each image, a space between two texts."""
    return "".join(
        TAG if text is None else f" {text}" if position and sample.texts[position - 1] is not None else text
        for position, text in enumerate(sample.texts)
    )
