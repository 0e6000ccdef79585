"""Shards: their model, where they are cut, and their one writer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, StringConstraints

from storyloom.format.counts import Counts
from storyloom.format.items import Items, write_items
from storyloom.format.layout import index_of, items_of
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
        file: Its path relative to the folder it lies in; beside it lie its index,
            ``<stem>.tar.idx``, and its table of items, ``<stem>.parquet``.
        nsamples: Documents; no shard is empty.
        filesize: Bytes.
        sha256: Of the whole file, hexadecimal.
        md5sum: Of the whole file, hexadecimal; wids checks it.
        items_sha256: Of the table of items, hexadecimal; empty where there is none, as in a dataset of `storyloom/1`.
    """

    split: Split
    file: str
    nsamples: Annotated[int, Field(ge=1, le=MOST_DOCUMENTS)]
    filesize: Annotated[int, Field(gt=0, lt=2**63)]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    md5sum: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    items_sha256: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")] = ""

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


class ShardDocument(NamedTuple):
    """A document as it is written into a shard: its tar members, its counts, and its row of the table of items."""

    members: bytes
    counts: Counts
    items: Items


def write_shard(path: Path, split: Split, documents: Iterable[ShardDocument], tokenizer: str = "") -> Shard:
    """Write a shard, its table of items, and its index.

    Args:
        path: Of the tar file.
        split: Its split.
        documents: In its order.
        tokenizer: SHA-256 of the `tokenizer.json` that counted the texts' tokens; empty without one.

    Raises:
        FormatError: The table would be larger than a reader takes.
    """
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    sizes: list[int] = []
    counts: list[Counts] = []
    items: list[Items] = []
    with replacing(path) as file:

        def put(block: bytes) -> None:
            file.write(block)
            sha256.update(block)
            md5.update(block)

        for document in documents:
            put(document.members)
            sizes.append(len(document.members))
            counts.append(document.counts)
            items.append(document.items)
        end = trailer(sum(sizes))
        put(end)
    with replacing(items_of(path)) as table:
        items_sha256 = write_items(table, items, tokenizer)
    # Its presence marks the shard as finished, so it comes last.
    write_atomically(index_of(path), index_bytes(sizes))
    return Shard(
        split=split,
        file=path.name,
        filesize=sum(sizes) + len(end),
        sha256=sha256.hexdigest(),
        md5sum=md5.hexdigest(),
        items_sha256=items_sha256,
        **Counts.total(counts).counted(),
    )
