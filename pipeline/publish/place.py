"""Placing shards from the work folder in the output: hard-linked where possible, otherwise copied."""

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
class ShardSource:
    """A shard and its file in the work folder.

    Attributes:
        shard: Its `file` is the path relative to the output once final names are set.
        path: The tar file in the work folder.
    """

    shard: Shard
    path: Path


def check(sources: Sequence[ShardSource]) -> None:
    """Check that every shard is present, whole, and listed once.

    Raises:
        BadShard: A shard does not match its group's result.
        FormatError: Two groups have the same shard, so their keys are not unique.
    """
    first: dict[str, ShardSource] = {}
    for source in sources:
        if flaw := _flaw(source):
            raise broken(source, flaw)
        twin = first.setdefault(source.shard.sha256, source)
        if twin is not source:
            message = f"it holds the same documents as {twin.path}: is a group listed twice?"
            raise FormatError(str(source.path), "duplicate_key", message)


def broken(source: ShardSource, flaw: str) -> BadShard:
    """The error with a shard's path, its flaw, and the way out."""
    return BadShard.at(str(source.path), "", flaw, "Run again with `--only write --force`")


def _flaw(source: ShardSource) -> str:
    if not source.path.exists():
        return "is gone"
    if not index_of(source.path).exists():
        return "has no index, so it was not finished"
    size = source.path.stat().st_size
    return "" if size == source.shard.filesize else f"has {size} bytes instead of {source.shard.filesize}"


def hold_against_hash(source: ShardSource) -> None:
    """Make sure that a shard and its index are what was written.

    Raises:
        BadShard: One of them is not.
    """
    with source.path.open("rb") as tar:
        if hashlib.file_digest(tar, "sha256").hexdigest() != source.shard.sha256:
            raise broken(source, "was damaged since it was written")
        tar.seek(0)
        if index_of_tar(tar) != index_of(source.path).read_bytes():
            raise broken(source, "has an index that was damaged since it was written")


def put(source: ShardSource, output: Path) -> None:
    """Place a shard and its index in the output, the index last: its presence marks a finished shard.

    Raises:
        BadShard: The shard does not match its hash.
    """
    hold_against_hash(source)
    target = output / source.shard.file
    target.parent.mkdir(parents=True, exist_ok=True)
    index_of(target).unlink(missing_ok=True)
    link = temporary(target)
    try:
        os.link(source.path, link)
    except OSError:  # another file system, or one without hard links
        _copy(source, target)
    else:
        try:
            link.replace(target)
        finally:
            link.unlink(missing_ok=True)
        sync_folder(target.parent)
    write_atomically(index_of(target), index_of(source.path).read_bytes())


def _copy(source: ShardSource, target: Path) -> None:
    with replacing(target) as copy, source.path.open("rb") as original:
        shutil.copyfileobj(original, copy)


def sha256_of(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
