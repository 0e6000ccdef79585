"""A cache of a stage's marks in a table, so that each mark is read once.

A work folder has a small JSON file, the mark, per unit; listing a folder shows which exist. A mark never changes, but
it may be removed and made again, so a cached row is valid only while the file is the same.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.store import SUMMARIES, Address, Mark, Store
from storyloom.fs.files import Files

KINDS = ("failed", "dropped", "warnings", "counts")

_COUNT = pa.struct([("kind", pa.string()), ("name", pa.string()), ("n", pa.int64())])
_TABLE = pa.struct([("name", pa.string()), ("sha256", pa.string())])

SCHEMA = pa.schema(
    [
        ("stem", pa.string()),
        ("version", pa.string()),
        ("videos", pa.int64()),
        ("live", pa.int64()),
        ("retryable", pa.int64()),
        ("ran", pa.string()),
        ("tables", pa.list_(_TABLE)),
        ("numbers", pa.list_(_COUNT)),
    ]
)
"""A finished unit: the version of its mark's file, which another one has that is made again; then the mark's fields."""

STAMP = b"stamp"
"""Metadata of a cached table: the folder's `Files.stamp` at which it needs no listing; empty for none."""


@dataclass(frozen=True)
class Summary:
    """Sums over the marks of some units; `done` is their number, the rest as in `Mark`."""

    done: int
    videos: int
    live: int
    retryable: int
    failed: dict[str, int]
    dropped: dict[str, int]
    warnings: dict[str, int]
    counts: dict[str, int]


@dataclass(frozen=True)
class _Stage:
    """The marks of one stage: the table, its lists by column, and the row of each unit's stem."""

    table: pa.Table
    tables: list[list[dict[str, str]]]
    numbers: list[list[dict[str, Any]]]
    retryable: list[int]
    rows: dict[str, int]


class Summaries:
    """The marks of a work folder, read when a stage is first accessed; `refreshed` reads them again.

    Args:
        store: The work folder.
        keep: Whether the cache is written to the folder; commands that only read do not write it.
        before: Earlier tables, by stage and key: an unchanged mark is not read again.
    """

    def __init__(self, store: Store, *, keep: bool, before: Mapping[tuple[str, str], pa.Table] | None = None) -> None:
        self._store = store
        self._keep = keep
        self._before = before or {}
        self._stages: dict[tuple[str, str], _Stage] = {}
        self._lock = Lock()

    def refreshed(self) -> Summaries:
        """The current marks of the same folder."""
        known = {place: stage.table for place, stage in self._stages.items()}
        return Summaries(self._store, keep=self._keep, before={**self._before, **known})

    def mark(self, address: Address) -> Mark | None:
        """The mark of a unit, with its tables and no sums; None when it is not done."""
        stage, row = self._row(address)
        if row is None:
            return None
        tables = {one["name"]: one["sha256"] for one in stage.tables[row]}
        return Mark.model_construct(
            stage=address.stage, unit=address.unit, key=address.key, inputs={}, tables=tables, files={}, result=None
        )

    def count(self, address: Address, name: str) -> int:
        """A sum over a unit's rows by its name; 0 when the unit is not done."""
        stage, row = self._row(address)
        numbers = [] if row is None else stage.numbers[row]
        return next((one["n"] for one in numbers if one["kind"] == "counts" and one["name"] == name), 0)

    def summary(self, addresses: Iterable[Address]) -> Summary:
        """The sums over the finished ones of some units of one stage."""
        wanted = list(addresses)
        if not wanted:
            return Summary(0, 0, 0, 0, {}, {}, {}, {})
        stage, _ = self._row(wanted[0])
        rows = [stage.rows[one.stem] for one in wanted if one.stem in stage.rows]
        table = stage.table.take(pa.array(rows, pa.int64()))
        numbers = _sums(table)
        return Summary(
            done=len(table),
            **{name: pc.sum(table[name], min_count=0).as_py() for name in ("videos", "live", "retryable")},
            failed=numbers["failed"],
            dropped=numbers["dropped"],
            warnings=numbers["warnings"],
            counts=numbers["counts"],
        )

    def ran(self, addresses: Iterable[Address]) -> list[str]:
        """The models, programs and libraries that were used for some units of one stage, sorted."""
        found = [(stage, row) for stage, row in map(self._row, addresses) if row is not None]
        if not found:
            return []
        column = found[0][0].table["ran"].take(pa.array([row for _, row in found], pa.int64()))
        return sorted(pc.unique(column).to_pylist())

    def retryable(self, address: Address) -> bool:
        """Whether a finished unit has a retryable failure of its stage."""
        stage, row = self._row(address)
        return row is not None and stage.retryable[row] > 0

    def failed(self, address: Address) -> dict[str, int]:
        """The failures of a unit's rows by ``stage.code``; none when it is not done."""
        return self.numbers(address, "failed")

    def numbers(self, address: Address, kind: str) -> dict[str, int]:
        """The sums over a unit's rows of one kind, `failed`, `dropped`, `warnings` or `counts`; none when not done."""
        stage, row = self._row(address)
        numbers = [] if row is None else stage.numbers[row]
        return {one["name"]: one["n"] for one in numbers if one["kind"] == kind}

    def _row(self, address: Address) -> tuple[_Stage, int | None]:
        """The table of the unit's stage, and the unit's row in it."""
        place = address.stage, address.stage_key
        with self._lock:
            if place not in self._stages:
                table = _up_to_date(self._store, place, self._before.get(place), keep=self._keep)
                lists = {name: table[name].to_pylist() for name in ("tables", "numbers", "retryable", "stem")}
                rows = {stem: row for row, stem in enumerate(lists.pop("stem"))}
                self._stages[place] = _Stage(table, rows=rows, **lists)
            stage = self._stages[place]
        return stage, stage.rows.get(address.stem)


