"""The lists of a manifest: one file, those that a pattern matches, those of a folder; and reading each by its kind."""

from __future__ import annotations

import csv
import glob
import os
import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from pipeline.manifest.batch import Batch, Line, Told, batches
from pipeline.manifest.columns import Columns
from pipeline.manifest.comma import comma_lines
from pipeline.manifest.folder import MEDIA_SUFFIXES, METADATA, Found, folder_lines, look_through
from pipeline.manifest.jsons import array_lines, json_lines
from pipeline.manifest.opened import ListUnreadable, NoUrls, as_text, unpacked, unpacked_suffix
from pipeline.manifest.parquet import parquet_batches
from pipeline.manifest.remote import folder_of, found_below, is_prefix, opened, suffix_of, version_at
from pipeline.manifest.tars import tar_lines
from pipeline.manifest.text import text_lines
from storyloom.errors import UsageError
from storyloom.fs.url import local_path, redacted, scheme_of


@dataclass(frozen=True)
class Source:
    """A list, a folder of media, or media files.

    Attributes:
        name: As messages have it.
        path: Of a list.
        prefix: Before the relative paths of a list that is not in the manifest's own folder.
        found: Of a folder of media.
        metadata: Whether it was found in a folder of media, by its name alone: it may be a list of something else.
        media: Names of media files.
        remote: Whether the path is a URL: the list then names no files of this machine's.
    """

    name: str
    path: str = ""
    prefix: str = ""
    found: Found | None = None
    metadata: bool = False
    media: tuple[str, ...] = ()
    remote: bool = False


def sources_of(manifest: str, without: Collection[str]) -> tuple[str, list[Source]]:
    """The folder of a manifest's relative paths, and its lists.

    Raises:
        UsageError: There is nothing of that name, or it cannot be read.
    """
    if scheme_of(manifest) != "file":
        return "", _remote(manifest, without)
    try:
        path = str(local_path(manifest))
        place = Path(path).expanduser() if path.startswith("~/") else Path(path)
        is_file, is_folder, is_there = place.is_file(), place.is_dir(), place.exists()
    except (OSError, ValueError) as reason:
        raise UsageError(f"the manifest {manifest[:200]!r} cannot be opened: {reason}") from reason
    if is_folder:
        return str(place.absolute()), _of_folder(place, without)
    if is_file:
        return str(place.absolute().parent), [_of_file(place, "")]
    if is_there:  # a pipe or a device may never end
        raise UsageError(f"the manifest {place.absolute()} is no regular file; write its lines into one")
    if glob.has_magic(str(place)):
        return _of_pattern(place)
    raise UsageError(f"no manifest at {place.absolute()}; give a list of paths or URLs, or a folder of media")


def identities(manifest: str) -> dict[str, str] | None:
    """What is another one once a list of a manifest changes, by the list; None where that takes listing or reading."""
    try:
        if scheme_of(manifest) != "file":
            listed = manifest.endswith("/") or "*" in manifest
            sources = [] if listed else _remote(manifest, ())
        else:
            sources = [] if Path(local_path(manifest)).expanduser().is_dir() else sources_of(manifest, ())[1]
        found = {one.path: version_at(one.path) if one.remote else _version(one.path) for one in sources if one.path}
    except (UsageError, OSError, ValueError):
        return None
    return found if sources and len(found) == len(sources) and all(found.values()) else None


def _version(path: str) -> str:
    found = os.stat(path)  # noqa: PTH116
    return f"{found.st_size} {found.st_dev} {found.st_ino} {found.st_mtime_ns} {found.st_ctime_ns}"


def _remote(url: str, without: Collection[str]) -> list[Source]:
    """The lists behind a URL; a prefix ends with a slash, or is a pattern, or its store says that it is one."""
    if suffix_of(url) in MEDIA_SUFFIXES and "*" not in url:
        return [Source(redacted(url), media=(url,))]
    if not suffix_of(url) and is_prefix(url):
        url += "/"
    if not (url.endswith("/") or "*" in url):
        name = redacted(url).rpartition("/")[2]
        return [Source(name, path=url, prefix=folder_of(url), remote=True)]
    found = found_below(url, without)
    return [Source(redacted(url), found=found), *(Source(redacted(one), path=one, remote=True) for one in found.tables)]


