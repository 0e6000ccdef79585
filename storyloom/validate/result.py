"""The task of checking a shard, and its result; both are sent between processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from storyloom.format.counts import Counts
from storyloom.validate.violation import Violations

PLACE = np.dtype([("digest", "<u8"), ("shard", "<u4"), ("offset", "<u8")])
"""An occurrence of a key or a video: its hash, the shard's number, and the document's offset in the shard."""


@dataclass(frozen=True)
class ShardTask:
    """A shard to check.

    Attributes:
        folder: Of the dataset, or its URL.
        file: Path of the shard within it.
        number: Among all shards, from 0.
        stated: What the manifest says of every document, as `Sample` takes it as context; empty without a manifest.
        deep: Whether images are decoded.
    """

    folder: str
    file: str
    number: int
    stated: Mapping[str, Any]
    deep: bool


@dataclass
class ShardFacts:
    """The content of a shard that could be read to the end of its file.

    Attributes:
        filesize: Bytes.
        sha256: Of the whole file, hexadecimal.
        md5sum: Of the whole file, hexadecimal.
        nsamples: Documents.
        nimages: Images.
        ntexts: Texts of the documents.
        whole: Whether the archive could be read to its end, so that documents and images are counted.
        counts: The shard's counts; None when a document could not be parsed.
        items_sha256: Of the table beside it, hexadecimal; empty where there is none that can be read.
        has_tokens: Whether the tokens in its counts are those of a table that agrees with the documents.
    """

    filesize: int = 0
    sha256: str = ""
    md5sum: str = ""
    nsamples: int = 0
    nimages: int = 0
    ntexts: int = 0
    whole: bool = False
    counts: Counts | None = None
    items_sha256: str = ""
    has_tokens: bool = False


@dataclass
class ShardResult:
    """The result of checking a shard.

    Attributes:
        file: Path of the shard.
        violations: Of the shard and its index.
        facts: Its content; None when it could not be read to the end of the file.
        keys: `PLACE` of every document's key.
        videos: `PLACE` of every video's first document.
    """

    file: str
    violations: Violations
    facts: ShardFacts | None
    keys: npt.NDArray[np.void]
    videos: npt.NDArray[np.void]
