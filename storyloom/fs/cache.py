"""Files of stores on a disk of this machine, shared by its processes: each is brought once, the longest unused goes."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from storyloom.errors import UsageError
from storyloom.fs.atomic import TEMPORARY_SUFFIX, remove_leftovers, temporary

LOCK_SUFFIX = ".lock"
"""Suffix of the file that stands for a cached one while it is brought, used, or removed.

It holds the SHA-256 of what was brought, where that is no part of the name."""

COMING = "coming"
"""Folder of the cache with a file without content for each that is being brought, of the size that it will have."""

NAME = re.compile(r"[0-9a-z-]{2,200}(\.[0-9a-z]{1,10})?")
"""A name that tells a content apart from every other."""


FOLDER, BYTES = "STORYLOOM_CACHE", "STORYLOOM_CACHE_BYTES"
"""Variables of the environment: the cache's folder, and bytes that it may have."""

MANY = 1000
"""Files at which looking at all of them takes some milliseconds (our choice)."""

PATIENCE, PAUSE = 60.0, 0.2
"""Most seconds to wait for what others bring, and between two looks at it (our choice)."""

USUAL_SHARE = 0.5
"""Share of the disk's bytes, those of other files left out, that the cache may have where nothing is said (our choice).
"""


class NodeCache:
    """A folder of files by names that tell their contents apart, such as hashes: nothing in it can be out of date.

    A process that is killed leaves nothing that others wait for, and no half file.

    Args:
        folder: On a disk of this machine.
        most: Bytes that its files may have, more only where all are in use; `USUAL_SHARE` of what the disk has for
            them if not given.
    """

    def __init__(self, folder: Path, most: int | None = None) -> None:
        self._folder = folder
        self._most = most
        self._spare = 0

    @property
    def folders(self) -> Path:
        """The parent of what `folder` gives."""
        return self._folder / "folders"

    def folder(self, name: str) -> Path:
        """A folder beside the cached files, in which the cache removes nothing."""
        path = self.folders / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    @contextmanager
    def file(self, name: str, size: int, bring: Callable[[Path], object], *, noted: bool = False) -> Iterator[Path]:
        """Yield a cached file, which stays as long as the block lasts.

        Args:
            name: Tells its content apart: `NAME`.
            size: Bytes that it will have: room is made for them.
            bring: Writes the file to a path, where it is not there yet; one process of the machine at a time does.
            noted: Whether the hash of what was brought is kept for `note`, since the name does not tell it.
        """
        path, brought, too_much = self._path(name), False, False
        try:
            while True:
                with _locked(path, fcntl.LOCK_SH):
                    if _size(path) == size or (brought and path.exists()):  # a power cut may leave less of it
                        _used_now(path)
                        yield path
                        return
                with _locked(path, fcntl.LOCK_EX) as lock:
                    if _size(path) != size:
                        with self._room(size) as too_much:
                            lock.truncate(0)
                            sha256 = _bring(path, bring, noted=noted)
                            lock.write(sha256.encode())
                    brought = True
        finally:
            if too_much:
                self._trim()

    @contextmanager
    def kept(self, name: str) -> Iterator[Path]:
        """Yield a cached file as `file` does, if it is there.

        Raises:
            FileNotFoundError: It is not, or no longer.
        """
        path = self._path(name)
        path.stat()
        with _locked(path, fcntl.LOCK_SH):
            _used_now(path)
            yield path

    def adopt(self, name: str, file: Path, *, given: bool) -> None:
        """Cache a file's content, unless it is there.

        Args:
            name: Tells its content apart: `NAME`.
            file: Of this machine.
            given: Whether it changes no more: then it gets another name where it lies on the same disk. Else, and on
                another disk, it is copied.
        """

        def bring(place: Path) -> None:
            if given:
                with suppress(OSError):
                    os.link(file.resolve(), place)
                    return
            shutil.copyfile(file, place)

        path, size = self._path(name), file.stat().st_size
        with _locked(path, fcntl.LOCK_EX):
            if _size(path) != size:
                with self._room(size):
                    _bring(path, bring)

    def note(self, name: str) -> str:
        """The SHA-256 of a cached file when it was brought; empty where that was not noted or is lost."""
        path = self._path(name)
        return path.with_name(path.name + LOCK_SUFFIX).read_text()

    def forget(self, name: str) -> None:
        """Remove a cached file, which is damaged, even if it is in use."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        assert NAME.fullmatch(name), name
        path = self._folder / "files" / name[:2] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @contextmanager
    def _room(self, size: int) -> Iterator[bool]:
        """Make room for a file of this size, which counts as if it were there as long as the block lasts.

        What others are bringing is waited for where there is too much otherwise, not for longer than `PATIENCE`.

        Yields:
            Whether there is too much even so, since all the others are in use.
        """
        if size <= self._spare:
            self._spare -= size
            yield False
            return
        on_the_way = self._folder / COMING
        on_the_way.mkdir(exist_ok=True)
        until = time.monotonic() + PATIENCE
        with temporary(on_the_way / "file").open("xb") as coming:
            try:
                fcntl.flock(coming, fcntl.LOCK_EX)  # which a killed process no more holds
                while too_much := self._trim(size, coming, wait=time.monotonic() < until):
                    if os.fstat(coming.fileno()).st_size == size:
                        break
                    time.sleep(PAUSE)
                yield too_much
            finally:
                Path(coming.name).unlink(missing_ok=True)

    def _on_the_way(self) -> int:
        """Bytes of what is being brought; what killed processes brought is forgotten."""
        found = 0
        remove_leftovers(self._folder / COMING)
        for path in (self._folder / COMING).glob("*"):  # one of another container may have a name of no process here
            with suppress(FileNotFoundError), path.open("rb") as coming:
                size = os.fstat(coming.fileno()).st_size
                try:
                    fcntl.flock(coming, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    found += size
                else:
                    if size:
                        path.unlink()
        return found

    def _trim(self, size: int = 0, coming: BinaryIO | None = None, *, wait: bool = False) -> bool:
        """Remove the files that were not used for longest, until another one of this size fits in.

        Where there are many, more of them go, and they are not looked at for each: that takes longer than to bring one.

        Args:
            size: Of the other one.
            coming: A file that gets that size here, in which all processes see what is on its way.
            wait: Whether it does not where there is too much, and others are on their way.

        Returns:
            Whether there is too much even so.
        """
        with (self._folder / f"{COMING}{LOCK_SUFFIX}").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            files = sorted(self._files(), key=lambda one: one[1].st_atime_ns)
            there = sum(stated.st_size for _, stated in files)
            most = self._most
            if most is None:
                most = int(USUAL_SHARE * (there + shutil.disk_usage(self._folder).free))
            many = len(files) >= MANY
            others = self._on_the_way()
            left = there + size + others - (most - most // 16 if many else most)
            self._spare = most // 256 if many else 0
            for path, stated in files:
                if left <= 0:
                    break
                if _removed(path):
                    left -= stated.st_size
            if coming is not None and not (wait and left > 0 and others):
                coming.truncate(size)
        return left > 0

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for folder in (self._folder / "files").iterdir():
            if not folder.is_dir():
                continue
            remove_leftovers(folder)
            for path in folder.iterdir():
                if not path.name.endswith((LOCK_SUFFIX, TEMPORARY_SUFFIX)):
                    with suppress(FileNotFoundError):  # another process removed it
                        yield path, path.stat()


def machine_cache() -> NodeCache:
    """The cache that all processes of this machine's user share.

    Raises:
        UsageError: The environment names no folder that can be used, or no number of bytes.
    """
    named, most = os.environ.get(FOLDER), os.environ.get(BYTES, "")
    if not re.fullmatch(r"[0-9]*", most):
        raise UsageError(f"{BYTES} is {most!r}, and must be bytes as a whole number, such as {50 * 10**9} for 50 GB")
    folder = Path(named or Path(tempfile.gettempdir()) / f"storyloom-cache-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        own = [folder / "files", folder / "folders"]
        for one in own:
            one.mkdir(mode=0o700, exist_ok=True)
        # A folder that was named may be a mount that is everybody's; what is trusted lies in those made within it.
        others = [one for one in (own if named else [folder, *own]) if not _of_this_user(one)]
    except OSError as reason:
        raise UsageError(f"the cache folder {folder} cannot be used ({reason}): name another in {FOLDER}") from reason
    if others:
        raise UsageError(
            f"the cache folder {others[0]} is another user's, or others may write to it, and would be trusted: name"
            f" another in {FOLDER}"
        )
    return _at(folder, most)


def _of_this_user(folder: Path) -> bool:
    """Whether a folder, and no link to one, belongs to this user, and nobody else may write to it."""
    stated = folder.lstat()
    return stat.S_ISDIR(stated.st_mode) and stated.st_uid == os.getuid() and not stated.st_mode & 0o022


@functools.cache
def _at(folder: Path, most: str) -> NodeCache:
    return NodeCache(folder, int(most) if most else None)


def _used_now(path: Path) -> None:
    """Note it as the time of a file's last reading; the time of its content stays, by which readers see a change."""
    os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


