"""A cache of a stage's marks in a table, so that each mark is read once.

A work folder has a small JSON file, the mark, per unit; listing a folder shows which exist. A mark never changes, but
it may be removed and made again, so a cached row is valid only while the file is the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from threading import RLock
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.logs.logs import Logs, Place
from pipeline.logs.segments import KINDS, NUMBERS, Totals, sums_of
from pipeline.logs.voids import Void
from pipeline.store import SUMMARIES, Address, Mark, Store
from storyloom.format.parquet import ParquetFile
from storyloom.fs.files import Files

FEW, PROBED = 1_000, 5
"""Marks of a stage with logs that are asked for one by one rather than listed: so many, or one of so many units in the
logs (our choice: stores answer many requests for files at once, but list a page after the other)."""

KEPT = 20_000
"""Marks of a stage with logs that are remembered from one look to the next: more than a wave's (our choice)."""

SHARD_COUNTS = ("documents", "frames", "shards", "bytes")
"""What the shards of groups are counted by."""

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
        ("numbers", NUMBERS),
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

    @classmethod
    def of(cls, totals: Totals) -> Summary:
        """The sums of logs."""
        numbers = {kind: dict(totals.numbers.get(kind, {})) for kind in KINDS}
        return cls(totals.units, totals.videos, totals.live, totals.retryable, **numbers)

    def __add__(self, other: Summary) -> Summary:
        numbers = {kind: _added(getattr(self, kind), getattr(other, kind)) for kind in KINDS}
        return Summary(
            done=self.done + other.done,
            videos=self.videos + other.videos,
            live=self.live + other.live,
            retryable=self.retryable + other.retryable,
            **numbers,
        )


def group_counts(mark: Mark) -> dict[str, int]:
    """What the shards of a group come to."""
    shards = (mark.result or {}).get("shards", [])
    return {
        "documents": sum(shard["nsamples"] for shard in shards),
        "frames": sum(shard["nimages"] for shard in shards),
        "shards": len(shards),
        "bytes": sum(shard["filesize"] for shard in shards),
    }


class _Stage:
    """The marks of one stage: a table, its lists by column, and the row of each unit's stem.

    Attributes:
        held_against: Tokens of what was void and over before any row was read or kept, of a stage with logs.
        asked: Stems that were looked for, of a stage with logs.
        loaded: Numbers of the groups whose units' rows were taken from the logs.
        listed: The stems that have a mark, once its folder was listed.
    """

    def __init__(self, table: pa.Table, held_against: frozenset[str] | None = None) -> None:
        self.held_against = held_against
        self._pieces: list[pa.Table] = []
        self.tables: list[list[dict[str, str]]] = []
        self.numbers: list[list[dict[str, Any]]] = []
        self.retryable: list[int] = []
        self.rows: dict[str, int] = {}
        self.asked: set[str] = set()
        self.loaded: set[int] = set()
        self.listed: frozenset[str] | None = None
        self.add(table)

    @property
    def table(self) -> pa.Table:
        """All rows."""
        if len(self._pieces) != 1:
            self._pieces = [pa.concat_tables(self._pieces).combine_chunks()]
        return self._pieces[0]

    def add(self, table: pa.Table) -> None:
        """Add rows."""
        self._pieces.append(table)
        self.rows.update((stem, len(self.retryable) + row) for row, stem in enumerate(table["stem"].to_pylist()))
        self.tables += table["tables"].to_pylist()
        self.numbers += table["numbers"].to_pylist()
        self.retryable += table["retryable"].to_pylist()


