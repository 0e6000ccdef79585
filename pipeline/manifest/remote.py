"""Manifests elsewhere: lists behind URLs, and prefixes of object stores."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from pipeline.beside import SUFFIXES as SUBTITLES
from pipeline.manifest.folder import MEDIA_SUFFIXES, Found
from pipeline.manifest.opened import unpacked_suffix
from storyloom.errors import UsageError
from storyloom.fs.connect import OF_CONTENT, connected, version_of
from storyloom.fs.place import usual
from storyloom.fs.url import redacted, scheme_of

HTTP = ("http", "https")


def folder_of(url: str) -> str:
    """The URL of what a URL's file is in, with its slash at the end."""
    return redacted(url).rpartition("/")[0] + "/"


def suffix_of(url: str) -> str:
    """The ending of a URL's file, that of packing left out."""
    return unpacked_suffix(redacted(url).rpartition("/")[2])


def found_below(prefix: str, without: Collection[str] = ()) -> Found:
    """The media below a prefix of an object store, as URLs.

    Args:
        prefix: A URL with a slash at its end, or a pattern.
        without: URLs of folders that are left out, such as that of the work.

    Raises:
        UsageError: It cannot be listed.
    """
    scheme = scheme_of(prefix)
    if scheme in HTTP:
        raise UsageError(f"{redacted(prefix)}: there is no way to list a folder over http; give a list of its videos")
    with _failures_typed(prefix):
        storage = _storage(prefix)
        names = storage.glob(prefix) if "*" in prefix else storage.find(prefix)
    found = Found()
    own = tuple(f"{one}/" for one in without if "://" in one)
    for url in (f"{scheme}://{name.lstrip('/')}" for name in names):
        if usual(url).startswith(own):
            found.others["this run's own"] += 1
            continue
        suffix = os.path.splitext(url)[1].lower()  # noqa: PTH122 - a URL
        if suffix in MEDIA_SUFFIXES:
            found.media.append(url)
        elif suffix == ".tar":
            found.tables.append(url)
        elif suffix not in SUBTITLES:
            found.others[suffix or "without an ending"] += 1
    return found.settled()


def is_prefix(url: str) -> bool:
    """Whether a URL without a slash at its end is that of a folder of a store, and of no file.

    Raises:
        UsageError: There is nothing, or it cannot be asked for.
    """
    if scheme_of(url) in HTTP or url.endswith("/") or "*" in url:
        return False
    with _failures_typed(url):
        return bool(_storage(url).info(url)["type"] == "directory")


@contextmanager
def opened(url: str) -> Iterator[BinaryIO]:
    """A file behind a URL that can be seeked in: a copy of a list, a tar itself.

    Raises:
        UsageError: It cannot be opened.
    """
    with _failures_typed(url):
        source = _storage(url).open(url, "rb")
    with source:
        if suffix_of(url) == ".tar":
            yield cast("BinaryIO", source)
            return
        with tempfile.TemporaryFile() as copy:
            with _failures_typed(url):
                shutil.copyfileobj(source, copy, 1 << 20)
            copy.seek(0)
            yield cast("BinaryIO", copy)


def version_at(url: str) -> str:
    """What is another one once a file behind a URL changes; empty where nothing tells, or a time alone.

    Raises:
        UsageError: It cannot be asked for.
    """
    if scheme_of(url) in HTTP:
        return ""
    with _failures_typed(url):
        found = _storage(url).info(url)
    version = version_of(found, OF_CONTENT)
    return f"{version} {found.get('size')}" if version else ""


def _storage(url: str) -> Any:
    return connected(url)[0]


@contextmanager
def _failures_typed(url: str) -> Iterator[None]:
    shown, scheme = redacted(url), scheme_of(url)
    try:
        yield
    except UsageError as reason:
        raise UsageError(f"the manifest {reason}") from reason
    except ImportError as missing:
        raise UsageError(f"{scheme}:// needs a package that is not there: {missing} (s3: s3fs, gs: gcsfs)") from missing
    except FileNotFoundError as reason:
        raise UsageError(f"there is no manifest at {shown}") from reason
    except Exception as reason:  # each store's package has its own exceptions
        what = str(reason).replace(url, shown)[:300]
        raise UsageError(f"the manifest {shown} cannot be read: {type(reason).__name__}: {what}") from reason
