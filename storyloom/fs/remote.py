"""Byte ranges of files behind URLs, many at once, each bounded in time; and what is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, NamedTuple, TypeVar

from storyloom.fs import http
from storyloom.fs.connect import version_of
from storyloom.fs.ranges import MOST_WHOLE, ByteRange
from storyloom.fs.within import Refused

AT_ONCE = 32
"""Requests that are under way at once (our choice)."""

T = TypeVar("T")


class Stated(NamedTuple):
    """A file that is there.

    Attributes:
        size: Bytes; `http.UNKNOWN` where a web server does not tell.
        version: Differs between two contents under one name; empty where the server does not tell them apart.
    """

    size: int
    version: str


def read_ranges(files: Any, root: str, ranges: Sequence[ByteRange]) -> list[bytes | Exception]:
    """The content of each range, or the error of reading it. One byte more than asked for says that there are more.

    Args:
        files: fsspec's file system.
        root: Path of the folder in it.
        ranges: Within the folder.
    """
    if not files.async_impl:
        paths = [f"{root}/{one.file}" for one in ranges]
        # From None to None fsspec reads a file whole, without a range; it need not know its length.
        starts = [one.start if one.start or one.end is not None else None for one in ranges]
        return list(files.cat_ranges(paths, starts, [one.end for one in ranges], on_error="return"))
    from fsspec.asyn import sync

    return list(sync(files.loop, _all, files, root, ranges))


def stated(files: Any, path: str) -> Stated:
    """A file's size and version.

    Raises:
        FileNotFoundError: There is none.
        Exception: The server fails or refuses, or does not answer in time (`Refused`).
    """
    if not files.async_impl:
        return _stated(files.info(path))
    from fsspec.asyn import sync

    found: Stated = sync(files.loop, _state, files, path)
    return found


def listed(files: Any, path: str) -> list[dict[str, Any]]:
    """What lies in a folder, as fsspec says it; nothing where there is no such folder.

    Raises:
        Exception: The server fails or refuses, or does not answer in time (`Refused`).
    """
    try:
        if not files.async_impl:
            found: list[dict[str, Any]] = files.ls(path, detail=True)
            return found
        from fsspec.asyn import sync

        return list(sync(files.loop, _in_time, files._ls(path, detail=True), http.PATIENCE))  # noqa: SLF001 - fsspec's own
    except FileNotFoundError:
        return []


async def _all(files: Any, root: str, ranges: Sequence[ByteRange]) -> list[bytes | BaseException]:
    gate = asyncio.Semaphore(AT_ONCE)
    read: Callable[[Any, str, ByteRange], Awaitable[bytes]] = http.read if _is_http(files) else _read

    async def one(wanted: ByteRange) -> bytes:
        async with gate:
            return await read(files, f"{root}/{wanted.file}", wanted)

    return await asyncio.gather(*map(one, ranges), return_exceptions=True)


async def _state(files: Any, path: str) -> Stated:
    if _is_http(files):
        return Stated(*await http.state(files, path))
    return _stated(await _in_time(files._info(path), http.PATIENCE))  # noqa: SLF001 - fsspec's coroutines have these names


async def _read(files: Any, path: str, wanted: ByteRange) -> bytes:
    """A range of a file in a store; nothing where the file ends before it."""
    end = wanted.end
    if end is None:
        end = (await _state(files, path)).size
        if end > MOST_WHOLE:
            raise Refused(f"{wanted.file} has {end} bytes, more than {MOST_WHOLE}")
    if end <= wanted.start:
        return b""
    seconds = http.PATIENCE + (end - wanted.start) / http.SLOWEST
    try:
        return bytes(await _in_time(files._cat_file(path, start=wanted.start, end=end), seconds))  # noqa: SLF001
    except (FileNotFoundError, PermissionError, Refused):
        raise
    except Exception:  # how a range beyond the end is refused differs between the stores' packages
        if (await _state(files, path)).size <= wanted.start:
            return b""
        raise


async def _in_time(request: Coroutine[Any, Any, T], seconds: float) -> T:
    """The answer to a request.

    Raises:
        Refused: It does not come in time.
    """
    try:
        async with asyncio.timeout(seconds) as clock:
            return await request
    except TimeoutError:
        if not clock.expired():  # one of the connection's own, which may pass
            raise
        raise Refused(f"no whole answer in {seconds:.0f} s") from None


def _stated(found: dict[str, Any]) -> Stated:
    if found["type"] == "directory":
        raise FileNotFoundError(found["name"])
    return Stated(int(found["size"] or 0), version_of(found))


def _is_http(files: Any) -> bool:
    return "https" in files.protocol
