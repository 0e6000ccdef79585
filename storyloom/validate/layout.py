"""The files of a dataset's folder: which are missing, and which should not be there."""

from __future__ import annotations

import re
from pathlib import Path

from storyloom.errors import UsageError
from storyloom.format.layout import MARKER, SHARD_FILE
from storyloom.format.manifest import MANIFEST
from storyloom.format.shard import SPLITS
from storyloom.fs.atomic import TEMPORARY_SUFFIX
from storyloom.fs.within import is_folder
from storyloom.validate.violation import Violations

WIDS_FILE = re.compile(r"wids-(.*)\.json")


def find_shards(folder: Path, violations: Violations) -> list[str]:
    """Paths of the shards within a dataset, training shards first, in order; extra files are reported.

    Raises:
        UsageError: The folder is not a dataset.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; give the folder of a finished dataset, with manifest.json in it")
    data = folder / "data"
    if data.is_symlink():
        violations.add("data", "unreadable", "it is a link, which is not followed")
    if not data.is_dir() and not (folder / MANIFEST).exists():
        raise UsageError(f"{folder} holds no dataset: there is neither manifest.json nor data/ in it")
    shards: list[str] = []
    for split in SPLITS:
        if is_folder(data) and is_folder(data / split):
            found = _shards_of(folder, split, violations)
            _check_numbers(split, found, violations)
            shards += found
    for entry in _entries(folder, data, violations):
        if entry.name not in SPLITS or not is_folder(entry):
            _surplus(folder, entry, f"data/ holds folders named {' and '.join(SPLITS)} only", violations)
    if not shards:
        violations.add("data", "no_shards", "there is no data/SPLIT/shard-NNNNNN.tar")
    _check_top(folder, shards, violations)
    return shards


def _shards_of(folder: Path, split: str, violations: Violations) -> list[str]:
    entries = _entries(folder, folder / "data" / split, violations)
    names = {entry.name for entry in entries}
    shards = []
    for entry in entries:
        if SHARD_FILE.fullmatch(entry.name) and entry.suffix == ".tar":
            shards.append(f"data/{split}/{entry.name}")
        elif SHARD_FILE.fullmatch(entry.name):
            if entry.stem not in names:
                _surplus(folder, entry, "an index without its shard", violations)
        elif entry.name != "sizes.json":
            _surplus(folder, entry, "neither a shard, nor a shard's index, nor sizes.json", violations)
    if not shards:
        violations.add(f"data/{split}", "surplus_file", "a split without a shard has no folder")
    return shards


def _check_numbers(split: str, shards: list[str], violations: Violations) -> None:
    for number, shard in enumerate(shards):
        wanted = f"data/{split}/shard-{number:06d}.tar"
        if shard != wanted:
            violations.add(shard, "shard_numbers", f"the split's shard number {number} must be {wanted}")
            return


def _check_top(folder: Path, shards: list[str], violations: Violations) -> None:
    """Check the files beside `data/`. Foreign files may be there; ours must not be stale or unfinished."""
    splits = {Path(shard).parent.name for shard in shards}
    for entry in _entries(folder, folder, violations):
        wids = WIDS_FILE.fullmatch(entry.name)
        if entry.name == MARKER:
            violations.add(entry.name, "leftover", "a run began to write this folder and did not end: run it again")
        elif entry.name.endswith(TEMPORARY_SUFFIX) or (wids and wids[1] not in splits):
            _surplus(folder, entry, "an index of a split that has no shard", violations)
    for entry in _entries(folder, folder / ".nv-meta", violations):
        if entry.name.endswith(TEMPORARY_SUFFIX):
            _surplus(folder, entry, "", violations)


def _entries(folder: Path, place: Path, violations: Violations) -> list[Path]:
    """What lies in a folder of the dataset; nothing where it is a link or missing."""
    try:
        return sorted(place.iterdir()) if place == folder or is_folder(place) else []
    except OSError as reason:
        violations.add(str(place.relative_to(folder)), "unreadable", str(reason))
        return []


def _surplus(folder: Path, entry: Path, message: str, violations: Violations) -> None:
    if entry.name.endswith(TEMPORARY_SUFFIX):
        message = "an unfinished file of a writer that was stopped"
        violations.add(str(entry.relative_to(folder)), "leftover", message)
    else:
        violations.add(str(entry.relative_to(folder)), "surplus_file", message)
