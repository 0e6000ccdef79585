"""Segments of logs: files of groups and of units, and what is read of them."""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storyloom.format.parquet import ParquetFile

DIGEST_BYTES = 16
"""Bytes of the digests in a log (our choice: 128 bits)."""

SEGMENT = re.compile(r"(?P<groups>\d{7})-(?P<hash>[0-9a-f]{32})\.groups\.parquet")

HEADER = b"storyloom"
"""Metadata of a file of groups: what `Segment` has beside its rows, as JSON."""

KINDS = ("failed", "dropped", "warnings", "counts")

Digests = npt.NDArray[np.uint8]
"""A digest a row."""

Positions = npt.NDArray[np.int64]

NUMBERS = pa.list_(pa.struct([("kind", pa.string()), ("name", pa.string()), ("n", pa.int64())]))

SUMS = ("units", "videos", "live", "retryable", "own")


@dataclass(frozen=True)
class Totals:
    """Sums over groups or units; as in `Mark`.

    Attributes:
        units: Number of units.
        own: Rows that failed in the stage itself.
        numbers: The sums by name, by kind.
        ran: What made them.
    """

    units: int = 0
    videos: int = 0
    live: int = 0
    retryable: int = 0
    own: int = 0
    numbers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    ran: frozenset[str] = frozenset()

    def __add__(self, other: Totals) -> Totals:
        numbers: dict[str, dict[str, int]] = {kind: dict(self.numbers.get(kind, {})) for kind in KINDS}
        for kind, some in other.numbers.items():
            for name, n in some.items():
                numbers[kind][name] = numbers[kind].get(name, 0) + n
        sums = {name: getattr(self, name) + getattr(other, name) for name in SUMS}
        return Totals(**sums, numbers=numbers, ran=self.ran | other.ran)


@dataclass(frozen=True)
class Segment:
    """A file of groups.

    Attributes:
        name: Its name.
        units: Name of the file of their units.
        units_sha256: Its hash.
        answers: What was void and over before the marks were read which it is made of.
        totals: Sums over all its groups.
        groups: Number of each group.
        given: For what each was done; see `Folded`.
        output: Digest of each one's output.
        retryable: Rows with a retryable failure.
        own: Rows that failed in the stage itself.
        content: The whole file.
    """

    name: str
    units: str
    units_sha256: str
    answers: frozenset[str]
    totals: Totals
    groups: Positions
    given: Digests
    output: Digests
    retryable: Positions
    own: Positions
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class GroupRow:
    """A group as it comes into a log: its number, for what it was done, its output's digest, and sums."""

    group: int
    given: bytes
    output: bytes
    totals: Totals


def digest(*parts: bytes | str) -> bytes:
    """A digest of texts or bytes."""
    found = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        found.update(len(raw).to_bytes(8))
        found.update(raw)
    return found.digest()[:DIGEST_BYTES]


def sums_of(numbers: pa.ChunkedArray) -> dict[str, dict[str, int]]:
    """The sums by kind and name of a column of `NUMBERS`."""
    flat = pc.list_flatten(numbers)
    table = pa.table({name: pc.struct_field(flat, name) for name in ("kind", "name", "n")})
    sums: dict[str, dict[str, int]] = defaultdict(dict)
    for line in table.group_by(["kind", "name"], use_threads=False).aggregate([("n", "sum")]).to_pylist():
        sums[line["kind"]][line["name"]] = line["n_sum"]
    return {kind: dict(sorted(sums[kind].items())) for kind in KINDS}


def segment_name(name: str) -> re.Match[str] | None:
    """What the name of a file of groups says; None for another file."""
    return SEGMENT.fullmatch(name.rpartition("/")[2])


