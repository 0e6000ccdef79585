"""Reading untrusted files, with a size limit."""

from __future__ import annotations

from pathlib import Path

from storyloom.fs.ranges import MOST_WHOLE
from storyloom.fs.within import read_within
from storyloom.validate.violation import Violations


def read_index(folder: Path, file: str, violations: Violations, most: int = MOST_WHOLE) -> bytes | None:
    """Content of a required file of at most `most` bytes; None, and a violation, when it cannot be read."""
    try:
        return read_within(folder, file, most)
    except FileNotFoundError:
        violations.add(file, "missing_file", "the dataset has no such file")
    except OSError as reason:
        violations.add(file, "unreadable", str(reason))
    return None
