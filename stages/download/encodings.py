"""Bodies that a server sends in a content coding, although none was asked for (RFC 9110, section 8.4)."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator

import pyarrow as pa

from stages.base import VideoFailed

BLOCK = 1 << 16
"""Bytes that are decoded at a time, so that a bomb is noticed before it is in memory (our choice)."""

MAX_CODINGS = 3
"""Codings on top of each other that are undone; honest servers send one (our choice)."""

CODECS = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate", "br": "brotli", "zstd": "zstd"}
"""pyarrow's name of each coding (its gzip reads the zlib format too); ``deflate`` is looked at first."""

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


def decoded(chunks: Iterator[bytes], codings: list[str]) -> Iterator[bytes]:
    """Undo the codings of a body, `BLOCK` bytes at a time.

    Raises:
        VideoFailed: ``bad_encoding``: the body is not in these codings, or breaks off.
    """
    for coding in reversed(codings):
        chunks = _undone(chunks, coding)
    return chunks


def _undone(chunks: Iterator[bytes], coding: str) -> Iterator[bytes]:
    body = io.BufferedReader(_Chunks(chunks), BLOCK)
    start = body.peek()
    if not start:  # an empty body is what many servers make of it
        return
    try:
        if coding == "deflate" and not _is_zlib(start):
            yield from _raw_deflate(body)
            return
        codec = "gzip" if coding == "deflate" else CODECS[coding]
        with pa.CompressedInputStream(pa.PythonFile(body, "r"), codec) as stream:
            while block := stream.read(BLOCK):
                yield block
    except (OSError, pa.ArrowException, zlib.error) as reason:
        message = f"the body is not the {coding} that its Content-Encoding says, or is damaged: {reason}"
        raise VideoFailed("bad_encoding", message) from reason


def _is_zlib(start: bytes) -> bool:
    """Whether a body starts as RFC 1950, section 2.2, says; many servers send the bare RFC 1951 instead."""
    return start[0] & 0x0F == ZLIB_METHOD and int.from_bytes(start[:2], "big") % ZLIB_CHECK == 0


def _raw_deflate(body: io.BufferedReader[_Chunks]) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    while not inflater.eof:
        data = inflater.unconsumed_tail or body.read1(BLOCK)
        block = inflater.decompress(data, BLOCK)
        if not data and not block:
            raise zlib.error("it breaks off")
        yield block


class _Chunks(io.RawIOBase):
    """A file over chunks, whose first read has two bytes at least, unless there is only one."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._left = b""
        self._chunks = chunks

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while len(self._left) <= 1 and (chunk := next((one for one in self._chunks if one), b"")):
            self._left += chunk
        taken = self._left[: len(buffer)]
        buffer[: len(taken)] = taken
        self._left = self._left[len(taken) :]
        return len(taken)
