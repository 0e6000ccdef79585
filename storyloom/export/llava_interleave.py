"""LLaVA-NeXT-Interleave: one JSON list of conversations a split, with a list of images in each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from storyloom.export.images import extract
from storyloom.export.json_text import write_list
from storyloom.export.read import SourceDocument
from storyloom.export.turns import conversation


def write(documents: Iterable[SourceDocument], folder: Path, split: str, file_bytes: int) -> list[str]:
    """Write ``SPLIT.json``, a list with a document a line, and the images."""
    del file_bytes  # the trainer takes one file, and the images lie beside it
    write_list(folder / f"{split}.json", _rows(documents, folder, split))
    return []


def _rows(documents: Iterable[SourceDocument], folder: Path, split: str) -> Iterator[dict[str, Any]]:
    for document in documents:
        yield {
            "id": document.key,
            "image": extract(document, folder, split),
            "conversations": conversation(document.sample),
            "metadata": document.metadata,
        }
