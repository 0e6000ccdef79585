"""MosaicML Streaming: MDS shards, version 2, as its `MDSWriter` writes them.

The package `mosaicml-streaming` is not needed and cannot be a dependency: release 0.13 requires transformers below 5
and numpy below 2.2. The layout is that of https://docs.mosaicml.com/projects/streaming, "Dataset Format"; the tests
compare bytes with `MDSWriter` where the package is installed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from storyloom.errors import UsageError
from storyloom.export.bounded import bounded
from storyloom.export.read import SourceDocument

COLUMNS = {"doc": "json", "images": "jpegarray", "key": "str"}
"""Columns and encodings, in the order in which MDS stores columns: by name."""

INTEGER = np.dtype("<u4")
"""Counts, sizes and offsets."""

OFFSET_BYTES = INTEGER.itemsize
"""Bytes of a sample's entry in the table of offsets."""

LARGEST = 2**32 - 1
"""Bytes of an MDS shard: offsets have 32 bits."""


class ShardTooLarge(UsageError):
    """An MDS shard of this size cannot be addressed."""


def write(documents: Iterable[SourceDocument], folder: Path, split: str, file_bytes: int) -> list[str]:
    """Write ``SPLIT/shard.00000.mds`` and so on, and ``SPLIT/index.json``.

    Args:
        documents: What to write.
        folder: The export.
        split: Name of the folder.
        file_bytes: Size at which a new shard begins.

    Raises:
        ShardTooLarge: A shard of this size cannot be addressed.
    """
    place = folder / split
    place.mkdir()
    config = shard_config(file_bytes)
    header = json.dumps(config, sort_keys=True).encode()
    overhead = 2 * OFFSET_BYTES + len(header)
    shards = []
    samples = (sample_bytes(document) for document in documents)
    for number, group in bounded(samples, lambda sample: len(sample) + OFFSET_BYTES, file_bytes, overhead):
        name = f"shard.{number:05d}.mds"
        count = _write_shard(place / name, group, header)
        raw = {"basename": name, "bytes": (place / name).stat().st_size, "hashes": {}}
        shards.append({"samples": count, "raw_data": raw, "zip_data": None, **config})
    (place / "index.json").write_text(json.dumps({"version": 2, "shards": shards}, sort_keys=True))
    return []


def shard_config(file_bytes: int) -> dict[str, Any]:
    """The header of every shard."""
    return {
        "version": 2,
        "format": "mds",
        "compression": None,
        "hashes": [],
        "size_limit": file_bytes,
        "column_names": list(COLUMNS),
        "column_encodings": list(COLUMNS.values()),
        "column_sizes": [None] * len(COLUMNS),
    }


def sample_bytes(document: SourceDocument) -> bytes:
    """A sample: the sizes of its columns, then their content."""
    jpegs = document.jpegs
    images = _integers([len(jpegs), *map(len, jpegs)]) + b"".join(jpegs)
    columns = [json.dumps(json.loads(document.sample.to_json_bytes())).encode(), images, document.key.encode()]
    return _integers([len(column) for column in columns]) + b"".join(columns)


def _integers(values: list[int]) -> bytes:
    return np.array(values, INTEGER).tobytes()


def _write_shard(path: Path, samples: Iterator[bytes], header: bytes) -> int:
    """Write a shard and return its number of samples. The table of offsets comes first, so samples wait in a file."""
    waiting = path.with_suffix(".samples")
    with waiting.open("wb") as file:
        sizes = [file.write(sample) for sample in samples]
    start = OFFSET_BYTES * (len(sizes) + 2) + len(header)
    offsets = np.cumsum([start, *sizes], dtype=np.int64)
    if offsets[-1] > LARGEST:
        raise ShardTooLarge(f"an MDS shard of {offsets[-1]} bytes is over 4 GiB: lower --file-bytes")
    with path.open("wb") as shard, waiting.open("rb") as file:
        shard.write(_integers([len(sizes)]) + offsets.astype(INTEGER).tobytes() + header)
        shutil.copyfileobj(file, shard)
    waiting.unlink()
    return len(sizes)
