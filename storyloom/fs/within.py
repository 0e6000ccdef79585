"""Files below a folder, opened so that nothing outside it is reached, whatever a stranger put into the folder."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Sequence
from io import FileIO
from pathlib import Path

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", 0)
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

BLOB = re.compile(r"(?:\.\./)+blobs/(?:[0-9a-f]{40}|[0-9a-f]{64})")
"""Where a link of huggingface_hub's cache leads: ``snapshots/REVISION`` is a folder of links to ``blobs/HASH`` beside
``snapshots`` (huggingface_hub's guide "Understand caching")."""


MOST_HOLES = 16 * 2**20
"""Bytes of a file that take no room on the disk, at most (our choice): a terabyte of them costs a stranger nothing."""


class Refused(OSError):
    """A name leads out of the folder, or to something that is no regular file."""


def open_within(root: str | os.PathLike[str], file: str) -> FileIO:
    """Open a regular file below a folder, unbuffered; no link is followed but the folder's own name.

    The exception is a snapshot of huggingface_hub's cache, whose links lead to its own blobs.

    Args:
        root: The folder.
        file: Path of the file within it, with forward slashes.

    Raises:
        Refused: The path is absolute or has ``..``, a link is on it, it is a folder, a pipe or a device, or has holes.
        OSError: It cannot be opened.
    """
    steps = file.split("/")
    if not file.isprintable() or {"", ".", ".."} & set(steps):
        raise Refused(f"{file!r} is no path within the dataset")
    try:
        handle = _handle(os.fspath(root), steps)
    except OSError as reason:
        if reason.errno == errno.ELOOP:
            raise Refused(f"{file} is a link, which is not followed") from None
        if reason.errno in (errno.ENOTDIR, errno.ENXIO, errno.ENAMETOOLONG) and reason.filename != os.fspath(root):
            raise Refused(f"{file} is not a regular file below a folder: {reason.strerror}") from None
        raise type(reason)(reason.errno, reason.strerror, file) from None
    if flaw := _flaw(handle):
        os.close(handle)
        raise Refused(f"{file} {flaw}")
    return FileIO(handle)


def read_within(root: str | os.PathLike[str], file: str, most: int) -> bytes:
    """Content of a regular file below a folder: see `open_within`.

    Args:
        root: The folder.
        file: Path of the file within it.
        most: Bytes that it may have.

    Raises:
        Refused: As by `open_within`, or it has more bytes.
        OSError: It cannot be read.
    """
    with open_within(root, file) as opened:
        if (size := os.fstat(opened.fileno()).st_size) > most:
            raise Refused(f"{file} has {size} bytes, more than {most}")
        return opened.readall()


def version_of_open(file: FileIO) -> str:
    """What tells an open file from another one that is put in its place, or that was written into it."""
    found = os.fstat(file.fileno())
    return f"{found.st_mtime_ns}.{found.st_ino}.{found.st_size}"


def is_folder(path: str) -> bool:
    """Whether it is a folder, and not a link to one."""
    return Path(path).is_dir() and not Path(path).is_symlink()


def _flaw(handle: int) -> str:
    """Why an open file is not read; empty when it is."""
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        return "is not a regular file"
    # st_blocks may be 0 where the file lies on a server; holes are counted only where there may be some
    if found.st_size - 512 * found.st_blocks > MOST_HOLES and _holes(handle, found.st_size) > MOST_HOLES:
        return f"has holes of over {MOST_HOLES} bytes"
    return ""


def _holes(handle: int, size: int) -> int:
    """Bytes of a file's holes; counting ends beyond `MOST_HOLES`."""
    holes = at = 0
    while at < size and holes <= MOST_HOLES:
        hole = os.lseek(handle, at, os.SEEK_HOLE)
        try:
            at = os.lseek(handle, hole, os.SEEK_DATA) if hole < size else size
        except OSError:  # ENXIO: no data follows
            at = size
        holes += at - hole
    os.lseek(handle, 0, os.SEEK_SET)
    return holes


def _handle(root: str, steps: Sequence[str]) -> int:
    try:
        return _open(root, steps)
    except OSError as reason:
        blob = _blob(Path(root), steps) if reason.errno == errno.ELOOP else None
        if blob is None:
            raise
    return _open(*blob)


def _open(root: str, steps: Sequence[str]) -> int:
    folder = os.open(root, FOLDER)
    try:
        for step in steps[:-1]:
            inner = os.open(step, FOLDER | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(steps[-1], FILE, dir_fd=folder)
    finally:
        os.close(folder)


def _blob(root: Path, steps: Sequence[str]) -> tuple[str, list[str]] | None:
    """Folder and path of the blob that a link in a snapshot of huggingface_hub's cache stands for; else None."""
    snapshot = Path(os.path.realpath(root))  # a link to itself is no exception here
    target = str(snapshot.joinpath(*steps).readlink())
    climbs = "../" * (len(steps) + 1)
    if snapshot.parent.name != "snapshots" or not BLOB.fullmatch(target) or not target.startswith(f"{climbs}blobs/"):
        return None
    return str(snapshot.parent.parent), ["blobs", target.removeprefix(f"{climbs}blobs/")]
