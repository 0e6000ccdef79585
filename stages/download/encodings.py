"""Bodies that a server sends in a content coding, although none was asked for (RFC 9110, section 8.4)."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator

import pyarrow as pa

from stages.base import VideoFailed
from stages.download.fetch import Bounds

BLOCK = 1 << 16
"""Bytes that are decoded at a time, so that a bomb is noticed before it is in memory (our choice)."""

MAX_CODINGS = 3
"""Codings on top of each other that are undone; honest servers send one (our choice)."""

CODECS = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate", "br": "brotli", "zstd": "zstd"}
"""The decoder of each coding: Python's for the first three (its gzip skips zeros at the end), pyarrow's for others."""

BROKEN_OFF = "Truncated"
"""What pyarrow's complaint begins with when a body ends in the middle."""

NO_CODING = frozenset({"", "identity", "none", "binary", "utf-8", "aws-chunked"})
"""What servers write there that is no coding; S3 keeps ``aws-chunked`` of an upload. Browsers ignore such values."""

ZLIB_METHOD, ZLIB_CHECK = 8, 31
"""The method in the first byte of the zlib format, and the divisor of its first two (RFC 1950, section 2.2)."""


def codings_of(header: str) -> list[str]:
    """The codings of a Content-Encoding header, in the order in which they were applied.

    Raises:
        VideoFailed: ``bad_encoding`` for an unknown one, or more than `MAX_CODINGS`.
    """
    found = [coding for coding in (one.strip().lower() for one in header.split(",")) if coding not in NO_CODING]
    unknown = [coding for coding in found if coding not in CODECS]
    if unknown:
        raise VideoFailed("bad_encoding", f"the content coding {unknown[0][:40]!r} is unknown")
    if len(found) > MAX_CODINGS:
        raise VideoFailed("bad_encoding", f"{len(found)} content codings on top of each other")
    return found


def decoded(chunks: Iterator[bytes], codings: list[str], bounds: Bounds) -> Iterator[bytes]:
    """Undo the codings of a body, `BLOCK` bytes at a time; what each is made from keeps to the bounds, too.

    Raises:
        VideoFailed: ``bad_encoding``: the body is not in these codings; ``truncated_download``: it breaks off;
            ``too_slow``.
        VideoDropped: ``too_large``.
    """
    for coding in reversed(codings):
        chunks = _undone(chunks, coding, bounds)
    return chunks


def _undone(chunks: Iterator[bytes], coding: str, bounds: Bounds) -> Iterator[bytes]:
    body = io.BufferedReader(_Chunks(chunks, bounds), BLOCK)
    if not body.peek():  # an empty body is what many servers make of it
        return
    try:
        yield from _blocks(body, CODECS[coding])
    except (OSError, EOFError, pa.ArrowException, zlib.error) as reason:
        if isinstance(reason, EOFError) or str(reason).startswith(BROKEN_OFF):
            message = f"the body broke off in the middle of its {coding}"
            raise VideoFailed("truncated_download", message, retryable=True) from reason
        message = f"the body is not the {coding} that its Content-Encoding says, or is damaged: {reason}"
        raise VideoFailed("bad_encoding", message) from reason


def _blocks(body: io.BufferedReader[_Chunks], codec: str) -> Iterator[bytes]:
    if codec == "deflate":
        yield from _inflated(body)
        return
    source = gzip.GzipFile(fileobj=body) if codec == "gzip" else pa.CompressedInputStream(pa.PythonFile(body), codec)
    with source as stream:
        while block := stream.read(BLOCK):
            yield block


def _inflated(body: io.BufferedReader[_Chunks]) -> Iterator[bytes]:
    """The zlib format (RFC 1950), or what many servers send instead of it, the bare RFC 1951."""
    start = body.peek()
    is_zlib = start[0] & 0x0F == ZLIB_METHOD and int.from_bytes(start[:2], "big") % ZLIB_CHECK == 0
    inflater = zlib.decompressobj(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)
    while not inflater.eof:
        data = inflater.unconsumed_tail or body.read1(BLOCK)
        block = inflater.decompress(data, BLOCK)
        if not data and not block:
            raise EOFError
        yield block


class _Chunks(io.RawIOBase):
    """A file over chunks, within bounds, whose first read has two bytes at least, unless there is only one."""

    def __init__(self, chunks: Iterator[bytes], bounds: Bounds) -> None:
        self._left = b""
        self._chunks = chunks
        self._size = 0
        self._bounds = bounds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while len(self._left) <= 1 and (chunk := next(self._chunks, None)) is not None:
            self._size += len(chunk)
            self._bounds.check_size(self._size)
            self._bounds.check_time()
            self._left += chunk
        taken = self._left[: len(buffer)]
        buffer[: len(taken)] = taken
        self._left = self._left[len(taken) :]
        return len(taken)