class Summaries:
    """The marks of a work folder, read when a stage is first accessed; `refreshed` reads them again.

    Of a stage that has logs, marks are not listed: who asks for many says so by `look`. What was read of a mark holds
    until it is void; see `pipeline/logs/voids.py`.

    Args:
        store: The work folder.
        keep: Whether the cache is written to the folder; commands that only read do not write it.
        before: Earlier ones: an unchanged mark is not read again.
    """

    def __init__(self, store: Store, *, keep: bool, before: Summaries | None = None) -> None:
        self._store = store
        self._keep = keep
        self.logs: Logs = Logs(store.files) if before is None else before.logs.refreshed()
        self._before: dict[Place, _Stage] = {} if before is None else {**before._before, **before._stages}  # noqa: SLF001
        self._stages: dict[Place, _Stage] = {}
        self._lock = RLock()

    def refreshed(self) -> Summaries:
        """The current marks of the same folder."""
        return Summaries(self._store, keep=self._keep, before=self)

    def load(self, place: Place, groups: Iterable[int]) -> None:
        """Take the rows of the units of some groups from the logs of a stage, if it has any."""
        if not self.logs.in_use(place):
            return
        with self._lock:
            stage = self._stage(place)
            new = set(groups) - stage.loaded
            stage.loaded |= new
            if new and (found := self.logs.units(place, new)) is not None:
                known = pa.array(list(stage.rows), pa.string())
                fresh = found.filter(pc.invert(pc.is_in(found["stem"], value_set=known)))
                stage.add(fresh.select(SCHEMA.names))

    def look(self, place: Place, addresses: Iterable[Address]) -> None:
        """Read the marks of some units of a stage that has logs, at once; those of other stages are listed anyway."""
        if not self.logs.in_use(place):
            return
        with self._lock:
            stage = self._stage(place)
            new = [one for one in addresses if one.stem not in stage.rows and one.stem not in stage.asked]
            stage.asked.update(one.stem for one in new)
            folded = sum(segment.totals.units for segment in self.logs.segments(place))
            if len(new) > max(FEW, folded // PROBED):
                if stage.listed is None:
                    stage.listed = frozenset(marks_in(self._store.files, self._store.folder(*place)))
                new = [one for one in new if one.stem in (stage.listed or ())]
            contents = self._store.files.read_all([self._store.mark_file(one) for one in new])
            found = [_line(one.stem, "", content) for one, content in zip(new, contents, strict=True)]
            if rows := [row for row in found if row is not None]:
                stage.add(pa.Table.from_pylist(rows, schema=SCHEMA))

    def rows(self, addresses: Sequence[Address]) -> pa.Table:
        """The rows of finished units of one stage, in this order."""
        found = [self._row(one) for one in addresses]
        return found[0][0].table.take(pa.array([row for _, row in found], pa.int64()))

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
        place = wanted[0].stage, wanted[0].stage_key
        self.look(place, wanted)
        with self._lock:
            stage = self._stage(place)
        rows = [stage.rows[one.stem] for one in wanted if one.stem in stage.rows]
        table = stage.table.take(pa.array(rows, pa.int64()))
        numbers = sums_of(table["numbers"])
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
            stage = self._stage(place)
            if address.stem not in stage.rows:
                self.look(place, [address])
        return stage, stage.rows.get(address.stem)

    def _stage(self, place: Place) -> _Stage:
        if place not in self._stages:
            before = self._before.get(place)
            if not self.logs.in_use(place):
                known = None if before is None else before.table
                self._stages[place] = _Stage(_up_to_date(self._store, place, known, keep=self._keep))
                return self._stages[place]
            voids = self.logs.voids(place)
            table = SCHEMA.empty_table()  # a log is made of marks that were read since its stage's were begun
            kept = before if before is not None and len(before.rows) <= KEPT else None
            if kept is not None and kept.held_against is not None:
                table = _without(kept.table, [voids[token] for token in voids.keys() - kept.held_against])
            over = frozenset(token for token, void in voids.items() if void.over)
            self._stages[place] = _Stage(table, over)
            if kept is not None and len(table):
                self._stages[place].loaded |= kept.loaded
        return self._stages[place]


def _added(some: Mapping[str, int], others: Mapping[str, int]) -> dict[str, int]:
    return {name: some.get(name, 0) + others.get(name, 0) for name in sorted({*some, *others})}


def _without(known: pa.Table, voids: Iterable[Void]) -> pa.Table:
    """The rows of units that are not void."""
    stems: set[str] = set()
    for void in voids:
        if void.stems is None:
            return SCHEMA.empty_table()
        stems |= void.stems
    return known.filter(pc.invert(pc.is_in(known["stem"], value_set=pa.array(sorted(stems), pa.string()))))


def _up_to_date(store: Store, place: Place, known_before: pa.Table | None, *, keep: bool) -> pa.Table:
    """One row per mark: cached for unchanged marks, otherwise read now and added to the cache."""
    cache, folder = f"{SUMMARIES}/{place[0]}/{place[1]}.parquet", store.folder(*place)
    stamp = store.files.stamp(folder).encode()
    before = _kept(store.files, cache) if known_before is None else known_before
    kept_stamp = (before.schema.metadata or {}).get(STAMP, b"")
    if stamp and stamp == kept_stamp:
        return before
    marks = marks_in(store.files, folder)
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


def marks_in(files: Files, folder: str) -> dict[str, str]:
    """The version of each mark's file, by the unit's stem."""
    begin = len(folder) + 1
    named = ((entry.name[begin:], entry.version) for entry in files.entries(folder))
    # <unit>.<key>.json
    return {name[:-5]: version for name, version in named if name.endswith(".json") and name.count(".") == 2}  # noqa: PLR2004


def _kept(files: Files, name: str) -> pa.Table:
    """The cached table; empty when the file is missing, damaged or of another version."""
    with contextlib.suppress(OSError, pa.ArrowInvalid), ParquetFile(files.read(name)) as kept:
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
