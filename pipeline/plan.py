"""The plan: which videos lie in which part. Parts are append-only, so a manifest that grew keeps its finished work."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.arrow import arrow_schema
from schemas.config import PartsConfig
from schemas.rows import ManifestRow
from stages.atomic import committing

SCHEMA = arrow_schema(ManifestRow).insert(0, pa.field("part", pa.string(), nullable=False))

ROW_GROUP = 4096
"""Rows of a Parquet row group: a worker that looks up one part reads no more than that."""


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


def make_plan(manifest: Sequence[ManifestRow], folder: Path, config: PartsConfig, seed: int) -> Plan:
    """Read the plan in a folder and add parts for the videos that it does not hold yet.

    A part counts when each of its videos stands in the manifest unchanged. A video that left the manifest dissolves
    its part, and the others get a new one. Neither the manifest's order nor the folder that it lies in matters.

    Args:
        manifest: Its rows; keys are unique.
        folder: Where the plan lies; each file in it adds parts to those before it.
        config: How many videos a part takes.
        seed: Of the shuffle.
    """
    known_before: set[str] | None = None
    while True:
        files = sorted(folder.glob("*.parquet"))
        waiting = {_row_digest(row): row for row in manifest}
        known: list[str] = []
        active: list[str] = []
        for part, rows in (found for file in files for found in _parts_of(file)):
            known.append(part)
            digests = [_row_digest(row) for row in rows]
            if all(digest in waiting for digest in digests):
                active.append(part)
                for digest in digests:
                    del waiting[digest]
        known_before = set(known) if known_before is None else known_before
        if not waiting:
            return Plan(tuple(active), len(manifest), len(set(active) - known_before))
        rows = sorted(waiting.values(), key=lambda row: row.video)  # by nothing that moves with a folder
        random.Random(seed).shuffle(rows)  # noqa: S311 - an order, not a secret
        # Another driver may add the same file first; it wins, and the loop reads what it wrote.
        _add(folder / f"{len(files):06d}.parquet", len(known), rows, config.videos)


def part_rows(folder: Path, part: str) -> list[ManifestRow]:
    """The manifest's rows of one part, in the part's order.

    Raises:
        KeyError: No such part is planned.
    """
    for file in sorted(folder.glob("*.parquet")):
        table = pq.read_table(file, filters=[("part", "=", part)])
        if table.num_rows:
            return [ManifestRow.model_validate(row) for row in table.drop_columns("part").to_pylist()]
    raise KeyError(part)


def _parts_of(file: Path) -> Iterator[tuple[str, list[ManifestRow]]]:
    lines = (line for batch in pq.ParquetFile(file).iter_batches(ROW_GROUP) for line in batch.to_pylist())
    for part, rows in groupby(lines, key=lambda line: str(line["part"])):
        yield part, [ManifestRow.model_validate({k: v for k, v in row.items() if k != "part"}) for row in rows]


def _add(file: Path, first: int, rows: Sequence[ManifestRow], per_part: int) -> None:
    chunks = [rows[start : start + per_part] for start in range(0, len(rows), per_part)]
    lines: list[dict[str, str]] = []
    for number, chunk in enumerate(chunks, start=first):
        part = f"{number:07d}-{digest(*map(_row_digest, chunk))[:8]}"
        lines.extend({"part": part, **row.model_dump()} for row in chunk)
    with committing(file) as temporary:
        pq.write_table(pa.Table.from_pylist(lines, schema=SCHEMA), temporary, row_group_size=ROW_GROUP)


def _row_digest(row: ManifestRow) -> str:
    return digest(*row.model_dump().values())


def digest(*texts: str) -> str:
    """SHA-256 over some texts, in hexadecimal."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
