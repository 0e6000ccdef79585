"""Documents into shards: shuffled inside a group of parts, cut into files of the target size and a rest."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import IO, Annotated

from pydantic import Field, StringConstraints

from schemas.config import StageConfig
from schemas.rows import Document, DocumentsRow, ManifestRow
from stages.write.document import to_sample
from storyloom.format.counts import Counts
from storyloom.format.sample import FormatError
from storyloom.format.shard import SPLITS, Shard, Split, rest_file, shard_numbers, write_shard
from storyloom.format.tar import sample_bytes

WRITE_VERSION = 2
"""Raised whenever a change of the code changes the output."""


VideoDocuments = tuple[ManifestRow, DocumentsRow, Callable[[], list[bytes]]]
"""A video, what `filter` decided, and how to load the JPEGs of all its frames."""


class WriteConfig(StageConfig):
    """How documents become shards.

    Attributes:
        name: The dataset's name, for its card and indexes.
        shard_bytes: Bytes of a shard (WebDataset's advice is 256 MB to 1 GB). Documents are not cut, so that a shard
            misses this by up to half of its largest document: by less than 5 % where documents are under a tenth of
            it. Each split's last shard is smaller.
        max_images: Most images of a document, fixed for the dataset (OBELICS: 30): Hugging Face drops the images
            beyond what the card declares without a word.
        val_share: Share of the videos that go to the validation split, 0 to 1; chosen by a hash of the video's key,
            so no video is in two splits and a manifest that grew moves none.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$")] = "storyloom"
    shard_bytes: Annotated[int, Field(gt=0)] = 512 * 2**20
    max_images: Annotated[int, Field(ge=1, le=1000)] = 30
    val_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0


@dataclass(frozen=True)
class Spooled:
    """A document's tar members in the spool file, and what is counted of it.

    Attributes:
        key: The sample's key.
        split: Where it goes.
        offset: Bytes from the start of the spool.
        size: Bytes.
        counts: Its counts.
    """

    key: str
    split: Split
    offset: int
    size: int
    counts: Counts


def write_group(videos: Iterable[VideoDocuments], folder: Path, config: WriteConfig, seed: int) -> list[Shard]:
    """Write the documents of a group's videos as shards into `folder`, training shards first.

    Every shard has about the target size but for each split's last one, the rest, whose file is named `rest_file`.
    The bytes depend on the documents, the config and the seed, not on the order of the videos. At no time are the
    JPEGs of more than one video in memory. No shard is written unless every document of the group is accepted.

    Raises:
        FormatError: A document breaks a rule of the shard format.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as spool:
        documents = _shuffled(_spool(videos, spool, config), seed)
        shards: list[Shard] = []
        for split in SPLITS:
            of_split = [document for document in documents if document.split == split]
            numbers = list(shard_numbers((document.size for document in of_split), config.shard_bytes))
            for number, some in groupby(zip(numbers, of_split, strict=True), key=lambda numbered: numbered[0]):
                name = rest_file(split) if number == numbers[-1] else f"{split}-{number:06d}.tar"
                members = ((_members(spool, document), document.counts) for _, document in some)
                shards.append(write_shard(folder / name, split, members))
    return shards


def split_of(video: str, val_share: float) -> Split:
    """The split of all documents of the video with this key."""
    place = int.from_bytes(hashlib.sha256(f"split|{video}".encode()).digest()[:8], "big") / 2**64
    return "val" if place < val_share else "train"


def _spool(videos: Iterable[VideoDocuments], spool: IO[bytes], config: WriteConfig) -> Iterator[Spooled]:
    seen: set[str] = set()
    for manifest, row, load_jpegs in videos:
        if manifest.video != row.video:
            raise FormatError(manifest.video, "wrong_row", f"its documents are those of video {row.video}")
        jpegs = load_jpegs() if row.documents else []
        for document in row.documents:
            key = f"{manifest.video}-{document.number:04d}"
            if key in seen:
                raise FormatError(key, "duplicate_key", "two documents have this key: is the video listed twice?")
            seen.add(key)
            images = _images(key, document, jpegs)
            sample = to_sample(key, manifest, document, images, config.max_images)
            members = sample_bytes(key, sample.to_json_bytes(), images)
            offset = spool.tell()
            spool.write(members)
            yield Spooled(
                key=key,
                split=split_of(manifest.video, config.val_share),
                offset=offset,
                size=len(members),
                counts=Counts.of(sample),
            )


def _images(key: str, document: Document, jpegs: Sequence[bytes]) -> list[bytes]:
    for frame in document.frames:
        if not 0 <= frame.frame < len(jpegs):
            raise FormatError(key, "frame_index", f"frame {frame.frame} is not among the video's {len(jpegs)} frames")
    return [jpegs[frame.frame] for frame in document.frames]


def _shuffled(documents: Iterable[Spooled], seed: int) -> list[Spooled]:
    def place(document: Spooled) -> tuple[bytes, str]:
        return hashlib.sha256(f"{seed}|{document.key}".encode()).digest(), document.key

    return sorted(documents, key=place)


def _members(spool: IO[bytes], document: Spooled) -> bytes:
    spool.seek(document.offset)
    return spool.read(document.size)
