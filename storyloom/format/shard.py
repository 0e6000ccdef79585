"""Shards: their model, where they are cut, and their one writer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from storyloom.format.counts import Counts
from storyloom.format.tar import index_bytes, trailer
from storyloom.fs.atomic import replacing, write_atomically

Split = Literal["train", "val"]


MOST_DOCUMENTS = 2**22
"""Documents of a shard (our choice): its index is held in memory whole, 32 MB."""

SPLITS: tuple[Split, ...] = ("train", "val")


class Shard(Counts):
    """A finished tar file and its counts.

    Attributes:
        split: Which part of the dataset it belongs to.
        file: Its path relative to the folder it lies in; its index lies beside it, as ``<stem>.tar.idx``.
        nsamples: Documents; no shard is empty.
        filesize: Bytes.
        sha256: Of the whole file, hexadecimal.
        md5sum: Of the whole file, hexadecimal; wids checks it.
    """

    split: Split
    file: str
    nsamples: Annotated[int, Field(ge=1, le=MOST_DOCUMENTS)]
    filesize: Annotated[int, Field(gt=0, lt=2**63)]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    md5sum: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]

    @property
    def is_rest(self) -> bool:
        """Whether it holds a group's leftover documents, which are merged with those of other groups on publishing."""
        return self.file == rest_file(self.split)


def rest_file(split: Split) -> str:
    """Name of the file with a group's last documents, too few for a whole shard."""
    return f"{split}-rest.tar"


def shard_numbers(sizes: Iterable[int], target: int) -> Iterator[int]:
    """The number of each document's shard, from 0: a shard ends where its size is nearest to the target.

    So a shard, but for the last one, misses the target by at most half of its largest document, tar's padding apart.

    Args:
        sizes: Bytes of each document, in order.
        target: Bytes of a shard.
    """
    number = filled = 0
    for size in sizes:
        if filled and 2 * filled + size > 2 * target:
            number, filled = number + 1, 0
        filled += size
        yield number


def write_shard(path: Path, split: Split, documents: Iterable[tuple[bytes, Counts]]) -> Shard:
    """Write a shard and its index from each document's tar members and counts."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    sizes: list[int] = []
    counts: list[Counts] = []
    with replacing(path) as file:

        def put(block: bytes) -> None:
            file.write(block)
            sha256.update(block)
            md5.update(block)

        for members, counted in documents:
            put(members)
            sizes.append(len(members))
            counts.append(counted)
        end = trailer(sum(sizes))
        put(end)
    # Its presence marks the shard as finished, so it comes last.
    write_atomically(path.with_suffix(".tar.idx"), index_bytes(sizes))
    return Shard(
        split=split,
        file=path.name,
        filesize=sum(sizes) + len(end),
        sha256=sha256.hexdigest(),
        md5sum=md5.hexdigest(),
        **Counts.total(counts).counted(),
    )
