"""The record of a media file's content as `download` read it, and checks that the file still matches it."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Self

from pydantic import ValidationError

from schemas.media import MediaRow, SitePage
from stages.base import InputMissing, VideoFailed
from stages.media.held import Held, held
from storyloom.format.model import Model
from storyloom.fs.cache import machine_cache
from storyloom.fs.files import Files
from storyloom.fs.objects import StoredObject, brought
from storyloom.fs.url import local_path, redacted, scheme_of

RECORD_SUFFIX = ".source.json"
"""Suffix of the record beside a media file, instead of the file's own extension."""

UNKNOWN_SIZE = -1
"""Size of a record that no response can have."""

NAME_DIGITS = 12
"""Hexadecimal digits of a content's SHA-256 in file names: 48 bits distinguish the contents of a video."""


@dataclass(frozen=True)
class Validators:
    """HTTP validators, which identify a version of a URL's content.

    Attributes:
        etag: An HTTP ETag, or fsspec's `ukey` of an object; empty when there is none.
        last_modified: The HTTP header's value; empty when there is none.
    """

    etag: str = ""
    last_modified: str = ""


class MediaSource(Model):
    """The record beside a media file.

    Attributes:
        sha256: Of the file's content.
        size: Bytes.
        modified_ns: Modification time of the hashed file, symbolic links followed; nanoseconds since 1970.
        url: Source of the content: a path, or a URL without userinfo and query.
        address: SHA-256 of the whole URL, which may hold secrets.
        etag: As `Validators` has it.
        last_modified: As `Validators` has it.
        page: What the site says about the video, with its subtitle tracks; None for one from no site.
        asked: The request for tracks that `page` answers; empty when some of them did not come.
        stored: Whether the content stays in the store where it lies, under `url` and with this `etag`.
        instance_credentials: Whether the machine's metadata service may be asked for credentials to read it there.
    """

    sha256: str
    size: int
    modified_ns: int
    url: str
    address: str
    etag: str = ""
    last_modified: str = ""
    page: SitePage | None = None
    asked: str = ""
    stored: bool = False
    instance_credentials: bool = False

    @classmethod
    def of(cls, stated: os.stat_result, sha256: str, url: str, validators: Validators | None = None) -> Self:
        """The record of a content from a path or URL, and the file status when it was hashed."""
        return cls(
            sha256=sha256,
            size=stated.st_size,
            modified_ns=stated.st_mtime_ns,
            url=redacted(url),
            address=address_of(url),
            **asdict(validators or Validators()),
        )

    @property
    def stored_object(self) -> StoredObject:
        """The object that has the content of one that is `stored`."""
        return StoredObject(self.url, self.etag, self.size, self.instance_credentials)

    def at(self, url: str) -> Self | None:
        """What the record says of the content at a URL, which may have been corrected since under the same id.

        For the same URL all of it. For one that differs in its query or password, such as a renewed signature, the ETag
        alone, which tells whether the content is the same; a date or a size does not. For another URL nothing.
        """
        if self.address == address_of(url):
            return self
        if self.etag and self.url == redacted(url):
            return self.model_copy(update={"last_modified": "", "size": UNKNOWN_SIZE})
        return None

    def matches(self, file: Path, *, moved: bool = False) -> bool:
        """Whether a file still has this content, by size and time, or else (a copy has a new time) by hash.

        Args:
            file: The file.
            moved: Whether it is another than the one that was recorded: its time says nothing then.
        """
        stated = file.stat()
        if stated.st_size != self.size or not stat.S_ISREG(stated.st_mode):
            return False
        return (stated.st_mtime_ns == self.modified_ns and not moved) or digest(file) == self.sha256


class MediaMissing(InputMissing):
    """A file of the media folder is missing or damaged; `download` restores it. It is not a fault of the video.

    Args:
        video: Its key.
        path: Path or URL of the file.
    """

    def __init__(self, video: str, path: str) -> None:
        super().__init__("download", f"{path} of video {video} is gone, replaced or damaged; download brings it back")
        self.video = video
        self.path = path

    def __reduce__(self) -> tuple[type[MediaMissing], tuple[str, str]]:
        return MediaMissing, (self.video, self.path)


@contextmanager
def content_here(files: Files, name: str, record: MediaSource) -> Iterator[Path]:
    """A file of this machine with a recorded content: from the media folder, the store where it lies, or the cache.

    Args:
        files: The media folder.
        name: Of the file in it.
        record: Of the content, which the caller checks.

    Raises:
        FileNotFoundError: It is gone, or what is in the store is another content by now.
    """
    if record.stored:
        with brought(record.stored_object) as file:
            yield file
        return
    with ExitStack() as stack:
        try:
            file = stack.enter_context(files.local(name, record.sha256))
        except FileNotFoundError:  # it may be one that is kept nowhere else
            file = stack.enter_context(machine_cache().kept(record.sha256))
        yield file


