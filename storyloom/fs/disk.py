"""`Files` of a folder on a disk, which may be shared by the machines of a cluster."""

from __future__ import annotations

import errno
import fcntl
import filecmp
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from storyloom.fs.atomic import TEMPORARY_SUFFIX, remove_leftovers, sync_folder, temporary
from storyloom.fs.files import Entry, Files

SETTLED_NS = 10 * 10**9
"""Nanoseconds without a change after which a folder's modification time identifies its listing (our choice).

More than the resolution of file systems' clocks, which may hide a second change, and than the skew of clocks."""


OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
"""Errors of the operating system that a copy would meet as well."""


class DiskFiles:
    """See `Files`. Folders are made with their files; what is unfinished lies in the root.

    Args:
        root: The folder; need not exist.
    """

    keeps_bytes = False
    cached = False

    def __init__(self, root: Path) -> None:
        self.root = root
        self.address = str(root)

    def within(self, folder: str) -> DiskFiles:
        return DiskFiles(self.root / folder)

    def flaw(self, *, by_trying: bool = False) -> str:
        above = (self.root, *self.root.parents)
        try:
            if broken := [folder for folder in above if os.path.lexists(folder) and not folder.exists()]:
                return f"{broken[0]} is a link to nothing"
            there = self._there()
        except OSError as reason:
            return f"{self.root} cannot be reached: {reason}"
        if not there.is_dir():
            return f"{there} is no folder"
        if by_trying:
            try:
                tempfile.TemporaryFile(dir=there).close()
            except OSError as reason:
                return f"{there} cannot be written ({reason})"
            return ""
        return "" if os.access(there, os.W_OK | os.X_OK) else f"{there} cannot be written"

    def free(self) -> int | None:
        return shutil.disk_usage(self._there()).free

    def _there(self) -> Path:
        """The folder, or the one that it will be made in."""
        return next(folder for folder in (self.root, *self.root.parents) if folder.exists())

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def read_all(self, names: Sequence[str]) -> list[bytes | None]:
        return [self._content(name) for name in names]

    def open(self, name: str) -> BinaryIO:
        return (self.root / name).open("rb")

    @contextmanager
    def local(self, name: str, identity: str = "") -> Iterator[Path]:
        del identity
        path = self.root / name
        path.stat()
        yield path

    def entry(self, name: str) -> Entry | None:
        try:
            found = (self.root / name).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return _entry(name, found) if stat.S_ISREG(found.st_mode) else None

    def entries(self, folder: str = "", beginning: str = "") -> list[Entry]:
        found = []
        for one in self._in(folder):
            if not one.name.startswith(beginning):
                continue
            with suppress(FileNotFoundError):  # removed since it was listed
                if one.is_symlink() or one.is_file():
                    found.append(_entry(_joined(folder, one.name), one.stat(follow_symlinks=False)))
        return sorted(found, key=lambda one: one.name)

    def tree(self, folder: str = "") -> Iterator[Entry]:
        entries = {one.name: one for one in self.entries(folder)}
        for name in sorted([*entries, *(f"{inner}/" for inner in self.folders(folder))]):
            if name.endswith("/"):
                yield from self.tree(name[:-1])
            else:
                yield entries[name]

    def folders(self, folder: str = "") -> list[str]:
        return sorted(_joined(folder, one.name) for one in self._in(folder) if one.is_dir(follow_symlinks=False))

    def stamp(self, folder: str) -> str:
        with suppress(FileNotFoundError, NotADirectoryError):
            changed = (self.root / folder).stat().st_mtime_ns
            return str(changed) if time.time_ns() - changed > SETTLED_NS else ""
        return ""

    def prepare(self, folders: Sequence[str]) -> None:
        for folder in folders:
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        with self.scratch():
            pass
        self.remove_leftovers()

    def remove_leftovers(self) -> None:
        remove_leftovers(self.root)

    def folder_here(self, name: str) -> Path:
        return self.root / name

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        self.root.mkdir(parents=True, exist_ok=True)
        folder = temporary(self.root / "scratch")
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def create(self, name: str, content: bytes | Path, *, private: bool = False, identity: str = "") -> bool:
        del identity
        path = self.root / name
        with self._unfinished(name, content, durably=True, private=private) as unfinished:
            try:
                os.link(unfinished, path)
            except FileExistsError:
                # A link is another's file, which may change.
                return path.is_file() and not path.is_symlink() and filecmp.cmp(unfinished, path, shallow=False)
        sync_folder(path.parent)
        return True

    def link(self, name: str, file: Path, identity: str) -> None:
        del identity
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = temporary(self.root / path.name)
        unfinished.symlink_to(file)
        unfinished.replace(path)

    def forget(self, identity: str) -> None:
        """Nothing was brought: files are read where they lie."""

    def create_folder(self, name: str, content: Path) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        for file in content.rglob("*"):
            if file.is_file():
                _sync(file)
        try:
            content.rename(path)
        except OSError:
            if not path.is_dir():
                raise
        sync_folder(path.parent)

    def replace_folder(self, name: str, content: Path, last: str, meanwhile: bytes) -> None:
        del last, meanwhile
        path = self.root / name
        before = temporary(path)
        if path.exists():
            path.rename(before)
        try:
            content.rename(path)
        except BaseException:
            if before.exists():
                before.rename(path)
            raise
        sync_folder(path.parent)
        shutil.rmtree(before, ignore_errors=True)

    def replace(self, name: str, content: bytes | Path, *, durably: bool = True, private: bool = False) -> None:
        path = self.root / name
        with self._unfinished(name, content, durably=durably, private=private) as unfinished:
            unfinished.replace(path)
        if durably:
            sync_folder(path.parent)

    def copy(self, name: str, source: Files, source_name: str) -> None:
        with source.local(source_name) as path:
            self.replace(name, path)

    @contextmanager
    def alone(self, marker: str, unchanged: type[Exception]) -> Iterator[None]:
        path = self.root / marker
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            lock = path.open("ab")
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists() and os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                break
            lock.close()  # the previous holder removed the file
        with lock:
            for left in self.root.glob(f".*{TEMPORARY_SUFFIX}"):  # of whoever was killed here, on any machine
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            try:
                yield
            except unchanged:
                path.unlink(missing_ok=True)
                raise
            path.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        (self.root / name).unlink(missing_ok=True)

    def remove_folder(self, folder: str) -> None:
        shutil.rmtree(self.root / folder, ignore_errors=True)

    def unfinished(self, age: float) -> list[Entry]:
        found = []
        for path in self.root.glob(f".*{TEMPORARY_SUFFIX}"):
            with suppress(FileNotFoundError):  # its writer has ended
                entry = _entry(path.name, path.stat())
                found += [entry] if entry.modified < time.time() - age else []
        return sorted(found, key=lambda one: one.name)

    def abandon(self, found: Entry) -> None:
        path = self.root / found.name
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def _content(self, name: str) -> bytes | None:
        try:
            return (self.root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _in(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.root / folder) as found:
                return [one for one in found if not one.name.endswith(TEMPORARY_SUFFIX)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    @contextmanager
    def _unfinished(self, name: str, content: bytes | Path, *, durably: bool, private: bool) -> Iterator[Path]:
        """A file with this content, for a file of this name to come."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = temporary(self.root / path.name)
        try:
            if isinstance(content, bytes):
                unfinished.touch(0o600 if private else 0o666)
                unfinished.write_bytes(content)
            else:
                _linked(content, unfinished)
            if durably:
                _sync(unfinished)
            yield unfinished
        finally:
            unfinished.unlink(missing_ok=True)


def _entry(name: str, found: os.stat_result) -> Entry:
    return Entry(name, found.st_size, f"{found.st_mtime_ns}.{found.st_ino}", found.st_mtime)


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _linked(file: Path, link: Path) -> None:
    """Another name of a file, or a copy of it on another file system, or on one without hard links."""
    try:
        os.link(file.resolve(), link)
    except OSError as reason:
        if reason.errno in OF_THE_DISK:
            raise
        shutil.copyfile(file, link)


def _sync(file: Path) -> None:
    with file.open("rb") as content:
        os.fsync(content.fileno())
