"""The part store: one Parquet file per stage, fingerprint and part; what is there is done, what is not is to do."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.row import Row
from storyloom.errors import UsageError
from storyloom.format.arrow import arrow_schema
from storyloom.format.model import Model
from storyloom.fs.atomic import TEMPORARY_SUFFIX, commit_bytes, committing, remove_leftovers

RowT = TypeVar("RowT", bound=Row)


class Metrics(Model):
    """What a finished part holds; its file marks the part as done.

    Attributes:
        videos: Rows.
        live: Rows that later stages work on.
        failed: Rows that failed in this stage or before it, by ``stage.code``.
        dropped: Rows that this stage or one before it left out, by ``stage.reason``.
        warnings: Rows with a warning of this stage or one before it, by code.
        counts: The sums of `Row.counts`.
        sha256: Of the Parquet file.
    """

    videos: int
    live: int
    failed: dict[str, int]
    dropped: dict[str, int]
    warnings: dict[str, int]
    counts: dict[str, int]
    sha256: str


class PartStore:
    """The work folder. Every method names a stage by name and fingerprint."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.plan = work / "plan"
        self.media = work / "media"
        self.tallies = work / "tallies"

    def prepare(self) -> None:
        """Make the work folder, check that it can be written, and clear what killed writers left in it.

        Raises:
            UsageError: It cannot be made or written.
        """
        try:
            for folder in (self.plan, self.media):
                folder.mkdir(parents=True, exist_ok=True)
            probe = self.work / ".writable"
            probe.write_bytes(b"")
            probe.unlink(missing_ok=True)  # another run may check at the same time
            self.remove_leftovers()
        except OSError as reason:
            raise UsageError(
                f"the work folder {self.work} cannot be written: {reason}; choose another with --set work=…"
            ) from reason

    def remove_leftovers(self) -> None:
        """Clear what killed writers left."""
        for folder in [self.plan, *self.work.glob("*/*/")]:
            if any(name.endswith(TEMPORARY_SUFFIX) for name in os.listdir(folder)):  # noqa: PTH208 - many
                remove_leftovers(folder)

    def folder(self, stage: str, fingerprint: str) -> Path:
        """Where the parts of a stage lie."""
        return self.work / stage / fingerprint

    def done(self, stage: str, fingerprint: str) -> set[str]:
        """Ids of the finished parts."""
        folder = self.folder(stage, fingerprint)
        names = os.listdir(folder) if folder.is_dir() else []  # noqa: PTH208 - no Path for each of many names
        return {part for part in map(marked_part, names) if part is not None}

    def is_done(self, stage: str, fingerprint: str, part: str) -> bool:
        """Whether one part is finished."""
        return (self.folder(stage, fingerprint) / mark_name(part)).exists()

    def metrics(self, stage: str, fingerprint: str, part: str) -> Metrics:
        """What a finished part holds."""
        return Metrics.model_validate_json((self.folder(stage, fingerprint) / mark_name(part)).read_bytes())

    def rows(
        self, stage: str, fingerprint: str, part: str, row: type[RowT], without: tuple[str, ...] = ()
    ) -> Iterator[RowT]:
        """The rows of a finished part, one after the other, some columns left out."""
        with pq.ParquetFile(self.folder(stage, fingerprint) / f"part-{part}.parquet") as file:
            columns = [name for name in file.schema_arrow.names if name not in without]
            for group in range(file.num_row_groups):
                for values in file.read_row_group(group, columns=columns, use_threads=False).to_pylist():
                    yield row.model_validate(values)

    def row(self, stage: str, fingerprint: str, part: str, row: type[RowT], position: int) -> RowT:
        """One row of a finished part, by its place in the part; no other row is read."""
        with pq.ParquetFile(self.folder(stage, fingerprint) / f"part-{part}.parquet") as file:
            return row.model_validate(file.read_row_group(position, use_threads=False).to_pylist()[0])

    def commit(self, stage: str, fingerprint: str, part: str, row: type[Row], rows: Iterable[Row]) -> Metrics:
        """Write a part's rows, one Parquet row group each so that readers can stream, then its metrics.

        Whichever of several writers is first wins; the metrics are those of the file that is there.
        """
        final = self.folder(stage, fingerprint) / f"part-{part}.parquet"
        schema = arrow_schema(row)
        sums = _Sums()
        with committing(final) as temporary:
            with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
                for one in rows:
                    writer.write_table(pa.Table.from_pylist([one.model_dump()], schema=schema))
                    sums.add(one)
            written = temporary.stat()
        if not os.path.samestat(final.stat(), written):  # another writer was first
            sums = _Sums()
            for one in self.rows(stage, fingerprint, part, row, without=("jpegs",)):
                sums.add(one)
        metrics = sums.metrics(final)
        commit_bytes(final.with_suffix(".json"), metrics.model_dump_json(indent=1).encode() + b"\n")
        return metrics

    def remove(self, stage: str, fingerprint: str, parts: Iterable[str]) -> None:
        """Forget finished parts, marks first, so that they are done again."""
        for part in parts:
            for suffix in ("json", "parquet"):
                (self.folder(stage, fingerprint) / f"part-{part}.{suffix}").unlink(missing_ok=True)

    def describe(self, stage: str, fingerprint: str, ingredients: dict[str, object]) -> None:
        """Keep what a fingerprint was made of beside its parts, so that a later run can say what changed."""
        content = json.dumps(ingredients, indent=1, sort_keys=True) + "\n"
        commit_bytes(self.folder(stage, fingerprint) / "stage.json", content.encode())


class _Sums:
    """What a part's rows add up to."""

    def __init__(self) -> None:
        self._videos = self._live = 0
        self._failed, self._dropped = Counter[str](), Counter[str]()
        self._warnings, self._counts = Counter[str](), Counter[str]()

    def add(self, row: Row) -> None:
        """Count one row."""
        self._videos += 1
        self._live += row.live
        self._failed.update([f"{row.error.stage}.{row.error.code}"] if row.error else [])
        self._dropped.update([f"{row.dropped.stage}.{row.dropped.reason}"] if row.dropped else [])
        self._warnings.update(row.warnings)
        self._counts.update(row.counts())

    def metrics(self, file: Path) -> Metrics:
        """The sums, with the digest of the file that holds the rows."""
        with file.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        return Metrics(
            videos=self._videos,
            live=self._live,
            failed=by_name(self._failed),
            dropped=by_name(self._dropped),
            warnings=by_name(self._warnings),
            counts=by_name(self._counts),
            sha256=sha256,
        )


def mark_name(part: str) -> str:
    """The name of the file that marks a part as done."""
    return f"part-{part}.json"


def marked_part(name: str) -> str | None:
    """The part that a file marks as done, by the file's name; None for any other file."""
    return name[5:-5] if name.startswith("part-") and name.endswith(".json") else None


def by_name(counter: Counter[str]) -> dict[str, int]:
    """What was counted, in the order of the names, so that files and tables do not depend on the order of the work."""
    return dict(sorted(counter.items()))
