"""Videos within Parquet files, as Hugging Face's datasets hold them: structs with ``bytes`` and ``path``."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from schemas.embedded import media_column
from stages.base import VideoFailed, of_the_machine
from stages.download.fetch import Bounds
from stages.media.held import Held
from storyloom.format.parquet import ParquetFile

BUFFER = 1 << 20
"""Bytes that are read of a column at once (our choice): a row group may have gigabytes."""


def from_parquet(table: Held, row: int, file: Path, bounds: Bounds) -> None:
    """Write the video of a row of a Parquet file to a file.

    Raises:
        VideoFailed: ``not_found``: there is no such row, or nothing in it; ``unreadable_media``: the table is damaged.
        VideoDropped: ``too_large``.
    """
    try:
        content = _content(table.path, row)
    except (pa.ArrowException, OSError) as reason:
        if of_the_machine(reason):
            raise
        why = str(reason).replace(str(table.path), str(table.real))
        raise VideoFailed("unreadable_media", f"{table.real} cannot be read as Parquet: {why}") from reason
    if not content:
        raise VideoFailed("not_found", f"row {row} of {table.real} has no bytes of a video")
    bounds.check_size(len(content))
    file.write_bytes(content)


def _content(table: Path, row: int) -> bytes | None:
    with ParquetFile(table, buffer_size=BUFFER) as source:
        column = media_column(source.schema_arrow)
        for group in range(source.num_row_groups if column else 0):
            rows = source.metadata.row_group(group).num_rows
            if row < rows:
                for number, batch in enumerate(source.iter_batches(1, [group], [f"{column}.bytes"])):
                    if number == row:
                        found: bytes | None = batch.column(0).field("bytes")[0].as_py()
                        return found
            row -= rows
    return None
