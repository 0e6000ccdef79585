"""Opening a list: packed or not, in UTF-8 or UTF-16."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO, cast

MAX_LINE = 1 << 28
"""Most characters of a line, and of a value of CSV (our choice: they are held in memory)."""

PACKED = (".gz", ".zst")

_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class ListUnreadable(Exception):
    """A list cannot be read; the message says why and what to do."""


class NoUrls(ListUnreadable):
    """A list has not the column of URLs: it may be a list of something else."""


def unpacked_suffix(name: str) -> str:
    """The ending of a list's name in lower case, that of packing left out."""
    file = PurePosixPath(name)
    return (PurePosixPath(file.stem).suffix if file.suffix.lower() in PACKED else file.suffix).lower()


@contextlib.contextmanager
def unpacked(source: BinaryIO, name: str) -> Iterator[BinaryIO]:
    """The bytes of a list, unpacked when its name ends in `PACKED`."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix == ".gz":
        with gzip.open(source) as content:
            yield cast("BinaryIO", content)
    elif suffix == ".zst":
        import pyarrow as pa

        with pa.CompressedInputStream(pa.PythonFile(source, mode="r"), "zstd") as content:
            yield cast("BinaryIO", io.BufferedReader(_Raw(content)))
    else:
        yield source


class _Raw(io.RawIOBase):
    """A stream of Arrow's as one of Python's."""

    def __init__(self, stream: object) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        assert isinstance(buffer, memoryview)
        found = self._stream.read(len(buffer))  # type: ignore[attr-defined]
        buffer[: len(found)] = found
        return len(found)


def as_text(source: BinaryIO, *, newline: str | None = None) -> io.TextIOWrapper:
    """The text of a list: UTF-8, or UTF-16 with its mark; bytes that are neither become lone surrogates."""
    buffered = source if isinstance(source, io.BufferedReader) else io.BufferedReader(cast("io.RawIOBase", source))
    start = buffered.peek(3)[:3]
    encoding = _MARKS.get(start[:2], "utf-8-sig" if start == codecs.BOM_UTF8 else "utf-8")
    errors = "surrogateescape" if encoding.startswith("utf-8") else "replace"
    return io.TextIOWrapper(buffered, encoding=encoding, errors=errors, newline=newline)


def numbered_lines(text: io.TextIOWrapper) -> Iterator[tuple[int, str]]:
    """The lines without their ends, and their numbers from 1.

    Raises:
        ListUnreadable: A line is too long.
    """
    number = 0
    while line := text.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise ListUnreadable(f"line {number} has over {MAX_LINE} characters: is that a list?")
        yield number, line.rstrip("\n")
