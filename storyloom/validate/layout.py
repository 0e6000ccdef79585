"""The files of a dataset's folder: which are missing, and which should not be there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from storyloom.errors import BadDataset, UsageError, printable
from storyloom.format.layout import MARKER, SHARD_FILE
from storyloom.format.manifest import MANIFEST, Published, manifest_bytes
from storyloom.format.shard import SPLITS
from storyloom.fs.atomic import TEMPORARY_SUFFIX
from storyloom.fs.failure import SERVER
from storyloom.fs.folder import DataFolder, Kind
from storyloom.validate.violation import Violations

WIDS_FILE = re.compile(r"wids-(.*)\.json")


def find_shards(folder: DataFolder, published: Published | None, violations: Violations) -> list[str]:
    """Paths of the shards within a dataset, training shards first, in order; extra files are reported.

    Args:
        folder: The dataset.
        published: Its manifest, if it can be read: a server that lists no files is asked for the shards of that.
        violations: Collects what is wrong.

    Raises:
        UsageError: The folder is not a dataset.
        BadDataset: A store fails or refuses to list it, or a server to give its manifest.
    """
    if not folder.lists:
        manifest_bytes(folder)  # else nothing is there
        return [shard.file for shard in published.shards] if published else []
    top = _top(folder)
    if top.get("data", "folder") == "other":
        violations.add("data", "unreadable", "it is a link, which is not followed")
    if top.get("data") == "file" or not {"data", MANIFEST} & top.keys():
        raise UsageError(f"{folder.address} holds no dataset: there is neither manifest.json nor data/ in it")
    shards: list[str] = []
    data = _names(folder, "data", violations)
    for split in SPLITS:
        if data.get(split) == "folder":
            found = _shards_of(folder, split, violations)
            _check_numbers(split, found, violations)
            shards += found
    for name, kind in data.items():
        if name not in SPLITS or kind != "folder":
            _surplus(f"data/{name}", f"data/ holds folders named {' and '.join(SPLITS)} only", violations)
    if not shards:
        violations.add("data", "no_shards", "there is no data/SPLIT/shard-NNNNNN.tar")
    _check_top(folder, top, shards, violations)
    return shards


def _top(folder: DataFolder) -> Mapping[str, Kind]:
    """What lies in the dataset's folder itself."""
    try:
        return folder.listed()
    except (FileNotFoundError, NotADirectoryError):
        message = f"{folder.address} is not a folder; give the folder of a finished dataset, with manifest.json in it"
        raise UsageError(message) from None
    except OSError as reason:
        way_out = "" if folder.is_here else f". {SERVER}."
        raise BadDataset(f"{folder.address} cannot be listed: {printable(folder.why(reason))}{way_out}") from None


def _shards_of(folder: DataFolder, split: str, violations: Violations) -> list[str]:
    names = _names(folder, f"data/{split}", violations)
    shards = []
    for name in names:
        path = PurePosixPath(f"data/{split}/{name}")
        if SHARD_FILE.fullmatch(name) and path.suffix == ".tar":
            shards.append(str(path))
        elif SHARD_FILE.fullmatch(name):
            if f"{name.partition('.')[0]}.tar" not in names:
                what = "an index" if path.suffix == ".idx" else "a table of items"
                _surplus(str(path), f"{what} without its shard", violations)
        elif name != "sizes.json":
            _surplus(str(path), "neither a shard, nor its index or table, nor sizes.json", violations)
    if not shards:
        violations.add(f"data/{split}", "surplus_file", "a split without a shard has no folder")
    return shards


def _check_numbers(split: str, shards: list[str], violations: Violations) -> None:
    for number, shard in enumerate(shards):
        wanted = f"data/{split}/shard-{number:06d}.tar"
        if shard != wanted:
            violations.add(shard, "shard_numbers", f"the split's shard number {number} must be {wanted}")
            return


def _check_top(folder: DataFolder, top: Mapping[str, Kind], shards: list[str], violations: Violations) -> None:
    """Check the files beside `data/`. Foreign files may be there; ours must not be stale or unfinished."""
    splits = {PurePosixPath(shard).parent.name for shard in shards}
    for name in top:
        wids = WIDS_FILE.fullmatch(name)
        if name == MARKER:
            violations.add(name, "leftover", "a run began to write this folder and did not end: run it again")
        elif name.endswith(TEMPORARY_SUFFIX) or (wids and wids[1] not in splits):
            _surplus(name, "an index of a split that has no shard", violations)
    for name in _names(folder, ".nv-meta", violations):
        if name.endswith(TEMPORARY_SUFFIX):
            _surplus(f".nv-meta/{name}", "", violations)


def _names(folder: DataFolder, place: str, violations: Violations) -> Mapping[str, Kind]:
    """What lies in a folder of the dataset; nothing where it is a link or missing."""
    try:
        return folder.listed(place)
    except OSError as reason:
        violations.add(place, "unreadable", folder.why(reason))
        return {}


def _surplus(file: str, message: str, violations: Violations) -> None:
    if file.endswith(TEMPORARY_SUFFIX):
        violations.add(file, "leftover", "an unfinished file of a writer that was stopped")
    else:
        violations.add(file, "surplus_file", message)
