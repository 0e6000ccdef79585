"""Byte ranges over HTTP, bounded in bytes and in time: fsspec reads an answer to its end, however long that is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from storyloom.fs.failure import answered
from storyloom.fs.ranges import MOST_WHOLE, ByteRange
from storyloom.fs.within import Refused

PATIENCE = 60.0
"""Seconds for an answer of no length (our choice)."""

SLOWEST = 2**20
"""Bytes a second that an answer comes with, else it is given up (our choice)."""

AT_ONCE = 32
"""Requests that are under way at once (our choice)."""

REFUSALS = {HTTPStatus.UNAUTHORIZED: PermissionError, HTTPStatus.FORBIDDEN: PermissionError}
"""Errors of statuses that no other attempt changes."""

CHUNK = 2**16
"""Bytes that are taken from an answer at a time."""


def read_ranges(files: Any, root: str, ranges: Sequence[ByteRange]) -> list[bytes | Exception]:
    """The content of each range, or the error of reading it. One byte more than asked for says that there are more.

    Args:
        files: fsspec's file system of HTTP.
        root: URL of the folder.
        ranges: Within it.
    """
    from fsspec.asyn import sync

    return list(sync(files.loop, _all, files, root, ranges))


async def _all(files: Any, root: str, ranges: Sequence[ByteRange]) -> list[bytes | BaseException]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(wanted: ByteRange) -> bytes:
        async with gate:
            return await _read(files, f"{root}/{wanted.file}", wanted)

    return await asyncio.gather(*map(one, ranges), return_exceptions=True)


async def _read(files: Any, url: str, wanted: ByteRange) -> bytes:
    most = (MOST_WHOLE if wanted.end is None else wanted.end) - wanted.start
    seconds = PATIENCE + most / SLOWEST
    # A compressed answer is as long as its sender likes, and a range of it is a range of something else.
    headers = {**files.kwargs.get("headers", {}), "Accept-Encoding": "identity"}
    if wanted.end is not None:
        headers["Range"] = f"bytes={wanted.start}-{wanted.end - 1}"
    content = bytearray()
    try:
        async with asyncio.timeout(seconds) as clock:
            session = await files.set_session()
            async with session.get(files.encode_url(url), **{**files.kwargs, "headers": headers}) as answer:
                if answer.status != HTTPStatus.NOT_FOUND and answer.status >= HTTPStatus.BAD_REQUEST:
                    raise REFUSALS.get(answer.status, OSError)(answered(answer.status))
                files._raise_not_found_for_status(answer, url)  # noqa: SLF001 - as its own readers do
                if (coding := answer.headers.get("Content-Encoding", "identity")) != "identity":
                    raise Refused(f"the server sends {wanted.file} as {coding}, which was not asked for")
                async for piece in answer.content.iter_chunked(CHUNK):
                    content += piece
                    if len(content) > most:
                        break
    except TimeoutError:
        if not clock.expired():  # one of the connection's own, which may pass
            raise
        raise Refused(f"no whole answer in {seconds:.0f} s") from None
    if wanted.end is None and len(content) > most:
        raise Refused(f"{wanted.file} has more than {most} bytes")
    return bytes(content[: most + 1])