def _size(path: Path) -> int:
    """Bytes of a file; -1 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def _bring(path: Path, bring: Callable[[Path], object], *, noted: bool = False) -> str:
    """Bring a file; returns its SHA-256 where it is `noted`, else nothing."""
    unfinished = temporary(path)
    try:
        bring(unfinished)
        with unfinished.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest() if noted else ""
            os.fsync(file.fileno())  # else a power cut may leave other bytes under its name
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return sha256


def _locked(path: Path, kind: int) -> BinaryIO:
    """The lock of a cached file, held until it is closed.

    Raises:
        BlockingIOError: Another process holds it, and `kind` says not to wait.
    """
    name = path.with_name(path.name + LOCK_SUFFIX)
    while True:
        lock = name.open("ab")
        try:
            fcntl.flock(lock, kind)
            if os.path.samestat(os.fstat(lock.fileno()), name.stat()):
                return lock
        except FileNotFoundError:  # it was removed with its file since it was opened
            pass
        except BlockingIOError:
            lock.close()
            raise
        lock.close()


def _removed(path: Path) -> bool:
    """Remove a cached file and its lock, unless it is in use; whether it is gone."""
    try:
        lock = _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    with lock:
        path.unlink(missing_ok=True)
        path.with_name(path.name + LOCK_SUFFIX).unlink(missing_ok=True)
    return True