@contextmanager
def reading(files: Files, row: MediaRow) -> Iterator[Path]:
    """Yield the media file for a decoder, opened, and checked before and after against its record from `download`.

    What has come to its place since it was opened is not read: the path leads to what was checked.

    Args:
        files: The media folder.
        row: The video's row from `download`.

    Raises:
        VideoFailed: ``media_changed``: the linked local file was replaced.
        MediaMissing: The file, its link's target or its record is missing, the file is damaged, or the object that it
            is in a store was replaced.
        OSError: The store failed.
    """
    record = read_record(files, record_of(row.media))
    missing = MediaMissing(row.video, record.url if record and record.stored else f"{files.address}/{row.media}")
    if record is None or record.sha256 != row.sha256:
        raise missing
    again = record.stored or files.cached
    with ExitStack() as stack:
        while True:
            try:
                file = stack.enter_context(content_here(files, row.media, record))
                own = stack.enter_context(held(file))
                linked = file.readlink() if file.is_symlink() else file.resolve()
            except FileNotFoundError as gone:
                raise missing from gone
            # A link's target is the user's file, which the next run checks; any other file can only be restored.
            altered = _changed(file) if file.is_symlink() else missing
            if record.matches(own.path, moved=own.real != linked):
                break
            machine_cache().forget(record.stored_object.identity if record.stored else record.sha256)
            if not again:
                raise altered
            again = False  # perhaps what was brought is damaged, and not the store's
            stack.close()
        before = _state(own.path)
        try:
            yield own.path
        finally:  # also replaces a decoder's exception: it read a mix of contents
            after = _state(file)
            if after is None:
                raise missing
            if after != before:
                raise altered


@contextmanager
def steady(file: Held) -> Iterator[os.stat_result]:
    """Yield the status of a file, and check at the end of the block that it is unchanged, and still in its place.

    Raises:
        VideoFailed: ``media_changed``, which also replaces an exception of the block.
    """
    stated = file.path.stat()
    try:
        yield stated
    finally:
        if _state(file.real) != told_apart_by(stated) or _state(file.path) != told_apart_by(stated):
            raise _changed(file.real)


def source_state(url: str) -> str:
    """The state of the local file at a path or ``file://`` URL, which changes when it is replaced; no network access.

    Returns:
        ``SIZE:MODIFIED`` (bytes, and nanoseconds since 1970) of the file, ``missing`` when there is none, and an empty
        string for every other URL.
    """
    if scheme_of(url) != "file":
        return ""
    try:
        stated = local_path(url).stat()
    except (OSError, ValueError):
        return "missing"
    return f"{stated.st_size}:{stated.st_mtime_ns}"


def address_of(url: str) -> str:
    """SHA-256 of a path or URL, in hexadecimal: tells URLs apart and gives no signature away."""
    return hashlib.sha256(url.encode()).hexdigest()


def digest(file: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with file.open("rb") as content:
        content.seek(0)  # macOS: a descriptor's path opens it where it was read last
        return hashlib.file_digest(content, "sha256").hexdigest()


def content_name(name: str, sha256: str, extension: str) -> str:
    """The file name of one content of `name`."""
    return f"{name}-{sha256[:NAME_DIGITS]}.{extension}"


def record_of(name: str) -> str:
    """Name of a media file's record."""
    return PurePosixPath(name).with_suffix(RECORD_SUFFIX).as_posix()


def read_record(files: Files, name: str) -> MediaSource | None:
    """The record in a file; None when it is missing or unreadable."""
    try:
        return MediaSource.model_validate_json(files.read(name))
    except (FileNotFoundError, ValidationError):
        return None


def _changed(file: Path) -> VideoFailed:
    message = (
        f"{file.resolve()} was replaced since it was downloaded, or is being written; run again: download notices"
        " (with --retry if the old file is back)"
    )
    return VideoFailed("media_changed", message, retryable=True)


def _state(file: Path) -> tuple[int, ...] | None:
    """The status fields of a file, links followed, that change when it is replaced; None when there is none."""
    try:
        return told_apart_by(file.stat())
    except FileNotFoundError:
        return None


def told_apart_by(stated: os.stat_result) -> tuple[int, ...]:
    """The status fields that change when a file is replaced."""
    return stated.st_size, stated.st_mtime_ns, stated.st_ino, stated.st_dev
