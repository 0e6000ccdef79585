"""Where a dataset is sent; the places that are no repository: folders, and whatever fsspec writes to."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from storyloom.errors import RunFailed, UsageError, printable
from storyloom.fs.atomic import TEMPORARY_SUFFIX, remove_leftovers, replacing
from storyloom.fs.connect import connected
from storyloom.fs.failure import why
from storyloom.fs.place import usual
from storyloom.fs.url import HIDDEN, redacted, without_secrets
from storyloom.push.files import CHUNK, PushFile, copy, md5_of_base64

OnBytes = Callable[[int], None]
"""Called with the bytes that were sent since the last call."""

MD5 = re.compile(r"[0-9a-f]{32}")


class PushFailed(RunFailed):
    """A target refused something, or could not be reached; what is there stays, and the same command goes on."""


@dataclass(frozen=True)
class Found:
    """A file at a target: its bytes, and what the target knows of its content; all of that may be unknown.

    Attributes:
        size: Bytes.
        sha256: Hexadecimal; empty where the target does not tell.
        md5: Likewise.
        git_sha1: Name among git's blobs; likewise.
    """

    size: int
    sha256: str = ""
    md5: str = ""
    git_sha1: str = ""


class Target(Protocol):
    """A place that a dataset is sent to.

    Attributes:
        address: For messages, without secrets.
        together: Files that are sent at once, at most.
        keeps_versions: Whether what is replaced can be had back.
    """

    address: str
    together: int
    keeps_versions: bool

    def found(self) -> Mapping[str, Found]:
        """The files that are there, by path."""

    def sha256(self, path: str) -> str:
        """SHA-256 of a file there, read back."""

    def read(self, path: str) -> bytes:
        """Content of a file there."""

    def prepare(self) -> None:
        """Make the place where it does not exist."""

    def send(self, files: Sequence[PushFile], remove: Sequence[str], on_bytes: OnBytes) -> None:
        """Remove files, then put files, each whole or not at all.

        Raises:
            PushFailed: The place refused something, or a file is not what it was when it was checked.
        """


class FolderTarget:
    """A folder of this machine's file systems; files are renamed into place."""

    together = 1
    keeps_versions = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.address = str(folder)

    def found(self) -> Mapping[str, Found]:
        files = sorted(path for path in self._folder.rglob("*") if path.is_file() or path.is_symlink())
        return {
            path.relative_to(self._folder).as_posix(): Found(-1 if path.is_symlink() else path.stat().st_size)
            for path in files
            if not path.name.endswith(TEMPORARY_SUFFIX)
        }

    def sha256(self, path: str) -> str:
        digest = hashlib.sha256()
        with (self._folder / path).open("rb") as file:
            while piece := file.read(CHUNK):
                digest.update(piece)
        return digest.hexdigest()

    def read(self, path: str) -> bytes:
        return (self._folder / path).read_bytes()

    def prepare(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as reason:
            raise UsageError(f"{self._folder} cannot be made: {reason.strerror}") from reason

    def send(self, files: Sequence[PushFile], remove: Sequence[str], on_bytes: OnBytes) -> None:
        for path in remove:
            (self._folder / path).unlink(missing_ok=True)
            with suppress(OSError):
                (self._folder / path).parent.rmdir()
        for file in files:
            place = self._folder / file.path
            place.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(place.parent)
            with replacing(place) as target:
                if copy(file, target, on_bytes) != file.sha256:
                    raise changed(file)


class StoreTarget:
    """A URL that fsspec writes to, such as ``s3://bucket/folder``."""

    together = 1
    keeps_versions = False

    def __init__(self, url: str) -> None:
        self.address = redacted(url).rstrip("/")
        self._url = url
        self._files, root = connected(url)
        self._root = root.rstrip("/")

    def found(self) -> Mapping[str, Found]:
        with self._told():
            infos: Mapping[str, Mapping[str, Any]] = self._files.find(self._root, detail=True)
        begin = len(self._root) + 1
        return {path[begin:]: _told_by_store(info) for path, info in sorted(infos.items())}

    def sha256(self, path: str) -> str:
        digest = hashlib.sha256()
        with self._told(), self._files.open(f"{self._root}/{path}", "rb") as file:
            while piece := file.read(CHUNK):
                digest.update(piece)
        return digest.hexdigest()

    def read(self, path: str) -> bytes:
        with self._told(), self._files.open(f"{self._root}/{path}", "rb") as file:
            content: bytes = file.read()
        return content

    def prepare(self) -> None:
        """Nothing: object stores have no folders, and those of other stores are made with their files."""

    def send(self, files: Sequence[PushFile], remove: Sequence[str], on_bytes: OnBytes) -> None:
        with self._told():
            for path in remove:
                self._files.rm_file(f"{self._root}/{path}")
            for file in files:
                place = f"{self._root}/{file.path}"
                self._files.makedirs(place.rpartition("/")[0], exist_ok=True)
                with self._files.open(place, "wb") as target:
                    sent = copy(file, target, on_bytes)
                if sent != file.sha256:
                    self._files.rm_file(place)
                    raise changed(file)

    def _told(self) -> Telling:
        return Telling(self.address, self._url)


class Telling:
    """A context in which another package's errors become a `PushFailed` or `UsageError` that holds no secrets."""

    def __init__(self, address: str, url: str = "", token: str = "") -> None:
        self._address, self._url, self._token = address, url, token

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, reason: BaseException | None, trace: object) -> None:
        if isinstance(reason, NotImplementedError):  # fsspec's, of what it only reads, such as HTTP
            message = f"{self._address} cannot be written to: name a folder, an object store or a Hub repository"
            raise UsageError(message) from None
        if isinstance(reason, Exception) and not isinstance(reason, RunFailed | UsageError):
            causes = [reason, *([reason.__cause__] if reason.__cause__ else [])]
            said = ": ".join(why(one).rstrip(".") for one in causes)
            message = printable(without_secrets(said, self._url))
            if self._token:
                message = message.replace(self._token, HIDDEN)
            raise PushFailed(f"{self._address}: {message}. The same command goes on where this one ended.") from None


def changed(file: PushFile) -> PushFailed:
    """The error of a file whose content is another than when it was checked."""
    return PushFailed(
        f"{file.path} changed while it was sent: check the dataset with `storyloom validate`, and push again"
    )


def _told_by_store(info: Mapping[str, Any]) -> Found:
    """What an object store says of a file: an ETag that is an MD5, or an MD5 of its own."""
    etag = str(info.get("ETag", "")).strip('"').lower()
    settings = info.get("content_settings")
    named = info.get("md5Hash") or (settings.get("content_md5") if isinstance(settings, Mapping) else "")
    own = named.hex() if isinstance(named, bytes | bytearray) else md5_of_base64(str(named or ""))
    return Found(int(info["size"] or 0), md5=own or (etag if MD5.fullmatch(etag) else ""))


def is_inside(folder: str, other: str) -> bool:
    """Whether a folder is another one, or lies in it, by path or URL."""
    if "://" in folder and "://" in other:
        return f"{usual(folder)}/".startswith(f"{usual(other)}/")
    one, two = (Path(os.path.realpath(place)) for place in (folder, other))
    return "://" not in folder + other and one.is_relative_to(two)
