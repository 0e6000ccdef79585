"""Where the files of a finished dataset lie."""

from __future__ import annotations

import re
from pathlib import Path

MARKER = ".storyloom"
"""File in an output folder that is being written; a later run recognizes by it what a killed run left."""


SHARD_FILE = re.compile(r"shard-[0-9]{6}\.(tar|tar\.idx|parquet)")
"""Name of a shard, its index, or its table."""

PUBLISHED = re.compile(r"data/(train|val)/shard-[0-9]{6}\.tar")
"""Path of a shard within a finished dataset."""


def index_name(tar: str) -> str:
    """Name of a shard's index."""
    return f"{tar}.idx"


def items_name(tar: str) -> str:
    """Name of a shard's table of items."""
    return f"{tar.removesuffix('.tar')}.parquet"


def index_of(tar: Path) -> Path:
    """Where the index of a shard lies."""
    return tar.with_suffix(".tar.idx")


def items_of(tar: Path) -> Path:
    """Where the table of items of a shard lies."""
    return tar.with_suffix(".parquet")


def beside(tar: str) -> tuple[str, str]:
    """Names of the files that lie beside a shard, in the order in which they are placed: table, index."""
    return items_name(tar), index_name(tar)
