"""A folder of files on a disk or behind any URL that fsspec reads; byte ranges of its files.

Files of a folder on a disk are opened by `within` alone: a stranger's dataset reaches nothing outside its folder.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from storyloom.fs.http import read_ranges
from storyloom.fs.ranges import MOST_WHOLE, ByteRange
from storyloom.fs.url import redacted
from storyloom.fs.within import Refused, open_within

ATTEMPTS = 4
"""Attempts at a range, the first included (our choice)."""

PAUSE = 0.5
"""Seconds before the second attempt; doubles with each further one (our choice)."""


class DataFolder:
    """Reads byte ranges; fsspec is imported for a URL only.

    Args:
        place: Path of the folder, or its URL, such as ``s3://bucket/folder``.
        options: fsspec's options for the URL, e.g. credentials.

    Attributes:
        address: The path, or the URL without userinfo and query, without a slash at its end.
    """

    def __init__(self, place: str | os.PathLike[str], options: Mapping[str, Any] | None = None) -> None:
        self._root = os.fspath(place).rstrip("/")
        self._files: Any = None
        self._http = False
        self.address = redacted(self._root)
        if "://" in self._root:
            from fsspec.core import url_to_fs

            self._files, root = url_to_fs(self._root, **(options or {}))
            self._root = root.rstrip("/")
            self._http = "https" in self._files.protocol

    def read(self, ranges: Sequence[ByteRange]) -> list[bytes | Exception]:
        """The content of each range, or the error of reading it; fewer bytes where the file ends inside the range.

        Ranges are requested at once where the store supports it. Failed ones are retried, unless the file is missing,
        forbidden, too slow, or none that is read from a dataset (`Refused`). A range takes no more memory than there
        are bytes.
        """
        found = self._read(ranges)
        for attempt in range(1, ATTEMPTS):
            failed = [n for n, one in enumerate(found) if _may_pass(one)]
            if not failed:
                break
            time.sleep(PAUSE * 2 ** (attempt - 1))
            for n, one in zip(failed, self._read([ranges[n] for n in failed]), strict=True):
                found[n] = one
        return found

    def _read(self, ranges: Sequence[ByteRange]) -> list[bytes | Exception]:
        if self._files is None:
            return [
                one for file, some in groupby(ranges, key=lambda one: one.file) for one in self._read_local(file, some)
            ]
        if self._http:
            return read_ranges(self._files, self._root, ranges)
        paths = [f"{self._root}/{one.file}" for one in ranges]
        # From None to None fsspec reads a file whole, without a range; the store need not know its length.
        starts = [one.start if one.start or one.end is not None else None for one in ranges]
        return list(self._files.cat_ranges(paths, starts, [one.end for one in ranges], on_error="return"))

    def _read_local(self, file: str, ranges: Any) -> list[bytes | Exception]:
        wanted: list[ByteRange] = list(ranges)
        try:
            opened = open_within(self._root, file)
        except OSError as reason:
            return [reason] * len(wanted)
        with opened:
            if hasattr(os, "posix_fadvise"):  # else the kernel reads ahead, beyond the range
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            return [_pread(opened.fileno(), one) for one in wanted]


def _pread(handle: int, wanted: ByteRange) -> bytes | Exception:
    """The bytes of a range; `pread` may give fewer than asked for before the file ends."""
    pieces: list[bytes] = []
    try:
        size = os.fstat(handle).st_size
        if wanted.end is None and size > MOST_WHOLE:
            return Refused(f"{wanted.file} has {size} bytes, more than {MOST_WHOLE}")
        end = size if wanted.end is None else min(size, wanted.end)
        start = wanted.start
        while start < end and (piece := os.pread(handle, end - start, start)):
            pieces.append(piece)
            start += len(piece)
    except OSError as reason:
        return reason
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _may_pass(one: bytes | Exception) -> bool:
    return isinstance(one, Exception) and not isinstance(one, FileNotFoundError | PermissionError | Refused)
