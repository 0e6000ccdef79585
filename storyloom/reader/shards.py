"""Access to a finished dataset for training: its manifest, and documents by shard and number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from storyloom.format.manifest import bad_manifest, broken_rules, manifest_bytes, shards_flaw
from storyloom.format.reader import ShardReader, StoredDocument
from storyloom.format.sample import SchemaName
from storyloom.format.shard import MOST_DOCUMENTS
from storyloom.format.texts import Texts
from storyloom.reader.document import Document, parse


class ShardEntry(BaseModel):
    """The manifest's entry of a shard, as far as a trainer needs it.

    Attributes:
        split: Which part of the dataset it belongs to.
        file: Its path relative to the dataset's folder.
        nsamples: Documents.
        filesize: Bytes.
        sha256: Of the file, hexadecimal.
        captions: Images with a caption.
        fuse_statuses: Images by what became of their fusion.
    """

    split: str
    file: str
    nsamples: Annotated[int, Field(ge=1, le=MOST_DOCUMENTS)]
    filesize: Annotated[int, Field(gt=0, lt=2**63)]
    sha256: str
    captions: int = 0
    fuse_statuses: dict[str, int] = {}


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
    reader: ShardReader, wanted: Sequence[tuple[ShardEntry, int]], texts: Texts = "text"
) -> Iterator[Document]:
    """Documents by shard and number within it; ranges are requested at once where the store supports it.

    Args:
        reader: Of the dataset.
        wanted: Which documents.
        texts: Which texts stand beside their frames.

    Raises:
        BadShard: A shard or its index is gone, cut off or damaged.
    """
    return (as_document(stored, texts) for stored in reader.pick(wanted))


def as_document(stored: StoredDocument, texts: Texts = "text") -> Document:
    """A document as a trainer takes it, with these texts beside its frames.

    Raises:
        BadShard: It is damaged.
    """
    try:
        return parse(stored.content, stored.jpegs, stored.sounds).with_texts(texts)
    except ValueError as error:
        raise stored.bad(f"{stored.key}.json: {error}") from None
