"""Validation of a whole dataset: its shards, then its files against each other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from storyloom.errors import BadDataset
from storyloom.format.layout import beside
from storyloom.format.manifest import MANIFEST, Published
from storyloom.fs.folder import DataFolder
from storyloom.fs.place import absolute
from storyloom.fs.remote import Stated
from storyloom.validate.indexes import check_indexes, check_syntax
from storyloom.validate.layout import find_shards
from storyloom.validate.manifest import check_manifest, load_manifest
from storyloom.validate.report import OnShard, ValidationReport
from storyloom.validate.result import ShardFacts, ShardTask
from storyloom.validate.spread import Spread, over_processes
from storyloom.validate.unique import Places, report_repeated
from storyloom.validate.violation import Violations


def validate_dataset(
    place: str | os.PathLike[str],
    *,
    deep: bool = False,
    spread: Spread = over_processes,
    on_shard: OnShard = lambda _done, _of: None,
) -> ValidationReport:
    """Check every rule of docs/format.md. Each shard is read once; memory does not grow with the number of documents.

    Args:
        place: Folder of the dataset, or its URL.
        deep: Decode every image, too.
        spread: Distributes the shards over processes.
        on_shard: Called with the progress.

    Raises:
        UsageError: The folder is not a dataset.
        BadDataset: A store fails or refuses; or the dataset was replaced while it was read.
    """
    place = absolute(os.fspath(place))
    folder = DataFolder(place)
    about_files, about_shards = Violations(), Violations()
    before = _version(folder)
    published = load_manifest(folder, about_files)
    files = find_shards(folder, published, about_files)
    stated = _stated(published) if published else {}
    has_items = published is None or published.has_items
    tasks = [ShardTask(place, file, number, stated, deep) for number, file in enumerate(files)]
    facts: dict[str, ShardFacts] = {}
    with Places() as keys, Places() as videos:
        for done, result in enumerate(spread(tasks), 1):
            about_shards.extend(result.violations)
            if result.facts:
                facts[result.file] = result.facts
            keys.add(result.keys)
            videos.add(result.videos)
            on_shard(done, len(tasks))
        report_repeated(keys, videos, folder, files, about_shards)
        nvideos = videos.distinct()
    if published:
        check_manifest(published, files, facts, nvideos, about_files)
        indexes = check_indexes(folder, published, about_files)
    else:
        splits = list(dict.fromkeys(Path(file).parent.name for file in files))
        indexes = check_syntax(folder, splits, about_files)
    if _version(folder) != before:
        raise BadDataset(f"{folder.address} was replaced, or began to be, while it was checked: check it again")
    about_shards.extend(about_files)
    shard_files = [name for file in files for name in (file, *beside(file)[0 if has_items else 1 :])]
    return ValidationReport(
        dataset=folder.address,
        deep=deep,
        shards=len(files),
        documents=sum(one.nsamples for one in facts.values()),
        images=sum(one.nimages for one in facts.values()),
        bytes_read=sum(one.filesize for one in facts.values()),
        files=list(dict.fromkeys([*shard_files, MANIFEST, *indexes, *(file for file, _ in about_shards.counts)])),
        violations=about_shards,
    )


def _stated(published: Published) -> dict[str, Any]:
    """What a manifest says of every document."""
    return {
        "max_images": published.max_images,
        "schema": published.schema_,
        "has_sound": published.most_sounds > 0,
        "has_codes": published.has_codes,
    }


def _version(folder: DataFolder) -> Stated | None:
    """What another dataset in the place of this one has otherwise; None where it has no manifest that can be read."""
    try:
        return folder.stated(MANIFEST)
    except OSError:
        return None
