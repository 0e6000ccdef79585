"""Lists as CSV and TSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping

from pipeline.manifest.batch import Line, Told
from pipeline.manifest.columns import Columns
from pipeline.manifest.opened import MAX_LINE, ListUnreadable


def comma_lines(text: io.TextIOWrapper, separator: str, columns: Columns, told: Told) -> Iterator[Line]:
    """The lines of a CSV or TSV list; every value is text as written.

    Args:
        text: The list, its line ends as written.
        separator: Between values; of a file with commas, the header's own where it is sure.
        columns: The names of columns.
        told: What is told.

    Raises:
        ListUnreadable: There is no header with the needed columns, or a quote is not closed.
    """
    csv.field_size_limit(MAX_LINE)
    header = text.readline(MAX_LINE)
    while header and not header.strip():
        header = text.readline(MAX_LINE)
    separator = _separator_of(header, separator, columns)
    reader = csv.reader(_after(header, text), delimiter=separator, strict=True)
    names = [name.strip() or f"column {number}" for number, name in enumerate(_next(reader) or [], 1)]
    ours = columns.ours(names, told)
    while (values := _next(reader)) is not None:
        if isinstance(values, str):
            yield Line(reader.line_num, problem=values)
        elif not any(map(str.strip, values)):  # as a spreadsheet writes empty rows
            continue
        elif len(values) != len(names):
            problem = f"it has {len(values)} values, the header {len(names)}; put values with {separator!r} in quotes"
            yield Line(reader.line_num, problem=problem)
        else:
            yield _line(reader.line_num, dict(zip(names, values, strict=True)), ours)


def _after(first: str, text: io.TextIOWrapper) -> Iterator[str]:
    yield first
    yield from text


def _separator_of(header: str, separator: str, columns: Columns) -> str:
    """The separator of a header, which is another than commas only where that gives it the needed column."""
    if separator not in header:
        for other in (";", "\t"):
            if columns.needed & {name.strip().strip('"') for name in header.split(other)}:
                return other
    return separator


def _next(reader: object) -> list[str] | str | None:
    """The next line's values; what is wrong with it; or None after the last."""
    try:
        found: list[str] | None = next(reader, None)  # type: ignore[call-overload]
    except csv.Error as reason:
        if "unexpected end" in str(reason) or "field larger" in str(reason):
            raise ListUnreadable(f"a quote is opened and not closed before its end ({reason})") from reason
        return f"its quotes are wrong: {reason}"
    return found


def _line(place: int, values: Mapping[str, str], ours: Mapping[str, str]) -> Line:
    found = {ours[name]: text for name, text in values.items() if name in ours}
    return Line(place, found, {name: text for name, text in values.items() if name not in ours and text})
