"""`Files` of a folder on a disk, which may be shared by the machines of a cluster."""

from __future__ import annotations

import contextlib
import filecmp
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from storyloom.fs.atomic import (
    TEMPORARY_SUFFIX,
    commit_bytes,
    remove_leftovers,
    sync_folder,
    temporary,
    write_atomically,
)
from storyloom.fs.files import Entry


class DiskFiles:
    """See `Files`. Folders are made with their files.

    Args:
        root: The folder; need not exist.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.address = str(root)

    def read(self, name: str) -> bytes:
        return (self._root / name).read_bytes()

    def open(self, name: str) -> BinaryIO:
        return (self._root / name).open("rb")

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        path = self._root / name
        path.stat()
        yield path

    def entry(self, name: str) -> Entry | None:
        try:
            found = (self._root / name).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        return Entry(name, found.st_size, f"{found.st_mtime_ns}.{found.st_ino}")

    def entries(self, folder: str = "") -> list[Entry]:
        with contextlib.suppress(FileNotFoundError), os.scandir(self._root / folder) as found:
            names = sorted(one.name for one in found if _is_ours(one) and one.is_file())
            return [one for one in map(self.entry, [_joined(folder, name) for name in names]) if one]
        return []

    def tree(self, folder: str = "") -> Iterator[Entry]:
        for inner in sorted([*(one.name for one in self.entries(folder)), *map(_slashed, self.folders(folder))]):
            if inner.endswith("/"):
                yield from self.tree(inner[:-1])
            elif found := self.entry(inner):
                yield found

    def folders(self, folder: str = "") -> list[str]:
        with contextlib.suppress(FileNotFoundError), os.scandir(self._root / folder) as found:
            return sorted(_joined(folder, one.name) for one in found if _is_ours(one) and one.is_dir())
        return []

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        self._root.mkdir(parents=True, exist_ok=True)
        folder = temporary(self._root / "scratch")
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def create(self, name: str, content: bytes | Path) -> bool:
        path = self._root / name
        if isinstance(content, bytes):
            commit_bytes(path, content)
            return path.read_bytes() == content
        path.parent.mkdir(parents=True, exist_ok=True)
        _sync(content)
        try:
            os.link(content, path)
        except FileExistsError:
            return filecmp.cmp(content, path, shallow=False)
        sync_folder(path.parent)
        return True

    def create_folder(self, name: str, content: Path) -> None:
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        for file in content.rglob("*"):
            if file.is_file():
                _sync(file)
        try:
            content.rename(path)
        except OSError:
            if not path.is_dir():
                raise
            return
        content.mkdir()  # `scratch` goes on
        sync_folder(path.parent)

    def replace(self, name: str, content: bytes | Path) -> None:
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            write_atomically(path, content)
            return
        _sync(content)
        unfinished = temporary(path)
        os.link(content, unfinished)
        try:
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        sync_folder(path.parent)

    def remove(self, name: str) -> None:
        (self._root / name).unlink(missing_ok=True)

    def remove_folder(self, folder: str) -> None:
        shutil.rmtree(self._root / folder, ignore_errors=True)

    def remove_leftovers(self) -> None:
        """Remove what killed writers of this machine left in `scratch`."""
        if self._root.is_dir():
            remove_leftovers(self._root)


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _slashed(name: str) -> str:
    return f"{name}/"


def _is_ours(one: os.DirEntry[str]) -> bool:
    return not one.name.endswith(TEMPORARY_SUFFIX)


def _sync(file: Path) -> None:
    with file.open("rb") as content:
        os.fsync(content.fileno())
