"""What a stage's finished parts add up to, without reading every mark each time: those read once are kept in a table.

A work folder has a small JSON file, the mark, per part and stage, and the listing of a folder says which there are. A
mark never changes, but it may be removed and made again, so what is kept of it counts only while the file is the same.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.store import Metrics, PartStore, mark_name, marked_part
from storyloom.fs.atomic import replacing

KINDS = ("failed", "dropped", "warnings", "counts")

_COUNT = pa.struct([("kind", pa.string()), ("name", pa.string()), ("n", pa.int64())])

SCHEMA = pa.schema(
    [
        ("part", pa.string()),
        ("modified", pa.int64()),
        ("inode", pa.uint64()),
        ("videos", pa.int64()),
        ("live", pa.int64()),
        ("numbers", pa.list_(_COUNT)),
    ]
)
"""A finished part: when its mark was written (ns) and in which inode, then what the mark says."""

SETTLED_NS = 10 * 10**9
"""How long a folder must have been left alone before its time of modification stands for its listing (our choice).

More than the steps of file systems' clocks, which may hide a change just after another, and than clocks differ by."""

UNCHANGED_SINCE = b"unchanged_since"
"""Metadata of a kept table: the folder's time of modification in ns for which it needs no listing; empty for none."""

Identity = tuple[int, int]
"""Time of modification in ns and inode of a mark: one that was made again has another."""


@dataclass(frozen=True)
class Tally:
    """Sums of `Metrics` over the finished ones of some parts; `done` is their number."""

    done: int
    videos: int
    live: int
    failed: dict[str, int]
    dropped: dict[str, int]
    warnings: dict[str, int]
    counts: dict[str, int]


def tally(store: PartStore, stage: str, fingerprint: str, parts: Iterable[str]) -> Tally:
    """What the finished ones of some parts of a stage add up to."""
    table = _up_to_date(store.tallies / stage / f"{fingerprint}.parquet", store.folder(stage, fingerprint))
    wanted = table.filter(pc.is_in(table["part"], value_set=pa.array(list(parts), pa.string())))
    numbers = _sums(wanted)
    return Tally(
        done=len(wanted),
        videos=pc.sum(wanted["videos"], min_count=0).as_py(),
        live=pc.sum(wanted["live"], min_count=0).as_py(),
        **{kind: dict(sorted(numbers[kind].items())) for kind in KINDS},
    )


def _up_to_date(file: Path, folder: Path) -> pa.Table:
    """One row per mark: what was kept of marks that are still the same, and the others read now and kept too."""
    if not folder.is_dir():
        return SCHEMA.empty_table()
    changed, now = folder.stat().st_mtime_ns, time.time_ns()
    since = str(changed).encode() if now - changed > SETTLED_NS else b""
    before = _kept(file)
    kept_since = (before.schema.metadata or {}).get(UNCHANGED_SINCE, b"")
    if since and since == kept_since:
        return before
    marks = _marks(folder)
    known = before.filter(pa.array(_same(before, marks)))
    new = marks.keys() - set(known["part"].to_pylist())
    if not new and len(known) == len(before) and since == kept_since:
        return known
    lines = [line for line in (_line(folder, part) for part in sorted(new)) if line]
    table = pa.concat_tables([known.replace_schema_metadata(), pa.Table.from_pylist(lines, schema=SCHEMA)])
    with contextlib.suppress(OSError):  # on a full disk: the marks are read again next time
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as unfinished:
            pq.write_table(table.replace_schema_metadata({UNCHANGED_SINCE: since}), unfinished, compression="zstd")
    return table


def _marks(folder: Path) -> dict[str, Identity]:
    marks = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            part = marked_part(entry.name)
            if part is not None:
                try:
                    found = entry.stat()
                except FileNotFoundError:  # removed since it was listed: not done any more
                    continue
                marks[part] = (found.st_mtime_ns, found.st_ino)
    return marks


def _kept(file: Path) -> pa.Table:
    """What is kept; nothing, when there is no file that can be read or it is another version's."""
    with contextlib.suppress(OSError, pa.ArrowInvalid), pq.ParquetFile(file) as kept:
        if kept.schema_arrow.equals(SCHEMA):
            return kept.read()
    return SCHEMA.empty_table()


def _same(table: pa.Table, marks: dict[str, Identity]) -> np.typing.NDArray[np.bool_]:
    lines = zip(*(table[name].to_pylist() for name in ("part", "modified", "inode")), strict=True)
    return np.fromiter((marks.get(part) == (modified, inode) for part, modified, inode in lines), np.bool_, len(table))


def _line(folder: Path, part: str) -> dict[str, object] | None:
    """The row of a mark, with the identity of the file that was read; None when it was removed since."""
    try:
        with open(f"{folder}/{mark_name(part)}", "rb") as file:  # noqa: PTH123 - one of many
            metrics = Metrics.model_validate_json(file.read())
            status = os.fstat(file.fileno())
    except FileNotFoundError:
        return None
    numbers = [{"kind": kind, "name": name, "n": n} for kind in KINDS for name, n in getattr(metrics, kind).items()]
    return {
        "part": part,
        "modified": status.st_mtime_ns,
        "inode": status.st_ino,
        "videos": metrics.videos,
        "live": metrics.live,
        "numbers": numbers,
    }


def _sums(table: pa.Table) -> dict[str, dict[str, int]]:
    flat = pc.list_flatten(table["numbers"])
    numbers = pa.table({name: pc.struct_field(flat, name) for name in ("kind", "name", "n")})
    sums: dict[str, dict[str, int]] = defaultdict(dict)
    for line in numbers.group_by(["kind", "name"]).aggregate([("n", "sum")]).to_pylist():
        sums[line["kind"]][line["name"]] = line["n_sum"]
    return sums
