"""Parquet files that the thread which asks reads by itself, and no thread of Arrow's.

Arrow's threads let go of what they read from when whoever waits for it has gone on already. If that is Python's, such
as an open file, bytes or an array of numpy's, they need the interpreter's lock for it. Up to Python 3.13 a thread that
asks for the lock while the interpreter ends is itself ended by unwinding its stack ("Caution regarding runtime
finalization" in the documentation of Python's C API), which a destructor of C++ does not allow: a process that has done
all its work then ends with "terminate called without an active exception" and SIGABRT.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq


class ParquetFile(pq.ParquetFile):  # type: ignore[misc]
    """An open file, read as `pyarrow.parquet.ParquetFile` is, in the thread that asks.

    Args:
        source: Its content, an open file, or a path.
        options: Further ones of pyarrow's.

    Raises:
        pa.ArrowException: It is no Parquet, or damaged.
        OSError: It cannot be read.
    """

    def __init__(self, source: bytes | BinaryIO | Path, **options: Any) -> None:
        held = pa.BufferReader(source) if isinstance(source, bytes) else source
        super().__init__(held, pre_buffer=False, **options)

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows."""
        return super().read(columns=columns, use_threads=False)

    def read_row_group(self, i: int, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of a row group."""
        return super().read_row_group(i, columns=columns, use_threads=False)

    def read_row_groups(self, row_groups: Sequence[int], columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of some row groups."""
        return super().read_row_groups(row_groups, columns=columns, use_threads=False)

    def iter_batches(
        self, batch_size: int, row_groups: Sequence[int] | None = None, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows of some row groups, or of all, in batches of so many."""
        yield from super().iter_batches(batch_size, row_groups=row_groups, columns=columns, use_threads=False)
