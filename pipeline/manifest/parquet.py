"""Lists as Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.manifest.batch import BATCH, EXACT, Batch, Told, extra_json, not_text, texts, told_texts
from pipeline.manifest.columns import Columns
from schemas.embedded import media_column

OUT_OF_RANGE = "<value out of range"
"""What Arrow writes for a time beyond the calendar."""


def parquet_batches(source: Any, url: str, columns: Columns, told: Told) -> Iterator[Batch]:
    """The lines of a Parquet list in batches.

    Args:
        source: An open file, or a path.
        url: The file's name or URL, for the rows of which it holds the videos.
        columns: The names of columns.
        told: What is told.

    Raises:
        ListUnreadable: There is no needed column, or a column is there twice.
        pa.ArrowException: It is no Parquet, or damaged.
    """
    from storyloom.format.parquet import ParquetFile

    with ParquetFile(source) as file:
        schema = file.schema_arrow
        media = "" if columns.needed & set(schema.names) else media_column(schema)
        ours = columns.of(schema.names) if media else columns.ours(schema.names, told)
        others = [field for field in schema if field.name not in (*ours, media)]
        kept = [field.name for field in others if not _has_bytes(field.type)]
        for field in others:
            if field.name not in kept:
                told.say(f"column `{field.name}` holds bytes, which are not kept")
        begin = 1
        # A video's path is short; its bytes are not read.
        read = [*ours, *kept, *([f"{media}.path"] if media else [])]
        for batch in file.iter_batches(BATCH, columns=read):
            found = Batch({}, range(begin, begin + len(batch)))
            if media:
                rows = [str(number - 1) for number in found.places]
                found.columns |= {"url": pa.repeat(url, len(rows)), "member": texts(rows), "offset": texts(rows)}
            for name, our in ours.items():
                found.columns[our] = _as_text(batch.column(name), name, our, found.problems, told)
            if kept:
                values = {name: _values(batch.column(name), name, told) for name in kept}
                lines = (dict(zip(values, line, strict=True)) for line in zip(*values.values(), strict=True))
                found.extra = texts([extra_json(line, told) for line in lines])
            begin += len(batch)
            yield found


def _has_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_nested(kind) and not pa.types.is_dictionary(kind):
        return any(_has_bytes(kind.field(number).type) for number in range(kind.num_fields))
    return any(test(kind) for test in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary))


def _as_text(column: pa.Array, name: str, our: str, problems: dict[int, str], told: Told) -> pa.Array:
    """A column as text, empty where it has nothing; a line whose value is none has a problem."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        found = column.cast(pa.string())
        found.validate(full=True)
        found = found.fill_null("")
        odd = pc.any(pc.match_substring(found, "\0" if our in EXACT else OUT_OF_RANGE)).as_py()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        odd = True
    if not odd:
        return found
    values = [_text(column, number) for number in range(len(column))]
    for number, value in enumerate(values):
        if value is None:
            problems.setdefault(number, f"column `{name}` is {column.type}, no text")
        elif our in EXACT and (problem := not_text(value)):
            problems.setdefault(number, f"`{name}` {problem}")
    return told_texts([value or "" for value in values], our, told)


def _text(column: pa.Array, number: int) -> str | None:
    """A value as text, bytes that are no UTF-8 as lone surrogates; None for one that is a list or an object."""
    one = column[number]
    if not one.is_valid:
        return ""
    if isinstance(one, pa.StringScalar | pa.LargeStringScalar | pa.BinaryScalar | pa.LargeBinaryScalar):
        return bytes(one.as_buffer()).decode("utf-8", "surrogateescape")
    if pa.types.is_nested(column.type):
        return None
    try:
        text = str(one.cast(pa.string()).as_py())
        return str(one.value) if text.startswith(OUT_OF_RANGE) and pa.types.is_temporal(column.type) else text
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        try:
            return str(one)
        except (ValueError, OverflowError):
            return None


def _values(column: pa.Array, name: str, told: Told) -> list[Any]:
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError, RecursionError, pa.ArrowException):  # broken UTF-8, dates beyond Python's
        pass
    found: list[Any] = []
    for number in range(len(column)):
        try:
            found.append(column[number].as_py())
        except (ValueError, OverflowError, RecursionError, pa.ArrowException):
            text = _text(column, number)
            if text is None:
                told.count(f"column `{name}` left out where its value cannot be read")
            found.append(text)
    return found
