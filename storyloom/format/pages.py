"""How much a Parquet file holds, by the headers of its pages: before a library unpacks what a stranger wrote.

A page of a few bytes can state billions of equal values, and the file's footer can deny it: Arrow believes the page.
Where columns lie is read here, too: pyarrow 26 ends the process when it is asked for a column of a damaged footer
(`RowGroupMetaData.column` does not translate C++'s exceptions). Footer and headers are Thrift structs in its compact
protocol (the Parquet format's `parquet.thrift`, FileMetaData and PageHeader). What Arrow would skip is refused, so that
nothing is read here otherwise than Arrow reads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

STOP, TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(13)
"""Types of Thrift's compact protocol."""

Field = tuple[int, Any]
"""Type and value of a field."""

MOST_DEPTH = 8
"""Structs and lists within one another (our choice; a footer has six)."""

MOST_FOOTER = 8 * 2**20
"""Bytes of a footer (our choice): a table of 4,096 row groups has 4 MB."""

LONG = 15
"""Stands for the size of a list that is at least as long; the size follows."""

TAIL = 8
"""Bytes behind a footer: its length in four, and a magic number."""

HEADER = 1024
"""Bytes of a page's header, at most (our choice): one without statistics has about 30."""

PLAIN, PLAIN_DICTIONARY, RLE, RLE_DICTIONARY = 0, 2, 3, 8
"""Encodings of Parquet with which a page's values take no more memory than its bytes or its count say."""


PAGES = {5: 0, 7: 2, 8: 3}
"""Numbers of a header's structs of a data page, a dictionary and a data page of version 2; and their page types."""

DICTIONARY, VERSION_2 = 7, 8


@dataclass(frozen=True)
class RowGroup:
    """A row group: its rows, and the first byte and the bytes of each of its columns."""

    rows: int
    columns: list[tuple[int, int]]


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        values: How many it states.
        size: Bytes once it is unpacked.
        encoding: Of its values.
        is_dictionary: Whether it holds the values that others name by number.
    """

    values: int
    size: int
    encoding: int
    is_dictionary: bool


def row_groups(content: bytes) -> Iterator[RowGroup]:
    """The row groups of a file, by its footer.

    Raises:
        ValueError: It has no such footer.
    """
    size = int.from_bytes(content[-TAIL:][:4], "little")
    if not 0 < size <= min(len(content) - TAIL, MOST_FOOTER):
        raise ValueError(f"its footer has {size} bytes")
    start = len(content) - TAIL - size
    footer, _ = _struct(content[start:-TAIL], start)
    for group in _structs(footer, 4):
        rows = _get(group, 3, I64)
        if rows is None or rows < 0:
            raise ValueError("a row group does not say how many rows it has")
        yield RowGroup(rows, [_extent(_get(column, 3, STRUCT)) for column in _structs(group, 1)])


def _extent(column: dict[int, Field] | None) -> tuple[int, int]:
    about = column or {}
    size, data, dictionary = (_get(about, number, I64) for number in (7, 9, 11))
    if size is None or data is None:
        raise ValueError("a column does not say where it lies")
    return min(data, data if dictionary is None else dictionary), size


def pages(content: bytes, start: int, size: int) -> Iterator[Page]:
    """The pages of a column chunk.

    Args:
        content: Of the file.
        start: Byte at which the chunk begins.
        size: Its bytes.

    Raises:
        ValueError: Its pages do not fill it.
    """
    end = start + size
    if not 0 <= start <= end <= len(content):
        raise ValueError("a column lies outside the file")
    while start < end:
        header, start = _struct(content[start : min(end, start + HEADER)], start)
        of_type, unpacked, packed = (_get(header, number, I32) for number in (1, 2, 3))
        kinds = [number for number in PAGES if number in header]
        if (
            unpacked is None
            or packed is None
            or min(unpacked, packed) < 0
            or [of_type] != [PAGES[one] for one in kinds]
        ):
            raise ValueError(f"no header of a page before byte {start}")
        said = _get(header, kinds[0], STRUCT)
        values, encoding = _get(said, 1, I32), _get(said, 4 if kinds[0] == VERSION_2 else 2, I32)
        if values is None or encoding is None or values < 0:
            raise ValueError(f"a page before byte {start} does not say how many values it has")
        start += packed
        if start > end:
            raise ValueError("a page ends outside its column")
        yield Page(values, unpacked, encoding, kinds[0] == DICTIONARY)


def _get(fields: dict[int, Field], number: int, kind: int) -> Any:
    """The value of a struct's field; None where it is not there.

    Raises:
        ValueError: It is of another type.
    """
    of_kind, value = fields.get(number, (kind, None))
    if of_kind != kind:
        raise ValueError(f"field {number} of a struct is of type {of_kind}, not {kind}")
    return value


def _structs(fields: dict[int, Field], number: int) -> list[dict[int, Field]]:
    kind, values = _get(fields, number, LIST) or (STRUCT, [])
    if kind != STRUCT:
        raise ValueError(f"field {number} of a struct lists values of type {kind}, not structs")
    return cast("list[dict[int, Field]]", values)


def _struct(data: bytes, offset: int) -> tuple[dict[int, Field], int]:
    """A struct's fields by number, and the byte of the file after it.

    Raises:
        ValueError: There is none.
    """
    try:
        found, at = _fields(data, 0, 0)
    except IndexError:
        raise ValueError(f"no struct of Thrift's at byte {offset}") from None
    return found, offset + at


def _fields(data: bytes, at: int, depth: int) -> tuple[dict[int, Field], int]:
    if depth > MOST_DEPTH:
        raise ValueError("its structs are nested too deep")
    found: dict[int, Field] = {}
    number = 0
    while (head := data[at]) != STOP:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            number, at = _zigzag(data, at)
        if number in found:
            raise ValueError(f"field {number} of a struct is there twice")
        kind = head & 15
        value, at = (kind == TRUE, at) if kind in (TRUE, FALSE) else _value(data, at, kind, depth)
        found[number] = kind, value
    return found, at + 1


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (I16, I32, I64):
        return _zigzag(data, at)
    if kind in (TRUE, FALSE, BYTE):  # of a list
        return data[at], at + 1
    if kind == BINARY:
        size, at = _varint(data, at)
        return None, at + size
    if kind == LIST:
        return _list(data, at, depth + 1)
    if kind == STRUCT:
        return _fields(data, at, depth + 1)
    raise ValueError("a struct has a field that storyloom does not write")


def _list(data: bytes, at: int, depth: int) -> tuple[tuple[int, list[Any]], int]:
    """Type and values of a list."""
    if depth > MOST_DEPTH:
        raise ValueError("its lists are nested too deep")
    kind, size = data[at] & 15, data[at] >> 4
    at += 1
    if size == LONG:
        size, at = _varint(data, at)
    found = []
    for _ in range(size):
        value, at = _value(data, at, kind, depth)
        found.append(value)
    return (kind, found), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while data[at] & 128:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
    return value | data[at] << shift, at + 1


def _zigzag(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return value >> 1 ^ -(value & 1), at
