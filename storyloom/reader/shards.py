"""Access to a finished dataset for training: its manifest, and documents by shard and number."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, islice
from threading import Thread
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from storyloom.format.interleave import AS_STORED, Interleaving
from storyloom.format.manifest import bad_manifest, broken_rules, manifest_bytes, shards_flaw
from storyloom.format.reader import ShardReader
from storyloom.format.sample import SchemaName
from storyloom.format.shard import MOST_DOCUMENTS
from storyloom.format.stored import BadShard, StoredDocument
from storyloom.format.texts import Texts
from storyloom.reader.document import Document, parse

READ_AHEAD = 16
"""Documents that are requested at once: hides the latency of a remote store (our choice)."""

BYTES_AHEAD = 8 * 2**20
"""Bytes of documents that are requested at once, by the mean of their shards, and after which a request that turns out
larger is not read further ahead (our choice)."""

IN_FLIGHT = 8
"""Requests for so many documents that are under way while others are used: hides the transfer, too (our choice). Those
that begin together end together, and the next ones wait for an answer together: the more, the less of that."""


class ShardEntry(BaseModel):
    """The manifest's entry of a shard, as far as a trainer needs it.

    Attributes:
        split: Which part of the dataset it belongs to.
        file: Its path relative to the dataset's folder.
        nsamples: Documents.
        filesize: Bytes.
        sha256: Of the file, hexadecimal.
        items_sha256: Of the table beside it; empty where there is none.
        captions: Images with a caption.
        fuse_statuses: Images by what became of their fusion.
        timed_words: Words with their times.
        ncodes: Discrete codes of its images; 0 where these have none.
        most_sounds: Most texts of a document with their sound; 0 where no text has any.
    """

    split: str
    file: str
    nsamples: Annotated[int, Field(ge=1, le=MOST_DOCUMENTS)]
    filesize: Annotated[int, Field(gt=0, lt=2**63)]
    sha256: str
    items_sha256: str = ""
    captions: int = 0
    fuse_statuses: dict[str, int] = {}
    timed_words: int = 0
    ncodes: int = 0
    most_sounds: int = 0


class Manifest(BaseModel):
    """The part of `manifest.json` that a trainer needs; further keys of later versions are ignored.

    Attributes:
        schema_: Name and version of the shard format.
        sha256: Of the dataset.
        shards: Training shards, then validation shards, in order.
    """

    schema_: SchemaName = Field(alias="schema")
    sha256: str
    shards: list[ShardEntry]


def load_manifest(reader: ShardReader) -> Manifest:
    """The dataset's manifest.

    Raises:
        UsageError: There is none.
        BadDataset: It is damaged or of another version.
    """
    content = manifest_bytes(reader.folder)
    try:
        found = Manifest.model_validate_json(content, strict=True)
    except ValidationError as error:
        raise bad_manifest(reader.folder.address, broken_rules(error)[0]) from None
    if flaw := shards_flaw(found.shards):
        raise bad_manifest(reader.folder.address, flaw)
    return found


def load_documents(
    reader: ShardReader,
    wanted: Iterable[tuple[ShardEntry, int]],
    texts: Texts = "text",
    how: Interleaving = AS_STORED,
) -> Iterator[Document]:
    """Documents by shard and number within it, read ahead of whoever takes them: see `IN_FLIGHT`.

    Args:
        reader: Of the dataset.
        wanted: Which documents.
        texts: Which texts stand beside their frames.
        how: Where the frames stand among the words.

    Raises:
        BadShard: A shard or its index is gone, cut off or damaged.
    """
    batches = _batches(wanted)
    first = list(islice(batches, IN_FLIGHT))
    if not first[1:]:  # a few documents need no threads
        yield from (as_document(stored, texts, how) for some in first for stored in reader.pick(some))
        return
    failed: dict[str, BadShard] = {}
    later = _with_indexes(reader, chain(first, batches), failed)
    next_up = deque(islice(later, 2 * IN_FLIGHT))
    reads = deque(_Ahead(reader, *next_up.popleft(), failed) for _ in first)
    while reads:
        done = reads.popleft()
        done.join()
        next_up.extend(islice(later, 1))
        if next_up:
            reads.append(_Ahead(reader, *next_up.popleft(), failed))
        yield from (as_document(one, texts, how) for one in done.documents())


def _batches(wanted: Iterable[tuple[ShardEntry, int]]) -> Iterator[list[tuple[ShardEntry, int]]]:
    """Documents that are requested at once."""
    some: list[tuple[ShardEntry, int]] = []
    size = 0
    for shard, number in wanted:
        mean = shard.filesize // shard.nsamples
        if some and (len(some) == READ_AHEAD or size + mean > BYTES_AHEAD):
            yield some
            some, size = [], 0
        some.append((shard, number))
        size += mean
    if some:
        yield some


def _with_indexes(
    reader: ShardReader, batches: Iterable[list[tuple[ShardEntry, int]]], failed: dict[str, BadShard]
) -> Iterator[tuple[list[tuple[ShardEntry, int]], _Indexes]]:
    """Batches, each with a thread behind whose end the indexes of its shards are there; each is asked for once.

    The errors of indexes that cannot be read come into `failed`, by their shards' files.
    """
    asked: set[str] = set()
    indexes: _Indexes | None = None
    for some in batches:
        if unknown := {shard.file: shard for shard, _ in some if shard.file not in asked}:
            asked.update(unknown)
            indexes = _Indexes(reader, list(unknown.values()), failed, indexes)
        assert indexes is not None, "the first batch has a shard that was not asked for"
        yield some, indexes


class _Indexes(Thread):
    """Reads the indexes of shards; it ends after those that began before it."""

    def __init__(
        self, reader: ShardReader, shards: Sequence[ShardEntry], failed: dict[str, BadShard], before: Thread | None
    ) -> None:
        super().__init__(name="storyloom-index", daemon=True)
        self._reader, self._shards, self._failed, self._before = reader, shards, failed, before
        self.start()

    def run(self) -> None:
        with suppress(Exception):  # raised where the documents are read, which need the same indexes
            self._failed.update(self._reader.look_up(self._shards))
        if self._before is not None:
            self._before.join()
            self._before = None


class _Ahead(Thread):
    """Reads documents, up to `BYTES_AHEAD` of them at once; larger ones wait until they are taken.

    A thread of a pool would be waited for at the end of a process, also one that waits for a server that hangs.

    Args:
        reader: Of the dataset.
        some: Which documents.
        indexes: Who reads the indexes of their shards.
        failed: The errors of indexes that could not be read, by their shards' files.
    """

    def __init__(
        self,
        reader: ShardReader,
        some: Sequence[tuple[ShardEntry, int]],
        indexes: _Indexes,
        failed: Mapping[str, BadShard],
    ) -> None:
        super().__init__(name="storyloom-read", daemon=True)
        self._indexes = indexes
        self._unread = reader.pick(some, failed)
        self._found: list[StoredDocument] = []
        self._failure: Exception | None = None
        self.start()

    def run(self) -> None:
        size = 0
        self._indexes.join()
        try:
            for stored in self._unread:
                self._found.append(stored)
                size += stored.size
                if size >= BYTES_AHEAD:
                    break
        except Exception as failure:  # noqa: BLE001 - raised where the documents are taken
            self._failure = failure

    def documents(self) -> Iterator[StoredDocument]:
        """All of them, up to the first that cannot be read, whose error is raised. Call it after `join`."""
        yield from self._found
        if self._failure:
            raise self._failure
        yield from self._unread


class _NoPictures(dict[str, bytes]):
    """An empty JPEG for every name."""

    def __missing__(self, _: str) -> bytes:
        return b""


def as_document(
    stored: StoredDocument, texts: Texts = "text", how: Interleaving = AS_STORED, *, pictures: bool = True
) -> Document:
    """A document as a trainer takes it, with these texts beside its frames, and its frames in their places.

    Args:
        stored: The document.
        texts: Which texts.
        how: Where the frames stand.
        pictures: Whether its pictures were read; without them the JPEGs of its frames are empty.

    Raises:
        BadShard: It is damaged.
    """
    try:
        jpegs = stored.jpegs if pictures else _NoPictures()
        document = parse(stored.content, jpegs, stored.sounds, stored.codes)
        if pictures:
            stored.check_beside(len(document.frames), len(document.texts))
        return document.with_texts(texts).interleaved(how.mode, how.fps)
    except ValueError as error:
        raise stored.bad(f"{stored.key}.json: {error}") from None
