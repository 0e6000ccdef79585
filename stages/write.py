"""Documents into shards: shuffled inside a group of parts, cut into files of near-equal size."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import IO, Annotated, Literal

from pydantic import Field, StringConstraints

from schemas.config import StageConfig
from schemas.row import Model, Seconds, to_milliseconds
from schemas.rows import Document, DocumentsRow, ManifestRow
from schemas.sample import FormatError
from stages.atomic import replacing, write_atomically
from stages.document import count_words, to_sample
from stages.shard import index_bytes, sample_bytes, trailer

WRITE_VERSION = 1
"""Raised whenever a change of the code changes the output."""

Split = Literal["train", "val"]
Count = Annotated[int, Field(ge=0)]

VideoDocuments = tuple[ManifestRow, DocumentsRow, Callable[[], list[bytes]]]
"""A video, what `filter` decided, and how to load the JPEGs of all its frames."""


class WriteConfig(StageConfig):
    """How documents become shards.

    Attributes:
        name: The dataset's name, for its card and indexes.
        shard_bytes: A shard's size is at most about so many bytes (WebDataset's advice is 256 MB to 1 GB).
        max_images: Most images of a document, fixed for the dataset (OBELICS: 30): Hugging Face drops the images
            beyond what the card declares without a word.
        val_share: Share of the videos that go to the validation split, 0 to 1; chosen by a hash of the video's key,
            so no video is in two splits and a manifest that grew moves none.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$")] = "storyloom"
    shard_bytes: Annotated[int, Field(gt=0)] = 512 * 2**20
    max_images: Annotated[int, Field(ge=1, le=1000)] = 30
    val_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0


class Shard(Model):
    """A finished tar file and what is in it.

    Attributes:
        split: Which part of the dataset it belongs to.
        file: Its path relative to the folder it lies in; its index lies beside it, as ``<stem>.tar.idx``.
        nsamples: Documents.
        nimages: Images.
        nwords: Words of the texts; in scripts without spaces, characters.
        seconds: Sum of the documents' lengths.
        filesize: Bytes.
        sha256: Of the whole file, hexadecimal.
        md5sum: Of the whole file, hexadecimal; wids checks it.
        languages: Documents by language code; the empty code stands for unknown.
    """

    split: Split
    file: str
    nsamples: Annotated[int, Field(ge=1)]
    nimages: Count
    nwords: Count
    seconds: Seconds
    filesize: Annotated[int, Field(gt=0)]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    md5sum: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    languages: dict[str, int]


@dataclass(frozen=True)
class Spooled:
    """A document's tar members in the spool file, and what is counted of it.

    Attributes:
        key: The sample's key.
        split: Where it goes.
        offset: Bytes from the start of the spool.
        size: Bytes.
        images: How many.
        words: How many.
        seconds: Length.
        language: Code.
    """

    key: str
    split: Split
    offset: int
    size: int
    images: int
    words: int
    seconds: float
    language: str


def write_group(videos: Iterable[VideoDocuments], folder: Path, config: WriteConfig, seed: int) -> list[Shard]:
    """Write the documents of a group's videos as shards into `folder`, training shards first.

    The bytes depend on the documents, the config and the seed, not on the order of the videos. At no time are the
    JPEGs of more than one video in memory. No shard is written unless every document of the group is accepted.

    Raises:
        FormatError: A document breaks a rule of the shard format.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as spool:
        documents = _shuffled(_spool(videos, spool, config), seed)
        shards: list[Shard] = []
        for split in ("train", "val"):
            cut = _cut([document for document in documents if document.split == split], config.shard_bytes)
            shards += [_write_shard(spool, folder / f"{split}-{n:06d}.tar", some) for n, some in enumerate(cut)]
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
                images=len(images),
                words=sum(count_words(text) for text in sample.spoken),
                seconds=sample.doc_end - sample.doc_start,
                language=sample.language,
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


def _cut(documents: Sequence[Spooled], target: int) -> Iterator[list[Spooled]]:
    """Cut into shards of near-equal size, none of them empty: each ends at the document nearest to its share."""
    total = sum(document.size for document in documents)
    count = -(-total // target)
    middles: dict[str, int] = {}
    before = 0
    for document in documents:
        middles[document.key] = (2 * before + document.size) * count // (2 * total)
        before += document.size
    for _, shard in groupby(documents, key=lambda document: middles[document.key]):
        yield list(shard)


def _write_shard(spool: IO[bytes], path: Path, documents: Sequence[Spooled]) -> Shard:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    filesize = 0
    with replacing(path) as file:
        for block in _blocks(spool, documents):
            file.write(block)
            sha256.update(block)
            md5.update(block)
            filesize += len(block)
    # Its presence marks the shard as finished, so it comes last.
    write_atomically(path.with_suffix(".tar.idx"), index_bytes([document.size for document in documents]))
    return Shard(
        split=documents[0].split,
        file=path.name,
        nsamples=len(documents),
        nimages=sum(document.images for document in documents),
        nwords=sum(document.words for document in documents),
        seconds=to_milliseconds(sum(document.seconds for document in documents)),
        filesize=filesize,
        sha256=sha256.hexdigest(),
        md5sum=md5.hexdigest(),
        languages=dict(sorted(Counter(document.language for document in documents).items())),
    )


def _blocks(spool: IO[bytes], documents: Sequence[Spooled]) -> Iterator[bytes]:
    for document in documents:
        spool.seek(document.offset)
        yield spool.read(document.size)
    yield trailer(sum(document.size for document in documents))
