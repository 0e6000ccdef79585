"""The plan: which videos lie in which part. Parts are append-only, so a manifest that grew keeps its finished work."""

from __future__ import annotations

import hashlib
import random
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.manifest import SCHEMA
from schemas.config import PartsConfig
from schemas.rows import ManifestRow
from storyloom.fs.atomic import committing

ROW_GROUP = 4096
"""Rows of a Parquet row group, about: a worker that looks up one part reads no more than that (our choice)."""

BoolArray = np.typing.NDArray[np.bool_]


@dataclass(frozen=True)
class Plan:
    """The parts that make up a manifest.

    Attributes:
        parts: Their ids, in order.
        videos: How many videos they hold.
        new_parts: How many of them were not planned before.
    """

    parts: tuple[str, ...]
    videos: int
    new_parts: int

    def groups(self, size: int) -> dict[str, tuple[str, ...]]:
        """Groups of so many parts by id; an id changes when its parts do."""
        chunks = [self.parts[start : start + size] for start in range(0, len(self.parts), size)]
        return {f"{number:05d}-{digest(*chunk)[:8]}": chunk for number, chunk in enumerate(chunks)}


def make_plan(manifest: pa.Table, folder: Path, config: PartsConfig, seed: int) -> Plan:
    """Read the plan in a folder and add parts for the videos that it does not hold yet.

    A part counts when each of its videos stands in the manifest unchanged. A video that left the manifest dissolves
    its part, and the others get a new one. Neither the manifest's order nor the folder that it lies in matters.

    Args:
        manifest: With the columns of `ManifestRow`; keys are unique.
        folder: Where the plan lies; each file in it adds parts to those before it and is named after its first one.
        config: How many videos a part takes.
        seed: Of the shuffle.
    """
    files_before: int | None = None
    while True:
        planned = 0
        standing: list[list[str]] = []
        placed = np.zeros(len(manifest), dtype=np.bool_)
        files = _files(folder)
        for file in files:
            count, parts = _standing(file, manifest, placed)
            planned += count
            standing.append(parts)
        files_before = len(files) if files_before is None else files_before
        if placed.all():
            new_parts = sum(len(parts) for parts in standing[files_before:])
            return Plan(tuple(part for parts in standing for part in parts), len(manifest), new_parts)
        # Another driver may add the same file first; it wins, and the loop reads what it wrote.
        _add(folder, planned, _shuffled(manifest.filter(pa.array(~placed)), seed), config.videos)


def part_rows(folder: Path, part: str) -> list[ManifestRow]:
    """The manifest's rows of one part, in the part's order.

    Raises:
        KeyError: No such part is planned.
    """
    files = _files(folder)
    after = bisect_right(files, part, key=lambda file: file.stem)
    if after == 0:
        raise KeyError(part)
    with pq.ParquetFile(files[after - 1]) as file:
        group = _row_group(file.metadata, part)
        if group == file.num_row_groups:
            raise KeyError(part)
        rows = file.read_row_group(group, use_threads=False)
    rows = rows.filter(pc.equal(rows["part"], part)).drop_columns("part")
    if not rows.num_rows:
        raise KeyError(part)
    return [ManifestRow.model_validate(row) for row in rows.to_pylist()]


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))


def _row_group(metadata: pq.FileMetaData, part: str) -> int:
    """The number of the row group that holds a part: parts rise through a file, and none lies in two groups."""

    def last(group: int) -> str:
        return str(metadata.row_group(group).column(0).statistics.max)

    return bisect_left(range(metadata.num_row_groups), part, key=last)


def _standing(file: Path, manifest: pa.Table, placed: BoolArray) -> tuple[int, list[str]]:
    """How many parts a file of the plan has, and those whose videos all stand in the manifest and in no earlier part.

    One column of the file is in memory at a time.

    Args:
        file: A video is in one of its parts at most.
        manifest: Its rows.
        placed: Which of these are in a part; updated.
    """
    with pq.ParquetFile(file) as plan:

        def column(name: str) -> pa.Array:
            return plan.read([name]).column(0).combine_chunks()

        found = pc.index_in(column("video"), value_set=manifest["video"])
        position = found.fill_null(0).to_numpy()
        stands = found.is_valid().to_numpy(zero_copy_only=False) & ~placed[position]
        for name in SCHEMA.names:
            same = pc.equal(column(name), manifest[name].take(pa.array(position)).combine_chunks())
            stands &= same.to_numpy(zero_copy_only=False)
        parts = column("part").dictionary_encode()
    number = parts.indices.to_numpy()
    whole = np.ones(len(parts.dictionary), dtype=np.bool_)
    whole[number[~stands]] = False
    placed[position[whole[number]]] = True
    return len(whole), parts.dictionary.filter(pa.array(whole)).to_pylist()


def _shuffled(rows: pa.Table, seed: int) -> pa.Table:
    """In an order that depends on the videos' keys and the seed only, not on the manifest's order or its folder."""
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)  # noqa: S311 - an order, not a secret
    return rows.take(pc.sort_indices(rows["video"]).take(pa.array(order, pa.int64())))


def _add(folder: Path, first: int, rows: pa.Table, per_part: int) -> None:
    rows = rows.combine_chunks()
    numbers = np.arange(len(rows)) // per_part
    parts = pa.array(_part_ids(rows, first, per_part)).take(pa.array(numbers))
    table = rows.add_column(0, pa.field("part", pa.string(), nullable=False), parts)
    whole_parts = max(1, ROW_GROUP // per_part) * per_part
    with committing(folder / f"{first:07d}.parquet") as temporary:
        pq.write_table(table, temporary, row_group_size=whole_parts, compression="zstd")


def _part_ids(rows: pa.Table, first: int, per_part: int) -> list[str]:
    """The parts' numbers, from `first` on, each with a digest of the part's rows."""
    whole_parts = max(1, ROW_GROUP // per_part) * per_part
    ids: list[str] = []
    for start in range(0, len(rows), whole_parts):
        some = rows.slice(start, whole_parts)
        lines = pc.binary_join_element_wise(*some.columns, "\0").to_pylist()
        for at in range(0, len(lines), per_part):
            ids.append(f"{first + len(ids):07d}-{digest(*lines[at : at + per_part])[:8]}")
    return ids


def digest(*texts: str) -> str:
    """SHA-256 over some texts, in hexadecimal."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
