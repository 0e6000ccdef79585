"""Images as files beside a JSON file, for the trainers that open paths."""

from __future__ import annotations

from pathlib import Path

from storyloom.export.read import SourceDocument

IMAGES = "images"
"""Folder within an export. Below it lies one folder a shard, so that no folder holds millions of files."""

TAG = "<image>"
"""Stands where an image goes; shards refuse texts that hold it."""


def extract(document: SourceDocument, folder: Path, split: str) -> list[str]:
    """Write a document's images; the paths are relative to `folder`, with forward slashes."""
    place = f"{IMAGES}/{split}-{document.shard.removeprefix('shard-')}"
    (folder / place).mkdir(parents=True, exist_ok=True)
    paths = [f"{place}/{name}" for name in document.sample.pictures]
    for path, jpeg in zip(paths, document.jpegs, strict=True):
        (folder / path).write_bytes(jpeg)
    return paths
