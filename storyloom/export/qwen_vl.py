"""Qwen-VL's fine-tuning code: conversations as JSON lines, tags in human turns only, as many tags as images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from storyloom.export.images import extract
from storyloom.export.json_text import write_lines
from storyloom.export.read import SourceDocument
from storyloom.export.turns import conversation


def write(documents: Iterable[SourceDocument], folder: Path, split: str, file_bytes: int) -> list[str]:
    """Write ``SPLIT.jsonl`` and the images."""
    del file_bytes  # the lines are small: the images lie beside them
    write_lines(folder / f"{split}.jsonl", _rows(documents, folder, split))
    return []


def _rows(documents: Iterable[SourceDocument], folder: Path, split: str) -> Iterator[dict[str, Any]]:
    for document in documents:
        yield {
            "id": document.key,
            "image": extract(document, folder, split),
            "conversations": conversation(document.sample),
            "metadata": document.metadata,
        }
