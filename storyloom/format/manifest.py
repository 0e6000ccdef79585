"""The model of `manifest.json`, the description of a finished dataset."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, BaseModel, Field, StringConstraints, ValidationError

from storyloom.errors import BadDataset, UsageError, printable
from storyloom.format.counts import Count, Counts
from storyloom.format.layout import PUBLISHED, beside
from storyloom.format.model import Model
from storyloom.format.sample import IMAGE_DIGITS, MANY_ERRORS, Name, SchemaName
from storyloom.format.shard import SPLITS, Shard, Split
from storyloom.fs.failure import SERVER, is_of_server
from storyloom.fs.folder import DataFolder
from storyloom.fs.ranges import ByteRange
from storyloom.fs.url import without_secrets

MANIFEST = "manifest.json"

MOST_VALUES = 4_000_000
"""Values in `manifest.json` (our choice): those of 40,000 shards. A value of two bytes takes a hundred in memory."""


MOST_NAMES = 100_000
"""Languages, licences, sizes of images, of a shard or split of a manifest that is read (our choice)."""


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """What JSON can hold.

    Raises:
        ValueError: A number is not finite, or has too many digits to be written.
    """
    json.dumps(value, allow_nan=False)
    return value


class FunnelRow(Model):
    """The counts of one kind of item through the pipeline.

    Attributes:
        what: ``videos``, ``frames``, ``sentences`` or ``documents``; ``captions`` or ``fusions``, of frames.
        found: How many there were.
        kept: How many are in the documents.
        dropped: The others, by reason.
        failed: Videos that failed, by ``stage.code``; for captions and fusions, frames without an answer, by reason.
    """

    what: str
    found: Count
    kept: Count
    dropped: dict[str, Count]
    failed: dict[str, Count] = {}


class Provenance(Model):
    """How a dataset was made. It names neither the machine nor the time, so the same run gives the same bytes.

    Attributes:
        config: The sections of the config that change the output.
        fingerprints: Of each stage.
        revisions: Of the model or program behind each stage that has one.
        tools: Versions of the programs and packages that were used.
        funnel: Counts of videos, frames, sentences and documents, a row per kind.
        notes: What whoever uses it must know of how it was made, a sentence each.
        videos_sha256: Of the keys of all videos of its list, sorted, a line each; empty where it is unknown.
    """

    config: Annotated[dict[str, Any], AfterValidator(_plain)] = {}
    fingerprints: dict[str, str] = {}
    revisions: dict[str, str] = {}
    tools: dict[str, str] = {}
    funnel: list[FunnelRow] = []
    notes: list[str] = []
    videos_sha256: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")] = ""


class Totals(Counts):
    """Sums over shards; the units are those of `Shard`."""

    nshards: Count
    filesize: Count


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
    name: Name
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    max_images: Annotated[int, Field(ge=1, le=10**IMAGE_DIGITS)]
    shards: list[Shard]
    splits: dict[Split, Totals]
    provenance: Provenance

    @property
    def most_sounds(self) -> int:
        """Most texts of a document with their sound; 0 for a dataset without sound."""
        return max((totals.most_sounds for totals in self.splits.values()), default=0)

    @property
    def has_items(self) -> bool:
        """Whether a table of items lies beside each shard, as in every dataset of `storyloom/2`."""
        return self.schema_ != "storyloom/1"

    @property
    def beside_shards(self) -> list[str]:
        """Paths of the files that lie beside the shards: tables of items and indexes."""
        return [
            name for shard in self.shards for name in (beside(shard.file) if self.has_items else beside(shard.file)[1:])
        ]

    @property
    def has_codes(self) -> bool:
        """Whether each image has discrete codes beside it."""
        return any(totals.ncodes for totals in self.splits.values())

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


def read_manifest(output: str | os.PathLike[str]) -> Published | None:
    """The manifest in a folder; None when there is none, or when it has another version."""
    try:
        return Published.model_validate_json(manifest_bytes(DataFolder(output)), strict=True)
    except (UsageError, BadDataset, ValidationError):
        return None


def finished_dataset(place: str | os.PathLike[str]) -> Published:
    """The manifest of a finished dataset, in a folder or at a URL.

    Raises:
        UsageError: There is none.
        BadDataset: It is damaged, of another version, or contradicts itself.
    """
    folder = DataFolder(place)
    return parsed_manifest(manifest_bytes(folder), folder.address)


def parsed_manifest(content: bytes, address: str) -> Published:
    """The manifest that a dataset's `manifest.json` holds.

    Raises:
        BadDataset: It is damaged, of another version, or contradicts itself.
    """
    try:
        published = Published.model_validate_json(content, strict=True)
    except ValidationError as error:
        raise bad_manifest(address, broken_rules(error)[0]) from None
    if flaw := names_flaw(published) or shards_flaw(published.shards) or _splits_flaw(published):
        raise bad_manifest(address, flaw)
    return published


def manifest_bytes(folder: DataFolder) -> bytes:
    """The content of a dataset's manifest.

    Raises:
        UsageError: There is none.
        BadDataset: It cannot be read, or is too large.
    """
    (content,) = folder.read([ByteRange(MANIFEST)])
    if isinstance(content, FileNotFoundError | NotADirectoryError):
        raise UsageError(f"{folder.address} holds no finished dataset: {_instead(folder.address)}") from None
    if isinstance(content, Exception):
        address = f"{folder.address}/{MANIFEST}"
        way_out = f". {SERVER}." if is_of_server(address, content) else ""
        raise BadDataset(
            without_secrets(f"{address} cannot be read: {printable(folder.why(content))}{way_out}")
        ) from None
    if flaw := values_flaw(content):
        raise bad_manifest(folder.address, flaw)
    return content


class _Hashed(BaseModel):
    file: str
    sha256: str


class _Hashes(BaseModel):
    shards: list[_Hashed]


def shard_hashes(folder: DataFolder) -> dict[str, str]:
    """SHA-256 of each shard by its path, as a dataset's manifest says now.

    Raises:
        UsageError: There is none.
        BadDataset: It cannot be read, or is damaged.
    """
    try:
        found = _Hashes.model_validate_json(manifest_bytes(folder))
    except ValidationError as error:
        raise bad_manifest(folder.address, broken_rules(error)[0]) from None
    return {shard.file: shard.sha256 for shard in found.shards}


def _instead(address: str) -> str:
    """What is there instead of a dataset, with the way to it."""
    place, its = Path(address), "give the folder that the config names as `output`"
    if "://" not in address and not place.exists():
        return "there is no such folder"
    if place.is_file():
        return f"it is a file; {its}"
    if (place / "plan").is_dir() and (place / "manifests").is_dir():
        return f"it is a work folder; {its}"
    return f"there is no {MANIFEST} in it"


def values_flaw(content: bytes) -> str:
    """Whether a manifest holds more values than a machine's memory; empty when it does not."""
    values = sum(map(content.count, (b",", b"[", b"{")))
    return f"it has {values} values, more than {MOST_VALUES}" if values > MOST_VALUES else ""