def segment_of(name: str, content: bytes | None) -> Segment | None:
    """The segment in a file; None when it is gone or damaged."""
    named = segment_name(name)
    assert named is not None
    if content is None or hashlib.sha256(content).hexdigest()[:32] != named["hash"]:
        return None
    with ParquetFile(content) as file:
        header = json.loads((file.schema_arrow.metadata or {})[HEADER])
        table = file.read(columns=["group", "given", "output", "retryable", "own"])
    return Segment(
        name=name,
        units=header["units"],
        units_sha256=header["units_sha256"],
        answers=frozenset(header["answers"]),
        totals=Totals(**header["totals"], ran=frozenset(header["ran"])),
        groups=numbers_of(table["group"]),
        given=bytes_of(table["given"]),
        output=bytes_of(table["output"]),
        retryable=numbers_of(table["retryable"]),
        own=numbers_of(table["own"]),
        content=content,
    )


def sums_over(segment: Segment, rows: Positions) -> Totals:
    """The sums over some rows of a segment."""
    with ParquetFile(segment.content) as file:
        table = file.read().take(pa.array(rows))
    return Totals(
        **{name: pc.sum(table[name], min_count=0).as_py() for name in SUMS},
        numbers=sums_of(table["numbers"]),
        ran=frozenset(pc.unique(pc.list_flatten(table["ran"])).to_pylist()),
    )


def numbers_of(column: pa.ChunkedArray) -> Positions:
    """The values of a column of numbers; `to_numpy` of Arrow's would import pandas."""
    return bytes_of(column).view(np.int64).ravel()


def bytes_of(column: pa.ChunkedArray) -> Digests:
    """The bytes of a column of fixed width, a row a value."""
    array = column.combine_chunks()
    width = array.type.byte_width if pa.types.is_fixed_size_binary(array.type) else array.type.bit_width // 8
    raw = np.frombuffer(array.buffers()[1], np.uint8)[array.offset * width : (array.offset + len(array)) * width]
    return raw.reshape(len(array), width)


def groups_content(rows: Sequence[GroupRow], units: str, units_sha256: str, answers: Sequence[str]) -> bytes:
    """The content of a file of groups, as `segment_of` reads it; arguments as in `Segment`."""
    totals = sum((row.totals for row in rows), Totals())
    header = {
        "units": units,
        "units_sha256": units_sha256,
        "answers": answers,
        "totals": {**{name: getattr(totals, name) for name in SUMS}, "numbers": totals.numbers},
        "ran": sorted(totals.ran),
    }
    return parquet(_groups_table(rows).replace_schema_metadata({HEADER: json.dumps(header)}), len(rows))


def _groups_table(rows: Sequence[GroupRow]) -> pa.Table:
    numbers = [
        [{"kind": kind, "name": name, "n": n} for kind in KINDS for name, n in row.totals.numbers.get(kind, {}).items()]
        for row in rows
    ]
    columns: dict[str, pa.Array] = {
        "group": pa.array([row.group for row in rows], pa.int64()),
        "given": pa.array([row.given for row in rows], pa.binary(len(rows[0].given))),
        "output": pa.array([row.output for row in rows], pa.binary(DIGEST_BYTES)),
    }
    columns |= {name: pa.array([getattr(row.totals, name) for row in rows], pa.int64()) for name in SUMS}
    columns["numbers"] = pa.array(numbers, NUMBERS)
    columns["ran"] = pa.array([sorted(row.totals.ran) for row in rows], pa.list_(pa.string()))
    return pa.table(columns)


def group_rows(content: bytes, keep: npt.NDArray[np.bool_]) -> Iterator[GroupRow]:
    """Rows of a file of groups."""
    with ParquetFile(content) as file:
        table = file.read().filter(pa.array(keep))
    for line in table.to_pylist():
        yield GroupRow(line["group"], line["given"], line["output"], _totals(line))


def _totals(line: Mapping[str, Any]) -> Totals:
    numbers: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}
    for one in line["numbers"]:
        numbers[one["kind"]][one["name"]] = one["n"]
    return Totals(**{name: line[name] for name in SUMS}, numbers=numbers, ran=frozenset(line["ran"]))


def parquet(table: pa.Table, row_group: int) -> bytes:
    """A table as a Parquet file with row groups of so many rows."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", row_group_size=max(1, row_group))
    found: bytes = sink.getvalue().to_pybytes()
    return found
