"""A file read once, front to back, and hashed on the way."""

from __future__ import annotations

import hashlib
from io import RawIOBase

CHUNK = 2**20
"""Bytes read at a time: enough for a disk, and small enough for a processor's cache while it is hashed (our choice)."""


class HashedStream:
    """Bytes of a file in order. After `drain`, the hashes are those of the whole file.

    Args:
        file: Opened without a buffer, at its start.
    """

    def __init__(self, file: RawIOBase) -> None:
        self.sha256 = hashlib.sha256()
        self.md5 = hashlib.md5(usedforsecurity=False)
        self.offset = 0
        self._file = file
        self._buffer = memoryview(bytearray(CHUNK))
        self._unread = self._buffer[:0]

    def take(self, count: int) -> bytes:
        """The next `count` bytes; fewer at the end of the file."""
        first = self._next(count).tobytes()
        if len(first) == count:
            return first
        pieces = [first]
        missing = count - len(first)
        while missing and (piece := self._next(missing).tobytes()):
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def skip(self, count: int) -> None:
        """Skip `count` bytes."""
        while count and (piece := self._next(count)):
            count -= len(piece)

    def drain(self) -> bool:
        """Read to the end of the file; returns whether all remaining bytes are zero."""
        zero = True
        while piece := self._next(CHUNK):
            zero = zero and not piece.tobytes().strip(b"\0")
        return zero

    def _next(self, count: int) -> memoryview:
        """At most `count` bytes, valid until the next call; empty at the end of the file only."""
        if not self._unread:
            read = self._buffer[: self._file.readinto(self._buffer)]
            self.sha256.update(read)
            self.md5.update(read)
            self._unread = read
        piece = self._unread[:count]
        self._unread = self._unread[count:]
        self.offset += len(piece)
        return piece
