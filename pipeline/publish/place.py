"""Placing shards from the work folder in the output."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from storyloom.format.layout import beside, index_name, items_name
from storyloom.format.sample import FormatError
from storyloom.format.shard import Shard
from storyloom.format.stored import BadShard
from storyloom.format.tar import index_of_tar
from storyloom.fs.files import Entry, Files


@dataclass(frozen=True)
class ShardSource:
    """A shard and its file in the work folder.

    Attributes:
        shard: Its `file` is the path relative to the output once final names are set.
        files: The folder of the tar file.
        name: Of the tar file there.
    """

    shard: Shard
    files: Files
    name: str

    @property
    def address(self) -> str:
        """Where the tar file lies, for messages."""
        return f"{self.files.address}/{self.name}"

    @property
    def index(self) -> str:
        """Name of its index."""
        return index_name(self.name)

    @property
    def items(self) -> str:
        """Name of its table of items."""
        return items_name(self.name)


def check(sources: Sequence[ShardSource]) -> None:
    """Check that every shard is present, whole, and listed once.

    Raises:
        BadShard: A shard does not match its group's result.
        FormatError: Two groups have the same shard, so their keys are not unique.
    """
    there: dict[str, dict[str, Entry]] = {}
    first: dict[str, ShardSource] = {}
    for source in sources:
        if source.files.address not in there:
            there[source.files.address] = {entry.name: entry for entry in source.files.entries()}
        if flaw := _flaw(source, there[source.files.address]):
            raise broken(source, flaw)
        twin = first.setdefault(source.shard.sha256, source)
        if twin is not source:
            message = f"it holds the same documents as {twin.address}: is a group listed twice?"
            raise FormatError(source.address, "duplicate_key", message)


def broken(source: ShardSource, flaw: str) -> BadShard:
    """The error with a shard's path, its flaw, and the way out."""
    return BadShard.at(source.address, "", flaw, "Run again with `--only write --force`")


def _flaw(source: ShardSource, there: dict[str, Entry]) -> str:
    if source.name not in there:
        return "is gone"
    if source.index not in there:
        return "has no index, so it was not finished"
    if source.items not in there:
        return f"has no table of items ({source.items})"
    size = there[source.name].size
    return "" if size == source.shard.filesize else f"has {size} bytes instead of {source.shard.filesize}"


def hold_against_hash(source: ShardSource) -> None:
    """Make sure that a shard, its table of items and its index are what was written.

    Raises:
        BadShard: One of them is not.
    """
    with source.files.local(source.name, source.shard.sha256) as path, path.open("rb") as tar:
        if hashlib.file_digest(tar, "sha256").hexdigest() != source.shard.sha256:
            raise broken(source, "was damaged since it was written")
        tar.seek(0)
        if index_of_tar(tar) != source.files.read(source.index):
            raise broken(source, "has an index that was damaged since it was written")
    if hashlib.sha256(source.files.read(source.items)).hexdigest() != source.shard.items_sha256:
        raise broken(source, "has a table of items that was damaged since it was written")


def put(source: ShardSource, output: Files) -> None:
    """Place a shard, its table and its index in the output, the index last: its presence marks a finished shard.

    Raises:
        BadShard: The shard does not match its hash.
    """
    if not source.files.keeps_bytes:
        hold_against_hash(source)
    target = source.shard.file
    output.remove(index_name(target))
    output.copy(target, source.files, source.name)
    for name, of_source in zip(beside(target), beside(source.name), strict=True):
        output.replace(name, source.files.read(of_source))


def sha256_of(files: Files, name: str) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with files.local(name) as path, path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
