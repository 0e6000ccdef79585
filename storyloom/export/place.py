"""The destination folder of an export: it appears whole, and replaces nothing but an earlier export."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from storyloom.errors import UsageError
from storyloom.fs.atomic import sync_folder, temporary

RECORD = "export.json"
"""File in every export: describes the export and lists the names that belong to it."""

RECORD_SCHEMA = "storyloom-export/1"


class DestinationTaken(UsageError):
    """The destination holds something that an export may not replace."""


def earlier_export(dest: Path) -> dict[str, Any] | None:
    """The record of the export in `dest`; None where there is nothing to replace.

    Raises:
        DestinationTaken: It holds something else, or something besides the export.
    """
    if not dest.exists():
        return None
    if not dest.is_dir():
        raise DestinationTaken(f"{dest} is a file. Name a folder for the export; nothing was changed.")
    names = {path.name for path in dest.iterdir()}
    if not names:
        return None
    record = _record(dest)
    if record is None:
        message = f"{dest} is not empty, and `storyloom export` did not write what is in it."
        raise DestinationTaken(f"{message} Choose another folder, or empty it; nothing was changed.")
    if strangers := sorted(names - set(record["entries"])):
        message = (
            f"{dest} holds an earlier export, but also {', '.join(strangers[:3])}, which replacing it would remove."
        )
        raise DestinationTaken(f"{message} Move that away, or choose another folder; nothing was changed.")
    return record


def _record(dest: Path) -> dict[str, Any] | None:
    try:
        record = json.loads((dest / RECORD).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    ours = isinstance(record, dict) and record.get("schema") == RECORD_SCHEMA
    entries = record.get("entries") if ours else None
    return record if isinstance(entries, list) and all(isinstance(name, str) for name in entries) else None


def as_record(folder: Path, entries: dict[str, Any]) -> bytes:
    """The content of `export.json` for a folder that is otherwise complete."""
    names = sorted([*(path.name for path in folder.iterdir()), RECORD])
    value = {"schema": RECORD_SCHEMA, **entries, "entries": names}
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


@contextmanager
def replacing_folder(dest: Path) -> Iterator[Path]:
    """Yield an empty folder beside `dest`; when the block ends well, it becomes `dest`, and what was there is removed.

    An exception leaves `dest` as it was and nothing beside it.

    Raises:
        UsageError: No folder can be made there.
        DestinationTaken: Another process wrote into `dest` meanwhile.
    """
    unfinished = temporary(dest)
    try:
        unfinished.mkdir(parents=True)
    except OSError as reason:
        raise UsageError(f"no folder can be made at {dest}: {reason.strerror or reason}; name another") from reason
    try:
        yield unfinished
        earlier_export(dest)
        _swap(unfinished, dest)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _swap(unfinished: Path, dest: Path) -> None:
    before = temporary(dest)
    if dest.exists():
        dest.rename(before)
    try:
        unfinished.rename(dest)
    except BaseException:
        if before.exists():
            before.rename(dest)
        raise
    sync_folder(dest.parent)
    shutil.rmtree(before, ignore_errors=True)
