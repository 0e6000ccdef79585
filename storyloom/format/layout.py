"""Where the files of a finished dataset lie."""

from __future__ import annotations

import re
from pathlib import Path

MARKER = ".storyloom"
"""Lies in an output folder while it is being written, so that a run that was killed knows it for its own."""


SHARD_FILE = re.compile(r"shard-\d{6}\.tar(\.idx)?")


def index_of(tar: Path) -> Path:
    """Where the index of a shard lies."""
    return tar.with_suffix(".tar.idx")
