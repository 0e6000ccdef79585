"""Merging the groups' rests into full shards, so that only a split's last shard is smaller than the others.

A group is written independently of the others, so its last documents do not fill a shard. Only these rests are cut
again when the dataset is published. File names are hashes of the content, so a shard that was merged before is found
again, and an added group changes the last one only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, pairwise

import pyarrow as pa
from pydantic import ValidationError

from pipeline.publish.place import ShardSource, broken, hold_against_hash
from storyloom.format.counts import Counts
from storyloom.format.items import read_items, rows_of, tokenizer_of
from storyloom.format.layout import beside
from storyloom.format.sample import Sample
from storyloom.format.shard import Shard, ShardDocument, Split, shard_numbers, write_shard
from storyloom.format.tar import read_index, tar_members
from storyloom.fs.files import Files


@dataclass(frozen=True)
class Slice:
    """Consecutive documents of a rest.

    Attributes:
        rest: The rest's shard.
        first: Number of the first one in the rest.
        offsets: Start of each document in the tar file, then the end of the last one.
    """

    rest: ShardSource
    first: int
    offsets: tuple[int, ...]


def merged(rests: Sequence[ShardSource], folder: Files, target: int) -> list[ShardSource]:
    """The rests of one split, in order, as shards of about `target` bytes in `folder`; other shards there are removed.

    At no time is more than one document in memory.

    Raises:
        BadShard: A rest was damaged since it was written.
    """
    if not rests:
        return []
    split = rests[0].shard.split
    contents = list(_cut(rests, target))
    wanted = {name_of(split, slices): slices for slices in contents}
    _remove_others(folder, split, set(wanted))
    return [_shard(folder, name, split, slices) for name, slices in wanted.items()]


def name_of(split: Split, slices: Sequence[Slice]) -> str:
    """Name of the tar file that holds these documents, in this order."""
    parts = (
        f"{each.rest.shard.sha256} {each.rest.shard.items_sha256} {each.offsets[0]} {each.offsets[-1]}\n"
        for each in slices
    )
    return f"{split}-{hashlib.sha256(''.join(parts).encode()).hexdigest()[:16]}.tar"


def _cut(rests: Sequence[ShardSource], target: int) -> Iterator[list[Slice]]:
    spans = [
        (number, document, span)
        for number, rest in enumerate(rests)
        for document, span in enumerate(pairwise(_offsets(rest)))
    ]
    numbers = shard_numbers((end - start for _, _, (start, end) in spans), target)
    for _, numbered in groupby(zip(numbers, spans, strict=True), key=lambda each: each[0]):
        of_shard = [span for _, span in numbered]
        slices = []
        for number, of_rest in groupby(of_shard, key=lambda span: span[0]):
            some = list(of_rest)
            (_, first, (start, _)) = some[0]
            slices.append(Slice(rests[number], first, (start, *(end for _, _, (_, end) in some))))
        yield slices


def _offsets(rest: ShardSource) -> list[int]:
    try:
        return [int(offset) for offset in read_index(rest.files.read(rest.index))]
    except ValueError as reason:
        raise broken(rest, f"has a damaged index: {reason}") from None


def _shard(folder: Files, name: str, split: Split, slices: Sequence[Slice]) -> ShardSource:
    mark = name.replace(".tar", ".json")
    if found := _merged_before(folder, mark, name):
        return ShardSource(found, folder, name)
    with folder.scratch() as scratch:
        documents = chain.from_iterable(map(_documents, slices))
        shard = write_shard(scratch / name, split, documents, _tokenizer(slices))
        for file in (name, *beside(name)):
            folder.replace(file, scratch / file)
    folder.replace(mark, shard.model_dump_json(indent=1).encode() + b"\n")
    return ShardSource(shard, folder, name)


def _merged_before(folder: Files, mark: str, name: str) -> Shard | None:
    """The shard that an earlier run merged under this name; None when it is missing or visibly damaged."""
    content, entry = folder.read_all([mark])[0], folder.entry(name)
    try:
        found = Shard.model_validate_json(content or b"")
    except ValidationError:
        return None
    whole = entry is not None and found.filesize == entry.size
    return found if whole and all(map(folder.entry, beside(name))) else None


def _items(rest: ShardSource) -> pa.Table:
    try:
        return read_items(rest.files.read(rest.items), rest.shard.nsamples)
    except ValueError as reason:
        raise broken(rest, f"has a damaged table of items: {reason}") from None


def _tokenizer(slices: Sequence[Slice]) -> str:
    """The SHA-256 of the tokenizer of all rests: they are of one run, whose stage has one."""
    return tokenizer_of(_items(slices[0].rest).schema.metadata)


def _documents(part: Slice) -> Iterator[ShardDocument]:
    hold_against_hash(part.rest)
    rows = rows_of(_items(part.rest).slice(part.first, len(part.offsets) - 1))
    with part.rest.files.local(part.rest.name, part.rest.shard.sha256) as path, path.open("rb") as tar:
        tar.seek(part.offsets[0])
        for (start, end), row in zip(pairwise(part.offsets), rows, strict=True):
            members = tar.read(end - start)
            (_, content), *parts = tar_members(members)
            sounds = sum(name.endswith(".opus") for name, _ in parts)
            codes = sum(rows * columns for rows, columns in zip(row.code_rows, row.code_columns, strict=True))
            counts = Counts.of(Sample.model_validate_json(content), sounds, sum(row.text_tokens), codes)
            yield ShardDocument(members, counts, row)


def _remove_others(folder: Files, split: Split, wanted: set[str]) -> None:
    for entry in folder.entries():
        if entry.name.startswith(f"{split}-") and f"{entry.name.split('.', 1)[0]}.tar" not in wanted:
            folder.remove(entry.name)
