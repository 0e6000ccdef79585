"""`Files` of an object store, or of anything else that fsspec writes to.

A store decides who was first: a file is created on the condition that it is absent (S3: ``If-None-Match: *``, Google:
``ifGenerationMatch=0``, Azure: ``If-None-Match: *``), of a large one its completion. How a store tells that it is
there, and what a broken connection has left undone, is not guessed from errors but looked up.
"""

from __future__ import annotations

import filecmp
import hashlib
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from storyloom.errors import UsageError
from storyloom.fs.cache import NodeCache
from storyloom.fs.failure import why
from storyloom.fs.files import Entry, Files
from storyloom.fs.url import redacted, without_secrets

T = TypeVar("T")

ATTEMPTS = 6
"""Attempts at a request, the first included (our choice); the stores' own libraries try again before."""

PAUSE = 0.5
"""Seconds before the second attempt; doubles with each further one (our choice)."""

VERSIONS = ("ETag", "etag", "generation", "md5", "md5Hash", "last_modified", "LastModified", "mtime", "created")
"""Where the stores of fsspec have what changes with a file's content, the surest first."""


RENEWAL, LEASE, SETTLING = 15.0, 60.0, 2.0
"""Seconds between signs of life of who holds a folder alone, without one until others may hold it, and until one who
took it may be sure of it (our choice)."""

MODIFIED = ("LastModified", "last_modified", "updated", "mtime", "created")
"""Where they have the time of a file."""


class StoreFailed(OSError):
    """A store failed, refused, or could not be reached; what is there stays as it is."""


