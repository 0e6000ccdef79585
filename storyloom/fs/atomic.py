"""Atomic writes: files and folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

TEMPORARY_SUFFIX = ".storyloom-tmp"
"""Suffix of every unfinished file and folder."""


def temporary(path: Path) -> Path:
    """A name beside `path` that no other writer uses; it contains the host and the process that write it."""
    owner = f"{socket.gethostname()}.{os.getpid()}"
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.{owner}{TEMPORARY_SUFFIX}")


@contextmanager
def committing(path: Path) -> Iterator[Path]:
    """Yield a temporary path; when the block succeeds, the file there becomes `path`. Makes the folder.

    An existing `path` stays as it is: two writers of one part write the same bytes, and a reader must never see a file
    change, which renaming over it would do.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = temporary(path)
    try:
        yield unfinished
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(unfinished, path)
        sync_folder(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def commit_bytes(path: Path, content: bytes) -> None:
    """Commit a small file."""
    with committing(path) as unfinished:
        unfinished.write_bytes(content)


@contextmanager
def committing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder; when the block succeeds, it becomes `path`, unless that exists already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = temporary(path)
    unfinished.mkdir()
    try:
        yield unfinished
        try:
            unfinished.rename(path)
        except OSError:
            if not path.is_dir():
                raise
        sync_folder(path.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a file to write into, which replaces `path` when the block ends without an exception.

    It is synced to disk before the rename. An exception leaves `path` as it was and no temporary file.
    """
    unfinished = temporary(path)
    try:
        with unfinished.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file at once."""
    with replacing(path) as file:
        file.write(content)


def remove_leftovers(folder: Path) -> None:
    """Remove the unfinished files of killed writers on this machine from a folder."""
    host = socket.gethostname()
    for unfinished in folder.glob(f".*.{host}.*{TEMPORARY_SUFFIX}"):
        owner = unfinished.name.removesuffix(TEMPORARY_SUFFIX).rsplit(".", 1)[-1]
        if not owner.isdecimal() or _alive(int(owner)):
            continue
        if unfinished.is_dir():
            shutil.rmtree(unfinished, ignore_errors=True)
        else:
            unfinished.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Sync a folder, so that new and changed names in it survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
