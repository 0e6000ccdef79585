"""`Files` of an object store, or of anything else that fsspec writes to.

A store decides who was first: a file is created on the condition that it is absent (S3: ``If-None-Match: *``, Google:
``ifGenerationMatch=0``, Azure: ``If-None-Match: *``), of a large one its completion. How a store tells that it is
there, and what a broken connection has left undone, is not guessed from errors but looked up.
"""

from __future__ import annotations

import errno
import filecmp
import hashlib
import io
import random
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from storyloom.fs.cache import NodeCache
from storyloom.fs.connect import connected, version_of
from storyloom.fs.failure import why
from storyloom.fs.files import Entry, Files
from storyloom.fs.url import redacted, without_secrets

T = TypeVar("T")

ATTEMPTS = 6
"""Attempts at a request, the first included (our choice); the stores' own libraries try again before."""

FIRST_ATTEMPTS = 2
"""Attempts while a store never answered this process (our choice): its address or the credentials may be wrong."""

PAUSE = 0.5
"""Most seconds before the second attempt; doubles with each further one (our choice). At least half of them pass: many
machines that were refused at once do not come back at once."""

PATIENCE = 120.0
"""Seconds since the first attempt after which no other begins (our choice): a store that hangs is waited for by its
library at each of them."""

OF_THE_STORE = (errno.EBUSY, errno.EREMOTEIO)
"""What s3fs makes of a store that has too much to do or fails: another connection would not help."""

PIECE, AT_ONCE = 16 * 2**20, 8
"""Bytes of a piece of a large file that is brought to this machine, and how many are asked for at once (our choice)."""

AHEAD = 4 * 2**20
"""Bytes that are read ahead in an open file (our choice)."""

RENEWAL, LEASE, SETTLING = 15.0, 60.0, 2.0
"""Seconds between signs of life of who holds a folder alone, without one until others may hold it, and until one who
took it may be sure of it (our choice)."""

IN_ONE_REQUEST = {"s3": {"max_concurrency": 1}}
"""What makes the packages of stores read a small file at once, without a look at its size before, by scheme."""

MODIFIED = ("LastModified", "last_modified", "updated", "mtime", "created")
"""Where they have the time of a file."""


TRIED = ".writable"
"""Name of an empty file that shows whether files can be created; of killed ones it stays, and is no file of anybody."""

