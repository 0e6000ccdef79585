"""OBELICS-style Parquet: a row a document, texts and images parallel, metadata as JSON strings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storyloom.card.front_matter import language_codes
from storyloom.card.indexes import as_yaml
from storyloom.card.markdown import literal
from storyloom.export.bounded import bounded
from storyloom.export.json_text import compact
from storyloom.export.read import SourceDocument, positions
from storyloom.format.manifest import Published
from storyloom.view.counts import count_of

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP_BYTES = 16_000_000
"""Content of a row group: held in memory by the writer, and read whole by a reader of one row (our choice)."""

ROW_GROUP_ROWS = 100
"""Rows of a row group at most, as Hugging Face's `datasets` writes tables of images."""

FEATURES = {
    "images": {"feature": {"_type": "Image"}, "_type": "Sequence"},
    "texts": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "Sequence"},
    "metadata": {"dtype": "string", "_type": "Value"},
    "general_metadata": {"dtype": "string", "_type": "Value"},
}
"""The columns in the words of Hugging Face's `datasets`. "Sequence" is how every release spells a list; before 4.0 it
does not know "List"."""

CARD = """\
---
{front}---

# {name}

{documents} of {name} (SHA-256 {sha256}) in the layout of OBELICS. `images` and `texts`
are parallel, and at each position one of them is null. `metadata` is a JSON list with what is known of each position:
the time, size, similarity and shift of an image, the times of a text. `general_metadata` is a JSON object about the
document.

```python
from datasets import load_dataset
documents = load_dataset("path/to/this/folder", split="{split}", streaming=True)
```
"""


def write(documents: Iterable[SourceDocument], folder: Path, split: str, file_bytes: int) -> list[str]:
    """Write ``data/SPLIT-00000.parquet`` and so on.

    Args:
        documents: What to write.
        folder: The export.
        split: Name of the split in `datasets`.
        file_bytes: Content at which a new file begins.
    """
    import pyarrow.parquet as pq

    (folder / "data").mkdir(exist_ok=True)
    schema = arrow_schema()
    for number, group in bounded(documents, size_of, file_bytes):
        with pq.ParquetWriter(folder / "data" / f"{split}-{number:05d}.parquet", schema, compression="snappy") as file:
            for table in _row_groups(group, schema):
                file.write_table(table)
    return []


def arrow_schema() -> pa.Schema:
    """What ``datasets.Features(…).arrow_schema`` gives for these columns."""
    import pyarrow as pa

    image = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    columns = {
        "images": pa.list_(image),
        "texts": pa.list_(pa.string()),
        "metadata": pa.string(),
        "general_metadata": pa.string(),
    }
    return pa.schema(columns, metadata={"huggingface": json.dumps({"info": {"features": FEATURES}})})


def size_of(document: SourceDocument) -> int:
    """Bytes of a document's content, before compression."""
    return sum(map(len, document.jpegs)) + len(document.content)


def _row_groups(documents: Iterable[SourceDocument], schema: pa.Schema) -> Iterator[pa.Table]:
    import pyarrow as pa

    for _, group in bounded(documents, size_of, ROW_GROUP_BYTES):
        rows: list[dict[str, Any]] = []
        for document in group:
            rows.append(row(document))
            if len(rows) == ROW_GROUP_ROWS:
                yield pa.Table.from_pylist(rows, schema)
                rows = []
        if rows:
            yield pa.Table.from_pylist(rows, schema)


def row(document: SourceDocument) -> dict[str, Any]:
    """A document as a row of the table."""
    sample = document.sample
    jpegs = dict(zip(sample.pictures, document.jpegs, strict=True))
    whole = json.loads(document.content)
    per_position = ("texts", "images", "text_", "image_")
    rest = {key: value for key, value in whole.items() if not key.startswith(per_position)}
    if document.rows > 1:
        words = {key: getattr(sample, key) for key in ("words", "word_start", "word_end")}
        rest |= {"row": document.row, "rows": document.rows, **words}
    return {
        "images": [None if name is None else {"bytes": jpegs[name], "path": name} for name in sample.images],
        "texts": sample.texts,
        "metadata": compact([{"document_url": sample.video_url, **known} for known in positions(sample)]),
        "general_metadata": compact({"url": sample.video_url, **rest}),
    }


def files(published: Published, splits: list[str]) -> dict[str, bytes]:
    """The card, whose front matter tells `datasets` which files belong to which split."""
    data_files = [{"split": split, "path": f"data/{split}-*.parquet"} for split in splits]
    languages = language_codes(published)
    front = {
        "pretty_name": published.name,
        **({"language": languages} if languages else {}),
        "task_categories": ["image-text-to-text"],
        "tags": ["interleaved", "video"],
        "configs": [{"config_name": "default", "data_files": data_files}],
    }
    text = CARD.format(
        front=as_yaml(front),
        name=literal(published.name),
        documents=count_of(sum(totals.nsamples for totals in published.splits.values()), "documents"),
        sha256=literal(published.sha256),
        split=splits[0],
    )
    return {"README.md": text.encode()}