def _of_file(file: Path, prefix: str) -> Source:
    if file.suffix.lower() in MEDIA_SUFFIXES:
        return Source(prefix + file.name, prefix=prefix, media=(file.name,))
    return Source(file.name if not prefix else prefix + file.name, path=str(file), prefix=prefix)


def _of_folder(folder: Path, without: Collection[str]) -> list[Source]:
    found = look_through(folder, without)
    lists, tables = (
        [_of_file(folder / one, one[: -len(os.path.basename(one))]) for one in names]  # noqa: PTH119
        for names in (found.lists, found.tables)
    )
    media = Source(folder.absolute().name, found=found)
    return [*(replace(one, metadata=True) for one in lists), media, *tables]


def _of_pattern(pattern: Path) -> tuple[str, list[Source]]:
    parts = pattern.absolute().parts
    fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:fixed])
    matches = sorted(one for one in glob.glob(str(pattern.absolute()), recursive=True) if not os.path.isdir(one))  # noqa: PTH112, PTH207
    if not matches:
        raise UsageError(f"the manifest {pattern} matches no file")
    prefixes = [os.path.relpath(os.path.dirname(one), base) for one in matches]  # noqa: PTH120
    return str(base), [
        _of_file(Path(one), "" if prefix == "." else f"{prefix}/")
        for one, prefix in zip(matches, prefixes, strict=True)
    ]


def read_source(source: Source, columns: Columns, told: Told) -> Iterable[Batch]:
    """The lines of a list in batches; none of metadata of something else, which is told.

    Raises:
        UsageError: It cannot be read.
    """
    if not source.metadata:
        return _read(source, columns, told)
    try:
        return list(_read(source, columns, told))
    except NoUrls as reason:
        told.say(f"{source.name} was passed over: {reason}")
        return []


def _read(source: Source, columns: Columns, told: Told) -> Iterator[Batch]:
    if source.found is not None:
        yield from batches(folder_lines(source.found, told), told)
        return
    if source.media:
        yield from batches((Line(number, {"url": name}) for number, name in enumerate(source.media, 1)), told)
        return
    suffix = suffix_of(source.path) if source.remote else unpacked_suffix(source.path)
    if Path(source.path).name.lower() in METADATA:
        columns = replace(columns, file_name=True)
    try:
        with opened(source.path) if source.remote else Path(source.path).open("rb") as file:
            name = source.path if source.remote else os.path.basename(source.path)  # noqa: PTH119
            if suffix == ".tar":
                yield from batches(tar_lines(file, name, told), told)
            elif suffix == ".parquet":
                yield from parquet_batches(file, name, columns, told)
            else:
                with unpacked(file, redacted(source.path)) as content:
                    yield from batches(_lines(content, suffix, source, columns, told), told)
    except ListUnreadable as reason:
        if source.metadata and isinstance(reason, NoUrls):
            raise
        raise UsageError(f"the manifest {source.name}: {reason}") from reason
    except (OSError, EOFError, UnicodeError, zlib.error, csv.Error, pa.ArrowException) as reason:
        kind = suffix.removeprefix(".") or "text"
        raise UsageError(f"the manifest {source.name} cannot be read as {kind}: {str(reason)[:300]}") from reason


def _lines(content: BinaryIO, suffix: str, source: Source, columns: Columns, told: Told) -> Iterator[Line]:
    if suffix in (".csv", ".tsv"):
        yield from comma_lines(as_text(content, newline=""), "," if suffix == ".csv" else "\t", columns, told)
    elif suffix in (".jsonl", ".ndjson"):
        yield from json_lines(as_text(content), columns, told)
    elif suffix == ".json":
        yield from array_lines(as_text(content), columns, told)
    else:
        folder = "" if source.remote else os.path.dirname(os.path.abspath(source.path))  # noqa: PTH100, PTH120
        yield from text_lines(as_text(content), folder, told)
