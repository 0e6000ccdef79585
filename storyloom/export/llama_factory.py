"""LLaMA-Factory: conversations in its sharegpt layout with a column of images, and its `dataset_info.json`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from storyloom.card.indexes import as_json
from storyloom.export.images import extract
from storyloom.export.json_text import write_lines
from storyloom.export.read import SourceDocument
from storyloom.export.turns import conversation
from storyloom.format.manifest import Published


def write(documents: Iterable[SourceDocument], folder: Path, split: str, file_bytes: int) -> list[str]:
    """Write ``SPLIT.jsonl`` and the images. LLaMA-Factory drops the columns that `dataset_info.json` does not name."""
    del file_bytes  # the lines are small: the images lie beside them
    write_lines(folder / f"{split}.jsonl", _rows(documents, folder, split))
    return []


def _rows(documents: Iterable[SourceDocument], folder: Path, split: str) -> Iterator[dict[str, Any]]:
    for document in documents:
        yield {
            # its converter skips a conversation whose turns do not come in pairs
            "conversations": conversation(document.sample, closed=True),
            "images": extract(document, folder, split),
            "key": document.key,
            "metadata": document.metadata,
        }


def files(published: Published, splits: list[str]) -> dict[str, bytes]:
    """`dataset_info.json` with a data set for each split: NAME_train and NAME_validation."""
    columns = {"messages": "conversations", "images": "images"}
    return {
        "dataset_info.json": as_json(
            {
                f"{published.name}_{split}": {
                    "file_name": f"{split}.jsonl",
                    "formatting": "sharegpt",
                    "columns": columns,
                }
                for split in splits
            }
        )
    }