class StoreFiles:
    """See `Files`.

    Args:
        url: Of the folder, such as ``s3://bucket/folder``.
        cache: Where what is read as a whole and known by its hash is kept on this machine.

    Raises:
        UsageError: The URL's store needs a package that is missing, or is none that fsspec knows.
    """

    keeps_bytes = True

    def __init__(self, url: str, cache: NodeCache) -> None:
        self._url = url.rstrip("/")
        self._cache = cache
        self.address = redacted(self._url)
        self._files, root = self._connected()
        self._root = root.rstrip("/")

    def __reduce__(self) -> tuple[type[StoreFiles], tuple[str, NodeCache]]:
        """Another process connects anew."""
        return StoreFiles, (self._url, self._cache)

    def within(self, folder: str) -> StoreFiles:
        return StoreFiles(f"{self._url}/{folder}", self._cache)

    def flaw(self, *, by_trying: bool = False) -> str:
        try:
            if by_trying:
                self.prepare([])
            else:
                self.entries()
        except OSError as reason:
            return str(reason)
        return ""

    def free(self) -> int | None:
        return None

    def read(self, name: str) -> bytes:
        found: bytes = self._tried(lambda: self._files.cat_file(self._path(name)))
        return found

    def read_all(self, names: Sequence[str]) -> list[bytes | None]:
        paths = [self._path(name) for name in names]
        if not paths:
            return []
        found: dict[str, Any] = self._tried(lambda: _contents(self._files.cat(paths, on_error="return")))
        return [found[path] for path in paths]

    def open(self, name: str) -> BinaryIO:
        found: BinaryIO = self._tried(lambda: self._files.open(self._path(name), "rb"))
        return found

    @contextmanager
    def local(self, name: str, identity: str = "") -> Iterator[Path]:
        if not identity:
            with self.scratch() as folder:
                yield self._brought(name, folder / "file")
            return
        found = self.entry(name)
        if found is None:
            raise FileNotFoundError(f"{self.address}/{name}")
        with self._cache.file(identity, found.size, lambda path: self._brought(name, path)) as file:
            yield file

    def entry(self, name: str) -> Entry | None:
        try:
            found = self._tried(lambda: self._files.info(self._path(name)))
        except FileNotFoundError:
            return None
        return None if found["type"] == "directory" else self._entry(found)

    def entries(self, folder: str = "", beginning: str = "") -> list[Entry]:
        found = map(self._entry, self._listed(folder, "file") if not beginning else self._beginning(folder, beginning))
        return sorted(found, key=lambda one: one.name)

    def tree(self, folder: str = "") -> Iterator[Entry]:
        try:
            found = self._tried(lambda: self._files.find(self._path(folder), detail=True))
        except FileNotFoundError:
            return
        yield from sorted(map(self._entry, found.values()), key=lambda one: one.name)

    def folders(self, folder: str = "") -> list[str]:
        return sorted(self._name(found) for found in self._listed(folder, "directory"))

    def folder_here(self, name: str) -> Path:
        return self._cache.folder(f"{hashlib.sha256(self._url.encode()).hexdigest()[:16]}/{name}")

    def stamp(self, folder: str) -> str:
        del folder
        return ""

    def prepare(self, folders: Sequence[str]) -> None:
        del folders
        name = f".writable-{secrets.token_hex(8)}"
        self.create(name, b"")
        self.remove(name)

    def remove_leftovers(self) -> None:
        """Nothing: an upload that was not completed is no file; see `gc`."""

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="storyloom-") as folder:
            yield Path(folder)

    def create(self, name: str, content: bytes | Path, *, private: bool = False, identity: str = "") -> bool:
        del private
        if identity and isinstance(content, Path):
            self._cache.adopt(identity, content, given=True)
        path = self._path(name)
        for attempt in range(ATTEMPTS):
            try:
                if isinstance(content, bytes):
                    self._files.pipe_file(path, content, mode="create")
                else:
                    self._files.put_file(str(content), path, mode="create")
            except Exception as reason:  # noqa: BLE001 - whatever it is: what has become of the file is looked up
                if found := self.entry(name):
                    return self._same(found, content)
                self._pause(attempt, reason)
            else:
                return True
        raise AssertionError("the last attempt raises")

    def link(self, name: str, file: Path, identity: str) -> None:
        self._cache.adopt(identity, file, given=False)
        if not self.create(name, file):
            self.replace(name, file)

    def forget(self, identity: str) -> None:
        self._cache.forget(identity)

    def create_folder(self, name: str, content: Path) -> None:
        for file in sorted(content.rglob("*")):
            if file.is_file():
                self.create(f"{name}/{file.relative_to(content).as_posix()}", file)

    def replace(self, name: str, content: bytes | Path, *, durably: bool = True, private: bool = False) -> None:
        del durably, private
        path = self._path(name)
        if isinstance(content, bytes):
            self._tried(lambda: self._files.pipe_file(path, content))
        else:
            self._tried(lambda: self._files.put_file(str(content), path))

    def copy(self, name: str, source: Files, source_name: str) -> None:
        if isinstance(source, StoreFiles) and source._place == self._place:  # noqa: SLF001 - its own
            there = source._path(source_name)  # noqa: SLF001
            self._tried(lambda: self._files.cp_file(there, self._path(name)))
            return
        with source.local(source_name) as path:
            self.replace(name, path)

    @contextmanager
    def alone(self, marker: str, unchanged: type[Exception]) -> Iterator[None]:
        token = secrets.token_hex(16)
        self._take(marker, token)
        ended = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(marker, token, ended), daemon=True)
        renewing.start()
        try:
            yield
        except unchanged:
            ended.set()
            renewing.join()
            self.remove(marker)
            raise
        finally:
            ended.set()
            renewing.join()
        self.remove(marker)

    def _take(self, marker: str, token: str) -> None:
        """Create the marker; one whose owner gives no sign of life is taken away."""
        while True:
            if self.create(marker, token.encode()):
                time.sleep(SETTLING)
                if self.read_all([marker]) == [token.encode()]:  # nobody who waited took it for the one before
                    return
            before = self.entry(marker)
            time.sleep(LEASE)
            if before is not None and self.entry(marker) == before:
                self.remove(marker)

    def _renew(self, marker: str, token: str, ended: threading.Event) -> None:
        number = 0
        while not ended.wait(RENEWAL):
            number += 1
            with suppress(OSError):  # the next sign of life comes through
                self.replace(marker, f"{token} {number}".encode())

    def remove(self, name: str) -> None:
        try:
            self._tried(lambda: self._files.rm_file(self._path(name)))
        except FileNotFoundError:
            return

    def remove_folder(self, folder: str) -> None:
        try:
            self._tried(lambda: self._files.rm(self._path(folder), recursive=True))
        except FileNotFoundError:
            return

    def _brought(self, name: str, file: Path) -> Path:
        self._tried(lambda: self._files.get_file(self._path(name), str(file)))
        return file

    def _connected(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        try:
            # Other machines change what is there, and new credentials must be read: nothing is remembered.
            found: tuple[Any, str] = url_to_fs(self._url, use_listings_cache=False, skip_instance_cache=True)
        except (ImportError, ValueError) as reason:
            raise UsageError(f"{self.address} cannot be opened: {without_secrets(str(reason), self._url)}") from reason
        return found

    @property
    def _place(self) -> str:
        """What two folders share within which a store copies by itself: its kind, and the address of its server."""
        return f"{self._url.partition('://')[0]} {getattr(self._files, 'endpoint_url', '')}"

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _name(self, found: dict[str, Any]) -> str:
        return str(found["name"]).rstrip("/").removeprefix(f"{self._root}/")

    def _entry(self, found: dict[str, Any]) -> Entry:
        version = next((str(found[key]) for key in VERSIONS if found.get(key)), "")
        modified = next((found[key] for key in MODIFIED if found.get(key)), None)
        seconds = modified.timestamp() if isinstance(modified, datetime) else 0.0
        return Entry(self._name(found), int(found["size"] or 0), version.strip('"'), seconds)

    def _listed(self, folder: str, kind: str) -> list[dict[str, Any]]:
        path = self._path(folder)
        try:
            found = self._tried(lambda: self._files.ls(path, detail=True))
        except FileNotFoundError:
            return []
        # Some stores list a folder within itself.
        return [one for one in found if one["type"] == kind and one["name"].strip("/") != path.strip("/")]

    def _beginning(self, folder: str, beginning: str) -> list[dict[str, Any]]:
        path = self._path(folder)
        try:
            found = self._tried(lambda: self._files.find(path, prefix=beginning, detail=True))
        except FileNotFoundError:
            return []
        # Some stores leave the prefix unheeded.
        inside = ((name.strip("/").removeprefix(f"{path.strip('/')}/"), one) for name, one in found.items())
        return [one for name, one in inside if name.startswith(beginning) and "/" not in name]

    def _same(self, found: Entry, content: bytes | Path) -> bool:
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        if found.size != size:
            return False
        if isinstance(content, bytes):
            return self.read(found.name) == content
        with self.local(found.name) as there:
            return filecmp.cmp(there, content, shallow=False)

    def _tried(self, request: Callable[[], T]) -> T:
        """The answer to a request that may be sent several times.

        Raises:
            FileNotFoundError: There is no such file.
            StoreFailed: Anything else.
        """
        for attempt in range(ATTEMPTS):
            try:
                return request()
            except FileNotFoundError:
                raise
            except Exception as reason:  # noqa: BLE001 - the libraries of the stores raise errors of their own
                self._pause(attempt, reason)
        raise AssertionError("the last attempt raises")

    def _pause(self, attempt: int, reason: Exception) -> None:
        """Wait before another attempt.

        Raises:
            StoreFailed: None is left.
        """
        if attempt == ATTEMPTS - 1 or isinstance(reason, NotImplementedError):
            raise StoreFailed(f"{self.address}: {without_secrets(why(reason), self._url)}") from reason
        if isinstance(reason, PermissionError):
            self._files, _ = self._connected()  # with credentials that may have been renewed
        time.sleep(PAUSE * 2**attempt)


def _contents(found: Mapping[str, bytes | Exception]) -> dict[str, bytes | None]:
    """The answers to a request for several files; None where there is none.

    Raises:
        Exception: One of them failed otherwise.
    """
    for one in found.values():
        if isinstance(one, Exception) and not isinstance(one, FileNotFoundError):
            raise one
    return {path: one if isinstance(one, bytes) else None for path, one in found.items()}
