"""Single members of a shard, found through its index: the JSON of a document, or a document's images."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from storyloom.errors import RunFailed
from storyloom.format.layout import index_of
from storyloom.format.shard import Shard
from storyloom.format.tar import INDEX_TYPE

SIZE = slice(124, 135)
"""Where a USTAR header states its member's size, in octal digits."""


class ShardUnreadable(RunFailed):
    """A shard does not hold what the manifest or its index says."""

    def __init__(self, shard: str, flaw: str) -> None:
        super().__init__(f"{shard} {flaw}; `storyloom validate` lists everything that is wrong with a dataset")


def offsets(output: Path, shard: Shard) -> NDArray[np.uint64]:
    """Where each sample of a shard starts, in bytes, and last where the last one ends.

    Raises:
        ShardUnreadable: Shard or index is missing, or they disagree with the manifest.
    """
    tar = output / shard.file
    try:
        size, index = tar.stat().st_size, index_of(tar).read_bytes()
    except OSError as reason:
        raise ShardUnreadable(shard.file, f"cannot be read: {reason}") from reason
    if len(index) != (shard.nsamples + 1) * INDEX_TYPE.itemsize:
        found = len(index) // INDEX_TYPE.itemsize - 1
        raise ShardUnreadable(shard.file, f"has an index of {found} documents; the manifest says {shard.nsamples}")
    found_offsets = np.frombuffer(index, INDEX_TYPE)
    if np.any(found_offsets[1:] <= found_offsets[:-1]) or found_offsets[-1] > size:
        raise ShardUnreadable(shard.file, f"has {size} bytes, and an index that does not fit them")
    return found_offsets


def documents(tar: Path, starts: NDArray[np.uint64]) -> Iterator[dict[str, Any]]:
    """The JSON of each document that starts at one of these offsets. Nothing else of the shard is read.

    Raises:
        ShardUnreadable: There is no document at an offset.
    """
    with tar.open("rb", buffering=0) as file:
        if hasattr(os, "posix_fadvise"):  # else the kernel reads ahead, which is images
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        for start in starts.tolist():
            name, content = _member(file, start)
            try:
                document = from_json(content, allow_inf_nan=False, cache_strings="keys")
            except ValueError as reason:
                raise ShardUnreadable(tar.name, f"holds {name!r} at byte {start}, which is no JSON: {reason}") from None
            if not isinstance(document, dict):
                raise ShardUnreadable(tar.name, f"holds {name!r} at byte {start}, which is no JSON object")
            yield document


def jpegs(tar: Path, start: int, end: int) -> dict[str, bytes]:
    """The images of the sample between two offsets, by member name."""
    found = {}
    with tar.open("rb", buffering=0) as file:
        while start < end:
            name, content = _member(file, start)
            if not name.endswith(".json"):
                found[name] = content
            start += tarfile.BLOCKSIZE + len(content) + -len(content) % tarfile.BLOCKSIZE
    return found


def _member(file: BinaryIO, start: int) -> tuple[str, bytes]:
    """Name and content of the member whose header lies at an offset."""
    header = os.pread(file.fileno(), tarfile.BLOCKSIZE, start)
    name = header[:100].rstrip(b"\0").decode("ascii", "replace")
    try:
        size = int(header[SIZE], 8)
    except ValueError:
        raise ShardUnreadable(Path(file.name).name, f"has no tar header at byte {start}") from None
    content = os.pread(file.fileno(), size, start + tarfile.BLOCKSIZE)
    if len(content) != size:
        raise ShardUnreadable(Path(file.name).name, f"ends inside {name!r}")
    return name, content
