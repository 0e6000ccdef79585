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
from pathlib import Path

from pydantic import ValidationError

from pipeline.publish.place import ShardSource, broken, hold_against_hash
from storyloom.format.counts import Counts
from storyloom.format.layout import index_of
from storyloom.format.sample import Sample
from storyloom.format.shard import Shard, Split, shard_numbers, write_shard
from storyloom.format.tar import read_index, tar_members
from storyloom.fs.atomic import write_atomically


@dataclass(frozen=True)
class Slice:
    """Consecutive documents of a rest.

    Attributes:
        rest: The rest's shard.
        offsets: Start of each document in the tar file, then the end of the last one.
    """

    rest: ShardSource
    offsets: tuple[int, ...]


def merged(rests: Sequence[ShardSource], folder: Path, target: int) -> list[ShardSource]:
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
    return [_shard(folder / name, split, slices) for name, slices in wanted.items()]


def name_of(split: Split, slices: Sequence[Slice]) -> str:
    """Name of the tar file that holds these documents, in this order."""
    parts = (f"{each.rest.shard.sha256} {each.offsets[0]} {each.offsets[-1]}\n" for each in slices)
    return f"{split}-{hashlib.sha256(''.join(parts).encode()).hexdigest()[:16]}.tar"


def _cut(rests: Sequence[ShardSource], target: int) -> Iterator[list[Slice]]:
    spans = [(number, span) for number, rest in enumerate(rests) for span in pairwise(_offsets(rest))]
    numbers = shard_numbers((end - start for _, (start, end) in spans), target)
    for _, numbered in groupby(zip(numbers, spans, strict=True), key=lambda each: each[0]):
        of_shard = [span for _, span in numbered]
        slices = []
        for number, of_rest in groupby(of_shard, key=lambda span: span[0]):
            bounds = [bound for _, bound in of_rest]
            slices.append(Slice(rests[number], (bounds[0][0], *(end for _, end in bounds))))
        yield slices


def _offsets(rest: ShardSource) -> list[int]:
    try:
        return [int(offset) for offset in read_index(index_of(rest.path).read_bytes())]
    except ValueError as reason:
        raise broken(rest, f"has a damaged index: {reason}") from None


def _shard(path: Path, split: Split, slices: Sequence[Slice]) -> ShardSource:
    mark = path.with_suffix(".json")
    if found := _merged_before(mark, path):
        return ShardSource(found, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    shard = write_shard(path, split, chain.from_iterable(map(_documents, slices)))
    write_atomically(mark, shard.model_dump_json(indent=1).encode() + b"\n")
    return ShardSource(shard, path)


def _merged_before(mark: Path, path: Path) -> Shard | None:
    """The shard that an earlier run merged under this name; None when it is missing or visibly damaged."""
    try:
        found = Shard.model_validate_json(mark.read_bytes())
        size = path.stat().st_size
    except (FileNotFoundError, ValidationError):
        return None
    return found if found.filesize == size and index_of(path).exists() else None


def _documents(part: Slice) -> Iterator[tuple[bytes, Counts]]:
    hold_against_hash(part.rest)
    with part.rest.path.open("rb") as tar:
        tar.seek(part.offsets[0])
        for start, end in pairwise(part.offsets):
            members = tar.read(end - start)
            yield members, Counts.of(Sample.model_validate_json(next(tar_members(members))[1]))


def _remove_others(folder: Path, split: Split, wanted: set[str]) -> None:
    for path in sorted(folder.glob(f"{split}-*")):
        if f"{path.name.split('.', 1)[0]}.tar" not in wanted:
            path.unlink(missing_ok=True)
