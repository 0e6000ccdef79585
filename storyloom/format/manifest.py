"""The model of `manifest.json`, the description of a finished dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from storyloom.errors import UsageError
from storyloom.format.counts import Counts
from storyloom.format.model import Model
from storyloom.format.sample import SchemaName
from storyloom.format.shard import SPLITS, Shard, Split

MANIFEST = "manifest.json"


class FunnelRow(Model):
    """The counts of one kind of item through the pipeline.

    Attributes:
        what: ``videos``, ``frames``, ``sentences`` or ``documents``.
        found: How many there were.
        kept: How many are in the documents.
        dropped: The others, by reason.
        failed: Videos that failed, by ``stage.code``.
    """

    what: str
    found: int
    kept: int
    dropped: dict[str, int]
    failed: dict[str, int] = {}


class Provenance(Model):
    """How a dataset was made. It names neither the machine nor the time, so the same run gives the same bytes.

    Attributes:
        config: The sections of the config that change the output.
        fingerprints: Of each stage.
        revisions: Of the model or program behind each stage that has one.
        tools: Versions of the programs and packages that were used.
        funnel: Counts of videos, frames, sentences and documents, a row per kind.
    """

    config: dict[str, Any] = {}
    fingerprints: dict[str, str] = {}
    revisions: dict[str, str] = {}
    tools: dict[str, str] = {}
    funnel: list[FunnelRow] = []


class Totals(Counts):
    """Sums over shards; the units are those of `Shard`."""

    nshards: int
    filesize: int


class Published(Model):
    """A finished dataset, as `manifest.json` describes it.

    Attributes:
        schema_: Name and version of the shard format; the key in JSON is ``schema``.
        name: The dataset's name.
        sha256: Of the lines ``<sha256 of shard>  <path of shard>``, training shards first: what
            ``sha256sum data/*/*.tar | sha256sum`` prints.
        max_images: Most images a document may have.
        shards: Training shards, then validation shards, in order; `file` is relative to the dataset's folder.
        splits: Sums per split; a split without shards is absent.
        provenance: How it was made.
    """

    schema_: SchemaName = Field(default="storyloom/2", alias="schema")
    name: str
    sha256: str
    max_images: int
    shards: list[Shard]
    splits: dict[Split, Totals]
    provenance: Provenance

    def of(self, split: Split) -> list[Shard]:
        """The shards of one split, in order."""
        return [shard for shard in self.shards if shard.split == split]


def describe(name: str, max_images: int, shards: Sequence[Shard], provenance: Provenance) -> Published:
    """The manifest of these shards."""
    present = [split for split in SPLITS if any(shard.split == split for shard in shards)]
    return Published(
        name=name,
        sha256=dataset_sha256(shards),
        max_images=max_images,
        shards=list(shards),
        splits={split: _totals([shard for shard in shards if shard.split == split]) for split in present},
        provenance=provenance,
    )


def dataset_sha256(shards: Sequence[Shard]) -> str:
    """Hash over the shards' hashes and names, in order."""
    lines = "".join(f"{shard.sha256}  {shard.file}\n" for shard in shards)
    return hashlib.sha256(lines.encode()).hexdigest()


def read_manifest(output: Path) -> Published | None:
    """The manifest in a folder; None when there is none, or when it has another version."""
    manifest = output / MANIFEST
    try:
        return Published.model_validate_json(manifest.read_bytes()) if manifest.is_file() else None
    except ValidationError:
        return None


def finished_dataset(output: Path) -> Published:
    """The manifest of a finished dataset.

    Raises:
        UsageError: The folder holds none, or one of another version.
    """
    published = read_manifest(output)
    if published is not None:
        return published
    if (output / MANIFEST).is_file():
        raise UsageError(
            f"{output / MANIFEST} is damaged or of another version of storyloom; run `storyloom run` with the"
            " dataset's config: what is up to date is kept"
        )
    raise UsageError(f"{output} holds no finished dataset: there is no {MANIFEST} in it")


def _totals(shards: Sequence[Shard]) -> Totals:
    filesize = sum(shard.filesize for shard in shards)
    return Totals(nshards=len(shards), filesize=filesize, **Counts.total(shards).counted())
