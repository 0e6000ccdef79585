"""The rows of a manifest: in memory while they are few, otherwise in a file of this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.parts import Keys, Numbers, keys_of
from storyloom.errors import UsageError
from storyloom.format.parquet import ParquetFile

IN_MEMORY = 1 << 18
"""Most rows that are held in memory (our choice: about 100 MB)."""

SORT_MEMORY = "1GB"
"""Memory of the sort of more rows; what does not fit goes to the disk (our choice)."""

READ_AT_ONCE = 1 << 15
"""Rows of a table that comes from the sort (our choice)."""


def no_room(reason: Exception) -> UsageError:
    """What is said when the folder of many rows is full."""
    why = str(reason).strip().partition("\n")[0]  # after it DuckDB tells of its settings
    return UsageError(
        f"a manifest of over {IN_MEMORY:,} lines is sorted in {tempfile.gettempdir()}, which has no room ({why});"
        " name another folder in TMPDIR"
    )


class Rows:
    """Rows with a column `video` of keys. They lie in `tempfile`'s folder when they are many, and go with the object.

    Args:
        schema: Of the rows.
        tables: The first ones.
    """

    def __init__(self, schema: pa.Schema, tables: Sequence[pa.Table] = ()) -> None:
        self._schema = schema
        self._tables: list[pa.Table] = []
        self._keys: list[Keys] = [keys_of([])]
        self._count = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._writer: pq.ParquetWriter | None = None
        for table in tables:
            self.add(table)

    def __len__(self) -> int:
        return self._count

    def add(self, table: pa.Table) -> None:
        """Add rows, before any are read.

        Raises:
            UsageError: There is no room for them on this machine.
        """
        self._keys.append(keys_of(table["video"]))
        self._tables.append(table)
        self._count += len(table)
        if self._count > IN_MEMORY:
            try:
                self._write()
            except OSError as reason:
                raise no_room(reason) from reason

    def _write(self) -> None:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="storyloom-manifest-")
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, self._schema, compression="zstd")
        for table in self._tables:
            self._writer.write_table(table)
        self._tables = []

    @property
    def many(self) -> bool:
        """Whether they are too many to be held in memory."""
        return self._folder is not None

    @property
    def _file(self) -> Path:
        assert self._folder is not None
        return Path(self._folder.name, "rows.parquet")

    @property
    def keys(self) -> Keys:
        """The keys of the videos."""
        if len(self._keys) > 1:
            self._keys = [np.concatenate(self._keys)]
        return self._keys[0]

    def tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Some columns of the rows, in tables one after the other.

        Raises:
            UsageError: There is no room for the end of their file.
        """
        if self._folder is None:
            yield from (table.select(columns) for table in self._tables)
            return
        if self._writer is not None:
            try:
                self._writer.close()
            except OSError as reason:
                raise no_room(reason) from reason
            self._writer = None
        with ParquetFile(self._file) as file:
            for number in range(file.num_row_groups):
                yield file.read_row_group(number, columns=list(columns))

    def table(self, columns: Sequence[str]) -> pa.Table:
        """Some columns of all rows."""
        schema = pa.schema([self._schema.field(name) for name in columns])
        return pa.concat_tables([schema.empty_table(), *self.tables(columns)])

    def take(self, places: Numbers, columns: Sequence[str]) -> pa.Table:
        """Some columns of the rows at some places, in this order."""
        order = np.argsort(places, kind="stable")
        risen, begin = places[order], 0
        found = [self.table_of_none(columns)]
        for table in self.tables(columns):
            first, last = np.searchsorted(risen, [begin, begin + len(table)])
            if last > first:
                found.append(table.take(pa.array(risen[first:last] - begin)))
            begin += len(table)
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return pa.concat_tables(found).take(pa.array(back))

    def table_of_none(self, columns: Sequence[str]) -> pa.Table:
        """A table without rows."""
        return pa.schema([self._schema.field(name) for name in columns]).empty_table()

    def ordered(self, places: Numbers, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Some columns of the rows at some places, each once, in this order, in tables one after the other.

        Raises:
            UsageError: There is no room to sort them on this machine.
        """
        if self._folder is None:
            yield self.table(columns).take(pa.array(places))
            return
        import duckdb

        target = np.full(self._count, -1, np.int64)
        target[places] = np.arange(len(places))
        place = pa.field("place_of_row", pa.int64())
        schema = pa.schema([*(self._schema.field(name) for name in columns), place])

        def placed() -> Iterator[pa.RecordBatch]:
            begin = 0
            for table in self.tables(columns):
                of_rows = target[begin : begin + len(table)]
                begin += len(table)
                some = table.append_column(place, pa.array(of_rows))
                if np.any(of_rows < 0):
                    some = some.filter(pa.array(of_rows >= 0))
                yield from some.to_batches()

        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": SORT_MEMORY,
            "temp_directory": str(self._file.parent),
        }
        try:
            with duckdb.connect(config=settings) as database:
                database.execute("SET enable_progress_bar = false")
                database.register("manifest", pa.RecordBatchReader.from_batches(schema, placed()))
                found = database.sql("SELECT * FROM manifest ORDER BY place_of_row")
                for batch in found.to_arrow_reader(READ_AT_ONCE):
                    yield pa.Table.from_batches([batch]).select(columns).cast(pa.schema(list(schema)[:-1]))
        except (OSError, duckdb.IOException, duckdb.OutOfMemoryException) as reason:
            raise no_room(reason) from reason
