"""What is asked of a shard, and what comes out of looking at it: both travel between processes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from storyloom.format.counts import Counts
from storyloom.validate.violation import Violations

PLACE = np.dtype([("digest", "<u8"), ("shard", "<u4"), ("offset", "<u8")])
"""Where a key or a video was seen: a hash of it, the shard's number, and where in the shard its document begins."""


@dataclass(frozen=True)
class ShardTask:
    """A shard to look at.

    Attributes:
        folder: Of the dataset.
        file: Path of the shard within it.
        number: Among all shards, from 0.
        max_images: Most images of a document; None when that is not known.
        deep: Whether images are decoded.
    """

    folder: str
    file: str
    number: int
    max_images: int | None
    deep: bool


@dataclass
class ShardFacts:
    """What is in a shard that could be read to the end of its file.

    Attributes:
        filesize: Bytes.
        sha256: Of the whole file, hexadecimal.
        md5sum: Of the whole file, hexadecimal.
        nsamples: Documents.
        nimages: Images.
        whole: Whether the archive could be read to its end, so that documents and images are counted.
        counts: All that is counted; None when a document could not be understood.
    """

    filesize: int = 0
    sha256: str = ""
    md5sum: str = ""
    nsamples: int = 0
    nimages: int = 0
    whole: bool = False
    counts: Counts | None = None


@dataclass
class ShardResult:
    """What came out of looking at a shard.

    Attributes:
        file: Path of the shard.
        violations: What is wrong with the shard and its index.
        facts: What is in it; None when it could not be read to the end of the file.
        keys: `PLACE` of every document's key.
        videos: `PLACE` of every video's first document.
    """

    file: str
    violations: Violations
    facts: ShardFacts | None
    keys: npt.NDArray[np.void]
    videos: npt.NDArray[np.void]
