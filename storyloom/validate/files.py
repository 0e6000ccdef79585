"""Reading untrusted files, with a size limit."""

from __future__ import annotations

from storyloom.fs.folder import DataFolder
from storyloom.fs.ranges import MOST_WHOLE
from storyloom.validate.violation import Violations


def read_index(folder: DataFolder, file: str, violations: Violations, most: int = MOST_WHOLE) -> bytes | None:
    """Content of a required file of at most `most` bytes; None, and a violation, when it cannot be read."""
    try:
        return folder.read_whole(file, most)
    except FileNotFoundError:
        violations.add(file, "missing_file", "the dataset has no such file")
    except OSError as reason:
        violations.add(file, "unreadable", str(reason))
    return None
