"""The table beside a shard: what each document holds, position by position, so that a packer opens no document.

One row a document, in the shard's order. `shard-000000.parquet` lies beside `shard-000000.tar`.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from storyloom.format.pages import PLAIN, PLAIN_DICTIONARY, RLE, RLE_DICTIONARY, pages, row_groups
from storyloom.format.parquet import ParquetFile
from storyloom.format.sample import FormatError, Sample
from storyloom.fs.ranges import MOST_WHOLE

ROWS = 1024
"""Rows of a row group but the last (our choice): what a reader holds at a time."""

MOST_VALUES = 2**26
"""Values in all columns of a table, an empty list counted as one (our choice): half a gigabyte in memory."""

MOST_BYTES = 2**28
"""Bytes of all pages of a table once they are unpacked (our choice)."""

WRITER = "parquet-cpp-arrow"
"""What writes tables: a reader treats those of others in ways of their own, so that there is more to bound."""

TOKENIZER = b"storyloom.tokenizer_sha256"
"""Key of the file's metadata: SHA-256 of the `tokenizer.json` by which `text_tokens` were counted; else empty."""


def _list(kind: pa.DataType) -> pa.DataType:
    return pa.list_(pa.field("element", kind, nullable=False))


COLUMNS = {
    "key": pa.string(),
    "is_image": _list(pa.bool_()),
    "image_width": _list(pa.uint16()),
    "image_height": _list(pa.uint16()),
    "text_chars": _list(pa.uint32()),
    "text_tokens": _list(pa.uint32()),
    "code_rows": _list(pa.uint16()),
    "code_columns": _list(pa.uint16()),
}
"""The columns and their types."""

OPTIONS: dict[str, Any] = {
    "compression": "zstd",
    "write_statistics": False,
    # A dictionary of one long key could stand for any number of them.
    "use_dictionary": [f"{name}.list.element" for name in COLUMNS if name != "key"],
}

SCHEMA = pa.schema([pa.field(name, kind, nullable=False) for name, kind in COLUMNS.items()])


@dataclass(frozen=True, slots=True)
class Items:
    """A row of the table: what one document holds.

    Attributes:
        key: Of the document.
        is_image: By position, whether it is an image, else a text.
        image_width: Pixels, by image.
        image_height: Pixels, by image.
        text_chars: Characters (Unicode code points), by text.
        text_tokens: Tokens without special ones, by text; empty where no tokenizer was given.
        code_rows: Rows of discrete codes, by image; empty without codes.
        code_columns: Columns of discrete codes, by image; empty without codes.
    """

    key: str
    is_image: Sequence[bool]
    image_width: Sequence[int]
    image_height: Sequence[int]
    text_chars: Sequence[int]
    text_tokens: Sequence[int] = ()
    code_rows: Sequence[int] = ()
    code_columns: Sequence[int] = ()

    @classmethod
    def of(cls, sample: Sample, text_tokens: Sequence[int] = (), codes: Sequence[tuple[int, int]] = ()) -> Items:
        """The row of a document.

        Args:
            sample: The document.
            text_tokens: Tokens of each of its texts; empty without a tokenizer.
            codes: Rows and columns of each image's discrete codes; empty without them.
        """
        return cls(
            key=sample.sample_id,
            is_image=[image is not None for image in sample.images],
            image_width=sample.image_width,
            image_height=sample.image_height,
            text_chars=[len(text) for text in sample.spoken],
            text_tokens=list(text_tokens),
            code_rows=[rows for rows, _ in codes],
            code_columns=[columns for _, columns in codes],
        )


