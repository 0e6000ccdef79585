"""Reading untrusted files, with a size limit."""

from __future__ import annotations

import os
import stat
from io import FileIO
from pathlib import Path

from storyloom.validate.violation import Violations

MAX_INDEX = 256 * 2**20
"""Bytes of an index file: a million shards need less (our choice)."""


def open_regular(path: Path) -> FileIO:
    """Open a file without a buffer.

    Raises:
        OSError: It is not a regular file, or cannot be opened. A pipe is refused without waiting for a writer.
    """
    file = FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(f"{path.name} is not a regular file")
    return file


def read_index(folder: Path, file: str, violations: Violations) -> bytes | None:
    """Content of a required file; None, and a violation, when it cannot be read."""
    try:
        with open_regular(folder / file) as opened:
            content = opened.read(MAX_INDEX + 1)
    except FileNotFoundError:
        violations.add(file, "missing_file", "the dataset has no such file")
        return None
    except OSError as reason:
        violations.add(file, "unreadable", str(reason))
        return None
    if content is not None and len(content) > MAX_INDEX:
        violations.add(file, "unreadable", f"it has over {MAX_INDEX} bytes")
        return None
    return content
