"""Shards from the work folder into the output: hard-linked where possible, copied and verified elsewhere."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from storyloom.format.layout import index_of
from storyloom.format.reader import BadShard
from storyloom.format.sample import FormatError
from storyloom.format.shard import Shard
from storyloom.format.tar import index_of_tar
from storyloom.fs.atomic import replacing, sync_folder, temporary, write_atomically


@dataclass(frozen=True)
class Placed:
    """A shard and where it comes from.

    Attributes:
        shard: With its final path, relative to the output.
        source: The tar file in the work folder.
    """

    shard: Shard
    source: Path


def check(placed: Sequence[Placed]) -> None:
    """Make sure that every shard is there, whole, and listed once.

    Raises:
        BadShard: A shard is not as its group says.
        FormatError: Two groups hold the same shard, so their keys are not unique.
    """
    first: dict[str, Placed] = {}
    for place in placed:
        if flaw := _flaw(place):
            raise broken(place, flaw)
        twin = first.setdefault(place.shard.sha256, place)
        if twin is not place:
            message = f"it holds the same documents as {twin.source}: is a group listed twice?"
            raise FormatError(str(place.source), "duplicate_key", message)


def broken(place: Placed, flaw: str) -> BadShard:
    """The error that names a shard, what is wrong with it, and the way out."""
    return BadShard.at(str(place.source), "", flaw, "Run again with `--only write --force`")


def _flaw(place: Placed) -> str:
    if not place.source.exists():
        return "is gone"
    if not index_of(place.source).exists():
        return "has no index, so it was not finished"
    size = place.source.stat().st_size
    return "" if size == place.shard.filesize else f"has {size} bytes instead of {place.shard.filesize}"


def hold_against_hash(place: Placed) -> None:
    """Make sure that a shard and its index are what was written.

    Raises:
        BadShard: One of them is not.
    """
    with place.source.open("rb") as tar:
        if hashlib.file_digest(tar, "sha256").hexdigest() != place.shard.sha256:
            raise broken(place, "was damaged since it was written")
        tar.seek(0)
        if index_of_tar(tar) != index_of(place.source).read_bytes():
            raise broken(place, "has an index that was damaged since it was written")


def put(place: Placed, output: Path) -> None:
    """Put a shard and its index in their places, the index last: its presence marks a finished shard.

    Raises:
        BadShard: The shard is not what was written.
    """
    hold_against_hash(place)
    target = output / place.shard.file
    target.parent.mkdir(parents=True, exist_ok=True)
    index_of(target).unlink(missing_ok=True)
    link = temporary(target)
    try:
        os.link(place.source, link)
    except OSError:  # another file system, or one without links
        _copy(place, target)
    else:
        try:
            link.replace(target)
        finally:
            link.unlink(missing_ok=True)
        sync_folder(target.parent)
    write_atomically(index_of(target), index_of(place.source).read_bytes())


def _copy(place: Placed, target: Path) -> None:
    with replacing(target) as copy, place.source.open("rb") as source:
        shutil.copyfileobj(source, copy)


def sha256_of(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
