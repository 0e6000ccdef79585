"""A folder of files on a disk or behind any URL that fsspec reads; byte ranges of its files.

Files of a folder on a disk are opened by `within` alone: a stranger's dataset reaches nothing outside its folder.
"""

from __future__ import annotations

import errno
import io
import os
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, Literal, TypeVar

from storyloom.errors import UsageError
from storyloom.fs import http, remote
from storyloom.fs.connect import connected
from storyloom.fs.failure import why
from storyloom.fs.ranges import MOST_WHOLE, ByteRange
from storyloom.fs.remote import Stated
from storyloom.fs.url import local_path, redacted, scheme_of, without_secrets
from storyloom.fs.within import Refused, is_folder, open_within, version_of_open

ATTEMPTS = 4
"""Attempts at a range, the first included (our choice)."""

PAUSE = 0.5
"""Seconds before the second attempt; doubles with each further one (our choice)."""

AHEAD = 8 * 2**20
"""Bytes that are read of a file behind a URL at a time, where it is read from front to back (our choice)."""

Kind = Literal["file", "folder", "other"]

T = TypeVar("T")


class DataFolder:
    """Reads byte ranges; fsspec is imported for a URL only.

    Args:
        place: Path of the folder, or its URL, such as ``s3://bucket/folder``.
        options: fsspec's options for the URL, e.g. credentials.

    Attributes:
        address: The path, or the URL without userinfo and query, without a slash at its end.
        is_here: Whether it is a folder on a disk.
        lists: Whether its files can be listed; a web server's cannot.

    Raises:
        UsageError: The URL's store needs a package that is missing, or is none that fsspec knows.
    """

    def __init__(self, place: str | os.PathLike[str], options: Mapping[str, Any] | None = None) -> None:
        self._url = os.fspath(place)
        if scheme_of(self._url) == "file":
            try:
                self._url = str(local_path(self._url))
            except ValueError as reason:
                raise UsageError(str(reason)) from None
        self._root = self._url.rstrip("/") or self._url[:1]
        self._options = options
        self._files: Any = None
        self.address = redacted(self._root)
        self.is_here = "://" not in self._url
        self.lists = True
        if not self.is_here:
            if self._root.endswith(":"):
                raise UsageError(f"{self.address}// names no folder")
            self._files = self._connect()
            self.lists = "https" not in self._files.protocol

    def read(self, ranges: Sequence[ByteRange]) -> list[bytes | Exception]:
        """The content of each range, or the error of reading it; fewer bytes where the file ends inside the range.

        Ranges are requested at once where the store supports it. Failed ones are retried, unless the file is missing,
        forbidden (but a store's credentials are looked for again), too slow, or none that is read from a dataset
        (`Refused`). A range takes no more memory than there are bytes.
        """
        began = time.monotonic()
        found = self._read(ranges)
        for attempt in range(1, ATTEMPTS):
            failed = [n for n, one in enumerate(found) if isinstance(one, Exception) and self._may_pass(one)]
            if not failed or time.monotonic() - began > http.PATIENCE:
                break
            self._pause(attempt)
            for n, one in zip(failed, self._read([ranges[n] for n in failed]), strict=True):
                found[n] = one
        return found

    def read_whole(self, file: str, most: int = MOST_WHOLE) -> bytes:
        """Content of a file of at most so many bytes.

        Raises:
            FileNotFoundError: There is none.
            OSError: It cannot be read; or it is larger, or none that is read from a dataset (`Refused`).
        """
        (content,) = self.read([ByteRange(file, 0, most + 1)])
        if isinstance(content, Exception):
            raise self._error(content)
        if len(content) > most:
            raise Refused(f"{file} has more than {most} bytes")
        return content

    def stated(self, file: str) -> Stated:
        """A file's size and version.

        Raises:
            FileNotFoundError: There is none.
            OSError: It cannot be looked at, or is none that is read from a dataset (`Refused`).
        """
        if self.is_here:
            with open_within(self._root, file) as opened:
                return Stated(os.fstat(opened.fileno()).st_size, version_of_open(opened))
        return self._tried(lambda: remote.stated(self._files, f"{self._root}/{file}"))

    def open(self, file: str) -> io.RawIOBase:
        """A file to read from at any place, unbuffered: little of it is in memory at a time, and none on a disk.

        Raises:
            FileNotFoundError: There is none.
            OSError: It cannot be opened, or is none that is read from a dataset (`Refused`).
        """
        if self.is_here:
            return open_within(self._root, file)
        if (size := self.stated(file).size) == http.UNKNOWN:
            raise Refused(f"the server does not tell how many bytes {file} has")
        return _Ranged(self, file, size)

    def listed(self, folder: str = "") -> dict[str, Kind]:
        """The names in a folder, sorted, each with what it is; nothing where there is none, or it is a link.

        Raises:
            OSError: It cannot be listed.
        """
        path = f"{self._root}/{folder}" if folder else self._root
        if self.is_here:
            if folder and not is_folder(path):
                return {}
            with os.scandir(path) as entries:
                return dict(sorted((one.name, _kind(one)) for one in entries))
        found = self._tried(lambda: remote.listed(self._files, path))
        # Some stores list a folder within itself.
        inner = {
            one["name"].rstrip("/").rpartition("/")[2]: one
            for one in found
            if one["name"].strip("/") != path.strip("/")
        }
        return {name: "folder" if inner[name]["type"] == "directory" else "file" for name in sorted(inner)}

    def why(self, reason: BaseException) -> str:
        """Why a file could not be read, in words that hold nothing secret."""
        return without_secrets(why(reason), self._url)

    def _tried(self, request: Callable[[], T]) -> T:
        """The answer to a request that is sent several times.

        Raises:
            OSError: The last error; one that another attempt would not change comes at once.
        """
        began = time.monotonic()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return request()
            except Exception as reason:  # noqa: BLE001 - the libraries of the stores raise errors of their own
                if attempt == ATTEMPTS or not self._may_pass(reason) or time.monotonic() - began > http.PATIENCE:
                    raise self._error(reason) from None
            self._pause(attempt)
        raise AssertionError("the last attempt raises")

    def _connect(self, *, anew: bool = False) -> Any:
        files, root = connected(self._url, self._options, anew=anew)
        self._root = root.rstrip("/")
        return files

    def _pause(self, attempt: int) -> None:
        """Wait before another attempt; a store is connected to again, with credentials that may have been renewed."""
        time.sleep(PAUSE * 2 ** (attempt - 1))
        if not self.is_here and self.lists:
            self._files = self._connect(anew=True)

    def _may_pass(self, reason: Exception) -> bool:
        if isinstance(reason, FileNotFoundError | Refused):
            return False
        return not isinstance(reason, PermissionError) or (not self.is_here and self.lists)

    def _error(self, reason: Exception) -> OSError:
        """An error as one of the operating system's, without secrets."""
        if self.is_here and isinstance(reason, OSError):
            return reason
        kinds = (FileNotFoundError, PermissionError, Refused)
        return next((kind for kind in kinds if isinstance(reason, kind)), OSError)(self.why(reason))

    def _read(self, ranges: Sequence[ByteRange]) -> list[bytes | Exception]:
        if not self.is_here:
            return remote.read_ranges(self._files, self._root, ranges)
        return [one for file, some in groupby(ranges, key=lambda one: one.file) for one in self._read_local(file, some)]

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


def _kind(entry: os.DirEntry[str]) -> Kind:
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    return "file" if entry.is_file(follow_symlinks=False) else "other"


class _Ranged(io.RawIOBase):
    """A file behind a URL, read by ranges, of which the last one is in memory."""

    def __init__(self, folder: DataFolder, file: str, size: int) -> None:
        self._folder, self._file, self._size = folder, file, size
        self._at = self._first = 0
        self._block = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence])
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        """Read on; fewer bytes than the buffer takes at the end of a range.

        Raises:
            OSError: It cannot be read, or the server ignores ranges.
        """
        within = self._at - self._first
        if not 0 <= within < len(self._block):
            self._fetch(max(AHEAD, len(buffer)))
            within = 0
        piece = self._block[within : within + len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def _fetch(self, most: int) -> None:
        end = min(self._size, self._at + most)
        wanted = [ByteRange(self._file, self._at, end)] if end > self._at else []
        self._first, self._block = self._at, b""
        for content in self._folder.read(wanted):
            if isinstance(content, Exception):
                raise OSError(errno.EIO, self._folder.why(content), self._file) from None
            if len(content) > end - self._at:
                raise Refused(f"{self._file}: the server ignores byte ranges")
            self._block = content