def _up_to_date(store: Store, place: tuple[str, str], known_before: pa.Table | None, *, keep: bool) -> pa.Table:
    """One row per mark: cached for unchanged marks, otherwise read now and added to the cache."""
    cache, folder = f"{SUMMARIES}/{place[0]}/{place[1]}.parquet", store.folder(*place)
    stamp = store.files.stamp(folder).encode()
    before = _kept(store.files, cache) if known_before is None else known_before
    kept_stamp = (before.schema.metadata or {}).get(STAMP, b"")
    if stamp and stamp == kept_stamp:
        return before
    marks = _marks(store.files, folder)
    lines = zip(before["stem"].to_pylist(), before["version"].to_pylist(), strict=True)
    known = before.filter(pa.array([marks.get(stem) == version for stem, version in lines], pa.bool_()))
    new = sorted(marks.keys() - set(known["stem"].to_pylist()))
    if not new and len(known) == len(before) and stamp == kept_stamp:
        return known
    read = store.files.read_all([f"{folder}/{stem}.json" for stem in new])
    rows = [line for stem, content in zip(new, read, strict=True) if (line := _line(stem, marks[stem], content))]
    table = pa.concat_tables([known.replace_schema_metadata(), pa.Table.from_pylist(rows, schema=SCHEMA)])
    table = table.replace_schema_metadata({STAMP: stamp})
    if keep:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        with contextlib.suppress(OSError):  # a full disk: the marks are read again next time
            store.files.replace(cache, sink.getvalue().to_pybytes())
    return table


def _marks(files: Files, folder: str) -> dict[str, str]:
    """The version of each mark's file, by the unit's stem."""
    begin = len(folder) + 1
    named = ((entry.name[begin:], entry.version) for entry in files.entries(folder))
    # <unit>.<key>.json
    return {name[:-5]: version for name, version in named if name.endswith(".json") and name.count(".") == 2}  # noqa: PLR2004


def _kept(files: Files, name: str) -> pa.Table:
    """The cached table; empty when the file is missing, damaged or of another version."""
    with contextlib.suppress(OSError, pa.ArrowInvalid), pq.ParquetFile(pa.BufferReader(files.read(name))) as kept:
        if kept.schema_arrow.equals(SCHEMA):
            return kept.read()
    return SCHEMA.empty_table()


def _line(stem: str, version: str, content: bytes | None) -> dict[str, object] | None:
    """The row of a mark; None when it was removed since it was listed, or is damaged.

    One that was made again since has the version of its listing here, and is read again next time.
    """
    mark = None if content is None else Mark.of(content)
    if mark is None or f"{mark.unit}.{mark.key}" != stem:
        return None
    numbers = [{"kind": kind, "name": name, "n": n} for kind in KINDS for name, n in getattr(mark, kind).items()]
    return {
        "stem": stem,
        "version": version,
        "videos": mark.videos,
        "live": mark.live,
        "retryable": mark.retryable,
        "ran": mark.ran,
        "tables": [{"name": name, "sha256": sha256} for name, sha256 in mark.tables.items()],
        "numbers": numbers,
    }


def _sums(table: pa.Table) -> dict[str, dict[str, int]]:
    flat = pc.list_flatten(table["numbers"])
    numbers = pa.table({name: pc.struct_field(flat, name) for name in ("kind", "name", "n")})
    sums: dict[str, dict[str, int]] = defaultdict(dict)
    for line in numbers.group_by(["kind", "name"]).aggregate([("n", "sum")]).to_pylist():
        sums[line["kind"]][line["name"]] = line["n_sum"]
    return {kind: dict(sorted(sums[kind].items())) for kind in KINDS}
