"""Access to a finished dataset for training: its manifest, and documents by shard and number."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, Field, ValidationError

from storyloom.errors import UsageError
from storyloom.format.manifest import MANIFEST
from storyloom.format.reader import ShardReader
from storyloom.format.sample import SchemaName
from storyloom.fs.folder import ByteRange
from storyloom.fs.url import without_secrets
from storyloom.reader.document import Document, parse


class ShardEntry(BaseModel):
    """The manifest's entry of a shard, as far as a trainer needs it.

    Attributes:
        split: Which part of the dataset it belongs to.
        file: Its path relative to the dataset's folder.
        nsamples: Documents.
        filesize: Bytes.
    """

    split: str
    file: str
    nsamples: int
    filesize: int


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
        UsageError: There is none, or it is of another version.
    """
    address = reader.folder.address
    (content,) = reader.folder.read([ByteRange(MANIFEST)])
    if isinstance(content, FileNotFoundError):
        raise UsageError(f"{address} holds no finished dataset: there is no {MANIFEST} in it")
    if isinstance(content, Exception):
        raise UsageError(without_secrets(f"cannot read {address}/{MANIFEST}: {content!r}")) from content
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        raise UsageError(f"{address}/{MANIFEST} is none that this version reads: {error}") from None


def load_documents(reader: ShardReader, wanted: Sequence[tuple[ShardEntry, int]]) -> list[Document]:
    """Documents by shard and number within it; ranges are requested at once where the store supports it.

    Raises:
        BadShard: A shard or its index is gone, cut off or damaged.
    """
    documents = []
    for stored in reader.pick(wanted):
        try:
            documents.append(parse(stored.content, stored.jpegs))
        except ValueError as error:
            raise stored.bad(f"{stored.key}.json: {error}") from None
    return documents