_answered: set[str] = set()
"""Servers that answered this process, by `StoreFiles._place`."""


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
    cached = True

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
        except StoreFailed as reason:
            if isinstance(reason.__cause__, PermissionError | FileNotFoundError):  # of a bucket
                return str(reason)
            raise  # it is down: another place would not help
        return ""

    def free(self) -> int | None:
        return None

    def read(self, name: str) -> bytes:
        found: bytes = self._tried(lambda: self._files.cat_file(self._path(name), **self._in_one_request))
        return found

    def read_all(self, names: Sequence[str]) -> list[bytes | None]:
        paths = [self._path(name) for name in names]
        if not paths:
            return []
        options = {"on_error": "return", **self._in_one_request}
        return self._tried(lambda: _contents(self._files.cat_ranges(paths, None, None, **options)))

    def open(self, name: str) -> BinaryIO:
        return io.BufferedReader(_Opened(self, name), AHEAD)

    @contextmanager
    def local(self, name: str, identity: str = "") -> Iterator[Path]:
        found = self._there(name)
        if not identity:
            with self.scratch() as folder:
                yield self._brought(found, folder / "file")
            return
        with self._cache.file(identity, found.size, lambda path: self._brought(found, path)) as file:
            yield file

    def entry(self, name: str) -> Entry | None:
        return self._tried(partial(self._looked_up, name))

    def entries(self, folder: str = "", beginning: str = "") -> list[Entry]:
        listed = self._beginning(folder, beginning) if beginning else self._listed(folder, "file")
        found = (one for one in map(self._entry, listed) if one.name != TRIED)
        return sorted(found, key=lambda one: one.name)

    def tree(self, folder: str = "") -> Iterator[Entry]:
        try:
            found = self._tried(lambda: self._files.find(self._path(folder), detail=True))
        except FileNotFoundError:
            return
        files = (
            one for one in found.values() if one["type"] == "file" and one["name"].strip("/") != self._path(folder)
        )
        entries = (one for one in map(self._entry, files) if one.name != TRIED)
        yield from sorted(entries, key=lambda one: one.name)

    def folders(self, folder: str = "") -> list[str]:
        return sorted(self._name(found) for found in self._listed(folder, "directory"))

    def folder_here(self, name: str) -> Path:
        return self._cache.folder(f"{hashlib.sha256(self._url.encode()).hexdigest()[:16]}/{name}")

    def stamp(self, folder: str) -> str:
        del folder
        return ""

    def prepare(self, folders: Sequence[str]) -> None:
        del folders
        self.create(TRIED, b"")
        self.remove(TRIED)

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

        def created() -> bool:
            try:
                if isinstance(content, bytes):
                    self._files.pipe_file(path, content, mode="create")
                else:
                    self._files.put_file(str(content), path, mode="create")
            except Exception as reason:  # whatever it is: what has become of the file is looked up
                try:
                    found = self._looked_up(name)
                except Exception:  # noqa: BLE001 - nothing is known, and all of it is tried again
                    raise reason from None
                if found is None:
                    raise
                return self._same(found, content)
            return True

        return self._tried(created, missing=False)

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

    def replace_folder(self, name: str, content: Path, last: str, meanwhile: bytes) -> None:
        there = {entry.name for entry in self.tree(name)}
        files = {
            f"{name}/{file.relative_to(content).as_posix()}": file for file in content.rglob("*") if file.is_file()
        }
        end = f"{name}/{last}"
        self.replace(end, meanwhile)
        for stale in sorted(there - files.keys()):
            self.remove(stale)
        for place in sorted(files.keys() - {end}):
            self.replace(place, files[place])
        self.replace(end, files[end])

    def replace(self, name: str, content: bytes | Path, *, durably: bool = True, private: bool = False) -> None:
        del durably, private
        path = self._path(name)
        if isinstance(content, bytes):
            self._tried(lambda: self._files.pipe_file(path, content), missing=False)
        else:
            self._tried(lambda: self._files.put_file(str(content), path), missing=False)

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
        except BaseException as reason:
            ended.set()
            renewing.join()
            if isinstance(reason, unchanged):
                self._leave(marker, token)
            raise
        ended.set()
        renewing.join()
        self._leave(marker, token)

    def _leave(self, marker: str, token: str) -> None:
        """Remove the marker of who holds it.

        Raises:
            StoreFailed: Another one took it meanwhile, and may have changed the folder, too.
        """
        if not self._holds(marker, token):
            raise StoreFailed(
                f"{self.address}: another process took {marker} while this one could not renew it for {LEASE:g} s;"
                " what it is doing there is not known: run again"
            )
        self.remove(marker)

    def _holds(self, marker: str, token: str) -> bool:
        (content,) = self.read_all([marker])
        return content is not None and content.split()[:1] == [token.encode()]

    def _take(self, marker: str, token: str) -> None:
        """Create the marker; one whose owner gives no sign of life is taken away."""
        while True:
            if self.create(marker, token.encode()):
                time.sleep(SETTLING)
                if self.read_all([marker]) == [token.encode()]:  # nobody who waited took it for the one before
                    return
            self._wait_for_end(marker)

    def _wait_for_end(self, marker: str) -> None:
        """Wait until a marker is gone, or has not changed for so long that its owner is."""
        seen, since = self.entry(marker), time.monotonic()
        while seen is not None:
            time.sleep(SETTLING)
            found = self.entry(marker)
            if found != seen:
                seen, since = found, time.monotonic()
            elif time.monotonic() - since > LEASE:
                self.remove(marker)
                return

    def _renew(self, marker: str, token: str, ended: threading.Event) -> None:
        number = 0
        while not ended.wait(RENEWAL):
            number += 1
            with suppress(Exception):  # the next sign of life comes through; one that came late would be another's end
                if self._holds(marker, token):
                    self._files.pipe_file(self._path(marker), f"{token} {number}".encode())

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

    def unfinished(self, age: float) -> list[Entry]:
        if "s3" not in self._files.protocol:  # the others forget uploads that are not completed by themselves
            return []
        before = datetime.now(UTC) - timedelta(seconds=age)
        return [
            Entry(key.removeprefix(f"{self._root}/"), 0, one["UploadId"], one["Initiated"].timestamp())
            for key, one in self._uploads()
            if one["Initiated"] < before
        ]

    def abandon(self, found: Entry) -> None:
        bucket, _, key = self._path(found.name).partition("/")
        with suppress(FileNotFoundError):  # it was completed, or another one was faster
            self._tried(lambda: self._files.abort_mpu(bucket, key, found.version))

    def _uploads(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """S3's uploads in parts that were neither completed nor given up, with their bucket and key."""
        bucket, _, prefix = f"{self._root}/".partition("/")

        def page(after: Mapping[str, str]) -> dict[str, Any]:
            found: dict[str, Any] = self._files.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix, **after)
            return found

        found = self._tried(partial(page, {}))
        while True:
            yield from ((f"{bucket}/{one['Key']}", one) for one in found.get("Uploads", []))
            if not found.get("IsTruncated"):
                return
            after = {"KeyMarker": found["NextKeyMarker"], "UploadIdMarker": found.get("NextUploadIdMarker", "")}
            found = self._tried(partial(page, after))

    def _brought(self, found: Entry, file: Path) -> Path:
        """A file of this machine with a file's content; of a large one a lost connection costs some pieces only.

        Raises:
            StoreFailed: It is another file by now.
        """
        with file.open("wb") as content:
            for start in range(0, found.size, PIECE * AT_ONCE):
                end = min(found.size, start + PIECE * AT_ONCE)
                content.writelines(self._tried(partial(self._pieces, found.name, start, end)))
        if found.size > PIECE and self.entry(found.name) != found:
            raise StoreFailed(f"{self.address}/{found.name} was replaced while it was read")
        return file

    def _pieces(self, name: str, start: int, end: int) -> list[bytes]:
        """The bytes of a range, in pieces that are asked for at once.

        Raises:
            OSError: The file ends early.
        """
        starts = [*range(start, end, PIECE)]
        ends = [min(end, one + PIECE) for one in starts]
        paths, options = [self._path(name)] * len(starts), {"on_error": "raise", **self._in_one_request}
        found: list[bytes] = self._files.cat_ranges(paths, starts, ends, **options)
        if [len(piece) for piece in found] != [last - first for first, last in zip(starts, ends, strict=True)]:
            raise OSError(f"{name} ended early")
        return found

    def _looked_up(self, name: str) -> Entry | None:
        """A file, if it is there; asked for once."""
        try:
            found = self._files.info(self._path(name))
        except FileNotFoundError:
            return None
        return None if found["type"] == "directory" else self._entry(found)

    def _there(self, name: str) -> Entry:
        """A file.

        Raises:
            FileNotFoundError: There is none.
        """
        found = self.entry(name)
        if found is None:
            raise FileNotFoundError(f"{self.address}/{name}")
        return found

    def _connected(self, *, anew: bool = False) -> tuple[Any, str]:
        return connected(self._url, anew=anew)

    def _connect_again(self) -> None:
        found, _ = self._connected()
        if found is self._files:  # nobody else did
            found, _ = self._connected(anew=True)
        self._files = found

    @property
    def _in_one_request(self) -> dict[str, Any]:
        return IN_ONE_REQUEST.get(self._url.partition("://")[0], {})

    @property
    def _place(self) -> str:
        """What two folders share within which a store copies by itself: its kind, and the address of its server."""
        return f"{self._url.partition('://')[0]} {getattr(self._files, 'endpoint_url', '')}"

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _name(self, found: dict[str, Any]) -> str:
        return str(found["name"]).rstrip("/").removeprefix(f"{self._root}/")

    def _entry(self, found: dict[str, Any]) -> Entry:
        modified = next((found[key] for key in MODIFIED if found.get(key)), None)
        seconds = modified.timestamp() if isinstance(modified, datetime) else 0.0
        return Entry(self._name(found), int(found["size"] or 0), version_of(found), seconds)

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

    def _tried(self, request: Callable[[], T], *, missing: bool = True) -> T:
        """The answer to a request that may be sent several times.

        Args:
            request: Sends it.
            missing: Whether it asks for what may not be there.

        Raises:
            FileNotFoundError: There is no such file.
            StoreFailed: Anything else.
        """
        until = time.monotonic() + PATIENCE
        for attempt in range(ATTEMPTS):
            try:
                found = request()
            except Exception as reason:  # the libraries of the stores raise errors of their own
                if missing and isinstance(reason, FileNotFoundError):
                    _answered.add(self._place)
                    raise
                most = ATTEMPTS if self._place in _answered else FIRST_ATTEMPTS
                last = attempt >= most - 1 or time.monotonic() > until
                if last or isinstance(reason, NotImplementedError | StoreFailed):
                    raise self._failure(reason) from reason
                connected = isinstance(reason, OSError) and reason.errno in OF_THE_STORE
            else:
                _answered.add(self._place)
                return found
            time.sleep(PAUSE * 2**attempt * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            if not connected:
                with suppress(Exception):  # with credentials that may be new; else as before
                    self._connect_again()
        raise AssertionError("the last attempt raises")

    def _failure(self, reason: Exception) -> StoreFailed:
        if isinstance(reason, StoreFailed):
            return reason
        said = str(reason) if isinstance(reason, FileNotFoundError) else why(reason)  # a bucket is missing
        return StoreFailed(f"{self.address}: {without_secrets(said, self._url).rstrip('.')}")


class _Opened(io.RawIOBase):
    """A file of a store that is read as often as it takes; it stays the same file as long as it is open.

    Args:
        files: Its folder.
        name: Its name.
    """

    def __init__(self, files: StoreFiles, name: str) -> None:
        self._files = files
        self._name = name
        self._file = files._tried(self._open)  # noqa: SLF001 - its own
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        content: bytes = self._files._tried(partial(self._read, len(buffer)))  # noqa: SLF001
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)

    def _open(self) -> Any:
        return self._files._files.open(self._files._path(self._name), "rb", cache_type="none")  # noqa: SLF001

    def _read(self, size: int) -> bytes:
        if self._file.fs is not self._files._files:  # noqa: SLF001 - an attempt failed: the credentials may be new
            again = self._open()
            if version_of(again.details) != version_of(self._file.details):
                raise StoreFailed(f"{self._files.address}/{self._name} was replaced while it was read")
            self._file = again
        self._file.seek(self._at)
        found: bytes = self._file.read(size)
        return found


def _contents(found: Sequence[bytes | Exception]) -> list[bytes | None]:
    """The answers to a request for several files; None where there is none.

    Raises:
        Exception: One of them failed otherwise.
    """
    for one in found:
        if isinstance(one, Exception) and not isinstance(one, FileNotFoundError):
            raise one
    return [one if isinstance(one, bytes) else None for one in found]
