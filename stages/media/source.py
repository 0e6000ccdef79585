"""What a media file was when `download` read it, kept in a record beside it, and whether it still is that."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError

from schemas.rows import MediaRow
from stages.base import InputMissing, VideoFailed
from storyloom.format.model import Model

RECORD_SUFFIX = ".source.json"
"""Ends the name of the record beside a media file, in the place of the file's own extension."""

NAME_DIGITS = 12
"""Hexadecimal digits of a content's SHA-256 in the names of its files: 48 bits tell a video's contents apart."""


@dataclass(frozen=True)
class Validators:
    """What a server says to tell one content of a URL from the next.

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
        modified_ns: When the file, symbolic links followed, was last modified as it was hashed; nanoseconds since 1970.
        url: Where the content comes from: a path, or a URL without userinfo and query.
        etag: As `Validators` has it.
        last_modified: As `Validators` has it.
    """

    sha256: str
    size: int
    modified_ns: int
    url: str
    etag: str = ""
    last_modified: str = ""

    @classmethod
    def of(cls, stated: os.stat_result, sha256: str, url: str, validators: Validators) -> Self:
        """The record of a content, and of what the file system said of its file as it was hashed."""
        return cls(sha256=sha256, size=stated.st_size, modified_ns=stated.st_mtime_ns, url=url, **asdict(validators))

    def matches(self, file: Path) -> bool:
        """Whether a file still has this content: its size and time say so, or else (a copy's time is new) its hash."""
        stated = file.stat()
        if stated.st_size != self.size:
            return False
        return stated.st_mtime_ns == self.modified_ns or digest(file) == self.sha256


class MediaMissing(InputMissing):
    """A file of the media folder is gone or damaged. `download` brings it back; it is no fault of the video's.

    Args:
        video: Its key.
        path: The file, in the media folder.
    """

    def __init__(self, video: str, path: Path) -> None:
        super().__init__("download", f"{path} of video {video} is gone or damaged; download brings it back")
        self.video = video
        self.path = path

    def __reduce__(self) -> tuple[type[MediaMissing], tuple[str, Path]]:
        return MediaMissing, (self.video, self.path)


@contextmanager
def reading(media_folder: Path, row: MediaRow) -> Iterator[Path]:
    """The media file for a decoder, checked before and after to be the one that `download` described.

    Args:
        media_folder: That of all media.
        row: What `download` said of the video.

    Raises:
        VideoFailed: ``media_changed``: the local file that the folder links to was replaced.
        MediaMissing: The file, what it links to or its record is gone, or the file itself was damaged.
    """
    file = media_folder / row.media
    record, before = read_record(record_of(file)), _state(file)
    if record is None or record.sha256 != row.sha256 or before is None:
        raise MediaMissing(row.video, file)
    # A link leads to the user's file, which the next run looks at; the folder's own file can only be brought back.
    altered = _changed(file) if file.is_symlink() else MediaMissing(row.video, file)
    if not record.matches(file):
        raise altered
    try:
        yield file
    finally:  # also in the place of what a decoder raised: it read neither content
        after = _state(file)
        if after is None:
            raise MediaMissing(row.video, file)
        if after != before:
            raise altered


@contextmanager
def steady(file: Path) -> Iterator[os.stat_result]:
    """What the file system says of a file, made sure to be as true at the end of the block that reads it.

    Raises:
        VideoFailed: ``media_changed``, also in the place of what the block raised.
    """
    stated = file.stat()
    try:
        yield stated
    finally:
        if _state(file) != _told_apart_by(stated):
            raise _changed(file)


def source_state(url: str) -> str:
    """What tells whether the local file at a path or ``file://`` URL was replaced; asks no server.

    Returns:
        ``SIZE:MODIFIED`` (bytes, and nanoseconds since 1970) of the file that it leads to, ``missing`` when there is
        none, and an empty string for every other URL.
    """
    if scheme_of(url) != "file":
        return ""
    try:
        stated = local_path(url).stat()
    except (OSError, ValueError):
        return "missing"
    return f"{stated.st_size}:{stated.st_mtime_ns}"


def scheme_of(url: str) -> str:
    """The URL's scheme in lower case; ``file`` for a path."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", url)
    return found[1].lower() if found else "file"


def local_path(url: str) -> Path:
    """The path that is, or is in, a ``file://`` URL.

    Raises:
        ValueError: The URL names another machine, or is none.
    """
    if not (scheme := re.match("file://", url, re.IGNORECASE)):
        return Path(url)
    if (urlsplit(url).hostname or "") not in ("", "localhost"):
        raise ValueError(f"{url} names another machine; write file:///path")
    return Path(unquote(url[scheme.end() :].removeprefix("localhost")))


def digest(file: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def content_name(name: str, sha256: str, extension: str) -> str:
    """The file name of one content of what is called `name`."""
    return f"{name}-{sha256[:NAME_DIGITS]}.{extension}"


def record_of(file: Path) -> Path:
    """Path of a media file's record."""
    return file.with_name(file.stem + RECORD_SUFFIX)


def read_record(path: Path) -> MediaSource | None:
    """The record in a file; None when there is none, or none that can be read."""
    try:
        return MediaSource.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _changed(file: Path) -> VideoFailed:
    message = f"{file.resolve()} was replaced since it was downloaded, or is being written; run again: download notices"
    return VideoFailed("media_changed", message, retryable=True)


def _state(file: Path) -> tuple[int, ...] | None:
    """What tells a file, symbolic links followed, from one that replaces it; None when there is none."""
    try:
        return _told_apart_by(file.stat())
    except FileNotFoundError:
        return None


def _told_apart_by(stated: os.stat_result) -> tuple[int, ...]:
    return stated.st_size, stated.st_mtime_ns, stated.st_ino, stated.st_dev
