"""Parts of files."""

from __future__ import annotations

from typing import NamedTuple

MOST_WHOLE = 64 * 2**20
"""Bytes of a file that is read whole, such as `manifest.json` (our choice): a character takes up to four in memory."""


class ByteRange(NamedTuple):
    """A part of a file.

    Attributes:
        file: Path within the folder, with forward slashes.
        start: First byte.
        end: The byte after the last one; None for the end of the file.
    """

    file: str
    start: int = 0
    end: int | None = None