def names_flaw(published: Published) -> str:
    """Whether a manifest counts more names than a machine's patience; empty when it does not."""
    counts = (*published.shards, *published.splits.values())
    tables = ("languages", "licenses", "fuse_statuses", "image_sizes")
    most = max((len(getattr(one, table)) for one in counts for table in tables), default=0)
    return f"it counts {most} names of a kind, more than {MOST_NAMES}" if most > MOST_NAMES else ""


def bad_manifest(address: str, flaw: str) -> BadDataset:
    """The error of a manifest that is damaged, or no such thing."""
    way_out = "If it is yours, `storyloom run` with its config writes it again: what is up to date is kept"
    return BadDataset(
        f"{address}/{MANIFEST} is damaged or of another version of storyloom: {printable(flaw)}. {way_out}."
    )


def broken_rules(error: ValidationError, most: int = 1) -> list[str]:
    """The first rules that a manifest breaks, each with its place."""
    if error.error_count() > MANY_ERRORS:  # pydantic would make an object of each
        return [f"{error.error_count()} values break a rule"]
    found = error.errors(include_url=False, include_input=False, include_context=False)[:most]
    places = [".".join(str(step) for step in one["loc"]) for one in found]
    return [f"{place}: {one['msg']}" if place else one["msg"] for place, one in zip(places, found, strict=True)]


class Listed(Protocol):
    """The fields of a manifest's entry that say where its shard lies."""

    @property
    def split(self) -> str:
        """Which part of the dataset it belongs to."""

    @property
    def file(self) -> str:
        """Its path relative to the dataset's folder."""


def shards_flaw(shards: Iterable[Listed]) -> str:
    """What is wrong with a manifest's list of shards; empty when nothing is. Whoever opens them looks here first."""
    seen: set[str] = set()
    for shard in shards:
        if not PUBLISHED.fullmatch(shard.file) or not shard.file.startswith(f"data/{shard.split}/"):
            return f"shards: {shard.file!r} is no data/{shard.split}/shard-NNNNNN.tar"
        if shard.file in seen:
            return f"shards: {shard.file!r} is listed twice"
        seen.add(shard.file)
    return "" if seen else "shards: there is none"


def _splits_flaw(published: Published) -> str:
    for split in SPLITS:
        shards, stated = published.of(split), published.splits.get(split)
        if (stated is None) != (not shards):
            return f"splits: {split} has {len(shards)} shards"
        for name in ("nsamples", "nimages", "filesize"):
            if stated and getattr(stated, name) != sum(getattr(shard, name) for shard in shards):
                return f"splits: {name} of {split} is not the sum of its shards"
    return ""


def _totals(shards: Sequence[Shard]) -> Totals:
    filesize = sum(shard.filesize for shard in shards)
    return Totals(nshards=len(shards), filesize=filesize, **Counts.total(shards).counted())
