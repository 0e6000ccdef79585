"""Byte ranges over HTTP, bounded in bytes and in time: fsspec reads an answer to its end, however long that is."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from storyloom.fs.failure import answered
from storyloom.fs.ranges import MOST_WHOLE, ByteRange
from storyloom.fs.within import Refused

PATIENCE = 60.0
"""Seconds for an answer of no length (our choice)."""

SLOWEST = 2**20
"""Bytes a second that an answer comes with, else it is given up (our choice)."""

REFUSALS = {HTTPStatus.UNAUTHORIZED: PermissionError, HTTPStatus.FORBIDDEN: PermissionError}
"""Errors of statuses that no other attempt changes."""

UNKNOWN = -1
"""Size of a file of which a server does not tell it."""

CHUNK = 2**16
"""Bytes that are taken from an answer at a time."""


async def read(files: Any, url: str, wanted: ByteRange) -> bytes:
    """The content of a range. One byte more than asked for says that there are more.

    Args:
        files: fsspec's file system of HTTP.
        url: Of the file.
        wanted: What to read of it.
    """
    most = (MOST_WHOLE if wanted.end is None else wanted.end) - wanted.start
    seconds = PATIENCE + most / SLOWEST
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds) as clock, await _asked(files, url, wanted) as answer:
            if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:  # the file ends before it
                return b""
            if (coding := answer.headers.get("Content-Encoding", "identity")) != "identity":
                raise Refused(f"the server sends {wanted.file} as {coding}, which was not asked for")
            async for piece in answer.content.iter_any():
                pieces.append(piece)
                size += len(piece)
                if size > most:
                    break
    except TimeoutError:
        if not clock.expired():  # one of the connection's own, which may pass
            raise
        raise Refused(f"no whole answer in {seconds:.0f} s") from None
    if wanted.end is None and size > most:
        raise Refused(f"{wanted.file} has more than {most} bytes")
    content = b"".join(pieces)
    return content[: most + 1] if size > most else content


async def state(files: Any, url: str) -> tuple[int, str]:
    """A file's size, or `UNKNOWN`, and what the server tells its content apart by; empty where it tells nothing.

    Raises:
        FileNotFoundError: There is none.
    """
    try:
        async with asyncio.timeout(PATIENCE) as clock, await _asked(files, url, ByteRange(url, 0, 1)) as answer:
            await answer.content.read(CHUNK)  # a connection with unread bytes would be closed
            whole = answer.headers.get("Content-Range", "").rpartition("/")[2]
            size = answer.headers.get("Content-Length", "") if answer.status == HTTPStatus.OK else whole
            return int(size) if size.isdecimal() else UNKNOWN, answer.headers.get("ETag") or answer.headers.get(
                "Last-Modified", ""
            )
    except TimeoutError:
        if not clock.expired():
            raise
        raise Refused(f"no answer in {PATIENCE:.0f} s") from None


async def _asked(files: Any, url: str, wanted: ByteRange) -> Any:
    """The answer to a request for a range, whose content is not read yet.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: The server fails or refuses.
    """
    # A compressed answer is as long as its sender likes, and a range of it is a range of something else.
    headers = {**files.kwargs.get("headers", {}), "Accept-Encoding": "identity"}
    if wanted.end is not None:
        headers["Range"] = f"bytes={wanted.start}-{wanted.end - 1}"
    session = await files.set_session()
    answer = await session.get(files.encode_url(url), **{**files.kwargs, "headers": headers})
    refused = answer.status >= HTTPStatus.BAD_REQUEST
    if refused and answer.status not in (HTTPStatus.NOT_FOUND, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE):
        answer.close()
        raise REFUSALS.get(answer.status, OSError)(answered(answer.status))
    if answer.status == HTTPStatus.NOT_FOUND:
        answer.close()
        raise FileNotFoundError(url)
    return answer
