"""Finished datasets that break one rule: a good one is changed, and what depends on the change is made to agree."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from storyloom.card.card import card
from storyloom.card.croissant import croissant
from storyloom.card.indexes import as_json, index_files
from storyloom.format.items import Items, write_items
from storyloom.format.layout import items_of
from storyloom.format.manifest import Published, describe, read_manifest
from storyloom.format.sample import Sample
from storyloom.format.tar import index_bytes, member, trailer
from storyloom.validate.dataset import validate_dataset
from storyloom.validate.report import ValidationReport
from storyloom.validate.spread import in_this_process
from tests.documents import read_shard

SHARD = "data/train/shard-000000.tar"
"""The shard that is damaged."""

Member = tuple[str, bytes]
Found = list[tuple[str, str, str]]


def found(report: ValidationReport) -> Found:
    """File, key and rule of every violation."""
    return [(one.file, one.key, one.rule) for one in report.violations.kept]


def check(folder: Path, *, deep: bool = False) -> Found:
    """What is wrong with a dataset; looked for in this process."""
    return found(validate_dataset(folder, deep=deep, spread=in_this_process))


def members(folder: Path, file: str = SHARD) -> list[Member]:
    """Name and content of a shard's members."""
    return list(read_shard(folder / file).items())


def first_key(folder: Path, file: str = SHARD) -> str:
    return members(folder, file)[0][0].partition(".")[0]


def write_members(folder: Path, wanted: Sequence[Member], file: str = SHARD) -> None:
    """Make a shard of these members, with its index, and have the dataset's files agree with it."""
    parts = [(name, member(name, data)) for name, data in wanted]
    write_raw(folder, b"".join(part for _, part in parts), file)
    runs = groupby(parts, key=lambda part: part[0].partition(".")[0])
    sizes = [sum(len(data) for _, data in run) for _, run in runs]
    (folder / file).with_suffix(".tar.idx").write_bytes(index_bytes(sizes))
    write_table(folder, [_row(name, data) for name, data in wanted if name.endswith(".json")], file)
    reseal(folder)


def write_table(folder: Path, rows: Sequence[Items], file: str = SHARD) -> None:
    """Write a shard's table of items anew; the file may be linked elsewhere."""
    path = items_of(folder / file)
    path.unlink(missing_ok=True)
    with path.open("wb") as table:
        write_items(table, rows)


def _row(name: str, document: bytes) -> Items:
    """The row of a document; of one that breaks a rule its key alone, which is all that is looked at."""
    try:
        return replace(Items.of(Sample.model_validate_json(document)), key=name.partition(".")[0])
    except ValidationError:
        return Items(name.partition(".")[0], [], [], [], [])


def write_raw(folder: Path, content: bytes, file: str = SHARD, end: bytes | None = None) -> None:
    """Write a shard's bytes, and its trailer; a shard may be linked elsewhere, so it is made anew."""
    (folder / file).unlink()
    (folder / file).write_bytes(content + (trailer(len(content)) if end is None else end))


def edit_bytes(folder: Path, change: Callable[[bytearray], bytes | bytearray | None], file: str = SHARD) -> None:
    """Change bytes of a shard and have the manifest agree with their hash."""
    content = bytearray((folder / file).read_bytes())
    changed = change(content)
    write_raw(folder, bytes(content if changed is None else changed), file, b"")
    reseal(folder)


def edit_header(folder: Path, place: slice, value: bytes, *, number: int = 0, file: str = SHARD) -> None:
    """Overwrite a field of a member's header, with a right checksum."""

    def change(content: bytearray) -> None:
        offset = sum(512 + len(data) + -len(data) % 512 for _, data in members(folder, file)[:number])
        header = content[offset : offset + 512]
        header[place] = value.ljust(place.stop - place.start, b"\0")
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        content[offset : offset + 512] = header

    edit_bytes(folder, change, file)


def edit_document(folder: Path, change: Callable[[dict[str, Any]], object], file: str = SHARD) -> str:
    """Change the first document of the shard; returns its key."""
    key = first_key(folder, file)
    document = json.loads(dict(members(folder, file))[f"{key}.json"])
    change(document)
    return replace_document(folder, as_canonical(document), file)


def replace_document(folder: Path, content: bytes, file: str = SHARD) -> str:
    """Put other bytes in the place of the shard's first document; returns its key."""
    key = first_key(folder, file)
    wanted = [(name, content if name == f"{key}.json" else data) for name, data in members(folder, file)]
    write_members(folder, wanted, file)
    return key


def as_canonical(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def reseal(folder: Path) -> None:
    """Write manifest, indexes and card anew, so that they agree with the shards' bytes; counts stay."""
    before = manifest(folder)
    shards = []
    for shard in before.shards:
        content = (folder / shard.file).read_bytes()
        hashes = {"sha256": hashlib.sha256(content).hexdigest(), "md5sum": hashlib.md5(content).hexdigest()}
        table = items_of(folder / shard.file)
        if table.is_file():
            hashes["items_sha256"] = hashlib.sha256(table.read_bytes()).hexdigest()
        new = {"filesize": len(content), **hashes}
        shards.append(shard.model_copy(update=new))
    write_files(folder, describe(before.name, before.max_images, shards, before.provenance))


def manifest(folder: Path) -> Published:
    published = read_manifest(folder)
    assert published is not None
    return published


def write_files(folder: Path, published: Published) -> None:
    """Write the manifest, and every file that follows from it."""
    files = {
        **index_files(published),
        "croissant.json": as_json(croissant(published, "")),
        "README.md": card(published).encode(),
        "manifest.json": as_json(published.model_dump(mode="json", by_alias=True)),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