class _Hashed(io.RawIOBase):
    """A file that is only written, front to back, and hashed on the way."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.size

    def write(self, data: object, /) -> int:
        block = bytes(data)  # type: ignore[call-overload]
        self._file.write(block)
        self.sha256.update(block)
        self.size += len(block)
        return len(block)


def write_items(file: IO[bytes], rows: Iterable[Items], tokenizer: str = "") -> str:
    """Write a table; a row group is in memory at a time. The bytes depend on the rows and Arrow's version alone.

    Args:
        file: Open for writing, at its start.
        rows: One a document, in the shard's order.
        tokenizer: SHA-256 of the `tokenizer.json` that counted the texts' tokens; empty without one.

    Returns:
        The file's SHA-256, hexadecimal.

    Raises:
        FormatError: It is larger than a reader takes.
    """
    hashed, values, key = _Hashed(file), 0, ""
    schema = SCHEMA.with_metadata({TOKENIZER: tokenizer.encode()})
    with pq.ParquetWriter(hashed, schema, **OPTIONS) as writer:
        for some in _groups(rows):
            lines = [asdict(row) for row in some]
            values += sum(max(1, len(line[name])) if name != "key" else 1 for line in lines for name in COLUMNS)
            table = pa.Table.from_pylist(lines, schema)
            key = some[-1].key
            writer.write_table(table, row_group_size=ROWS)
    if values > MOST_VALUES or hashed.size > MOST_WHOLE:
        message = f"its shard's documents have {values} positions and sizes, more than {MOST_VALUES}"
        raise FormatError(key, "items", f"{message}: choose a smaller write.shard_bytes")
    return hashed.sha256.hexdigest()


def _groups(rows: Iterable[Items]) -> Iterator[list[Items]]:
    some: list[Items] = []
    for row in rows:
        some.append(row)
        if len(some) == ROWS:
            yield some
            some = []
    if some:
        yield some


def read_items(content: bytes, documents: int) -> pa.Table:
    """The table in these bytes: a row a document, with the columns of `SCHEMA`.

    Args:
        content: Of the file.
        documents: Of its shard.

    Raises:
        ValueError: It is another table, damaged, or larger than one that is written.
    """
    groups = list(item_groups(content))
    table = pa.concat_tables(groups) if groups else SCHEMA.empty_table()
    if len(table) != documents:
        raise ValueError(f"it has {len(table)} rows, but manifest.json says {documents} documents")
    return table


def item_groups(content: bytes) -> Iterator[pa.Table]:
    """The row groups of a table, each of at most `ROWS` rows, one after another.

    Raises:
        ValueError: It is another table, damaged, or larger than one that is written.
    """
    try:
        with ParquetFile(content) as file:
            _check(file, content)
            for number in range(file.num_row_groups):
                table = file.read_row_group(number)
                table.validate(full=True)
                yield table
    except (pa.ArrowException, OSError) as reason:
        raise ValueError(f"it cannot be read as Parquet: {reason}") from None


def _check(file: ParquetFile, content: bytes) -> None:
    """Refuse a table before it is unpacked.

    Raises:
        ValueError: It is another one, or larger than one that is written.
    """
    about = file.metadata
    if not file.schema_arrow.equals(SCHEMA):
        raise ValueError(f"its columns are not {', '.join(COLUMNS)} with the types of docs/format.md")
    if not (about.created_by or "").startswith(WRITER):
        raise ValueError(f"it was written by {about.created_by!r}, not by {WRITER}")
    values = size = 0
    for number, group in enumerate(row_groups(content)):
        if group.rows > ROWS or (group.rows < ROWS and number < about.num_row_groups - 1):
            raise ValueError(
                f"row group {number} has {group.rows} rows, must have {ROWS}, the last one as many or fewer"
            )
        if len(group.columns) != len(COLUMNS):
            raise ValueError(f"row group {number} has {len(group.columns)} columns, must have {len(COLUMNS)}")
        for name, (start, length) in zip(COLUMNS, group.columns, strict=True):
            for page in pages(content, start, length):
                allowed = (PLAIN,) if name == "key" else (PLAIN, PLAIN_DICTIONARY, RLE, RLE_DICTIONARY)
                if page.encoding not in allowed or (name == "key" and page.is_dictionary):
                    raise ValueError(f"{name} is encoded otherwise than storyloom writes it")
                values += page.values
                size += page.size
                if values > MOST_VALUES or size > MOST_BYTES:
                    raise ValueError(f"it has more than {MOST_VALUES} values, or {MOST_BYTES} bytes of them")


def rows_of(table: pa.Table) -> Iterator[Items]:
    """The rows of a table; a row group's worth of them are in memory at a time."""
    for batch in table.to_batches(ROWS):
        yield from (Items(**row) for row in batch.to_pylist())


def tokenizer_of(metadata: Mapping[bytes, bytes] | None) -> str:
    """SHA-256 of the `tokenizer.json` by which a table's texts were counted, from its metadata; empty without one."""
    return (metadata or {}).get(TOKENIZER, b"").decode("ascii", "replace")
