"""The destination folder of an export: it appears whole, and replaces nothing but an earlier export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from storyloom.errors import UsageError
from storyloom.fs.files import Files, files_at

RECORD = "export.json"
"""File in every export: describes the export and lists the names that belong to it."""

RECORD_SCHEMA = "storyloom-export/1"


class DestinationTaken(UsageError):
    """The destination holds something that an export may not replace."""


def earlier_export(dest: str) -> dict[str, Any] | None:
    """The record of the export in a folder, by path or URL; None where there is nothing to replace.

    Raises:
        DestinationTaken: It holds something else, or something besides the export.
    """
    above, name = _split(dest)
    if above.entry(name) is not None:
        raise DestinationTaken(f"{dest} is a file. Name a folder for the export; nothing was changed.")
    names = _names(above, name)
    if not names:
        return None
    record = _record(above, name)
    if record is None:
        message = f"{dest} is not empty, and `storyloom export` did not write what is in it."
        raise DestinationTaken(f"{message} Choose another folder, or empty it; nothing was changed.")
    if strangers := sorted(names - set(record["entries"])):
        message = (
            f"{dest} holds an earlier export, but also {', '.join(strangers[:3])}, which replacing it would remove."
        )
        raise DestinationTaken(f"{message} Move that away, or choose another folder; nothing was changed.")
    return record


def _split(dest: str) -> tuple[Files, str]:
    """The folder above a folder, and its name in it."""
    above, _, name = dest.rpartition("/")
    return files_at(above or "/"), name


def _names(above: Files, name: str) -> set[str]:
    found = [*(entry.name for entry in above.entries(name)), *above.folders(name)]
    return {one.rpartition("/")[2] for one in found}


def _record(above: Files, name: str) -> dict[str, Any] | None:
    try:
        record = json.loads(above.read(f"{name}/{RECORD}"))
    except (FileNotFoundError, IsADirectoryError, ValueError, RecursionError):
        return None
    ours = isinstance(record, dict) and record.get("schema") == RECORD_SCHEMA
    entries = record.get("entries") if ours else None
    return record if isinstance(entries, list) and all(isinstance(one, str) for one in entries) else None


def as_record(folder: Path, entries: dict[str, Any]) -> bytes:
    """The content of `export.json` for a folder that is otherwise complete."""
    names = sorted([*(path.name for path in folder.iterdir()), RECORD])
    value = {"schema": RECORD_SCHEMA, **entries, "entries": names}
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


@contextmanager
def replacing_folder(dest: str) -> Iterator[Path]:
    """Yield an empty folder; when the block ends well, its files become `dest`, and what was there is removed.

    An exception leaves `dest` as it was and nothing beside it. In a store the files come one by one, and meanwhile the
    record says that the export is unfinished; the next one may replace it.

    Args:
        dest: Path or URL of a folder.

    Raises:
        UsageError: No folder can be made there.
        DestinationTaken: Another process wrote into `dest` meanwhile.
    """
    above, name = _split(dest)
    with ExitStack() as stack:
        try:
            unfinished = stack.enter_context(above.scratch())
        except OSError as reason:
            raise UsageError(f"no folder can be made at {dest}: {reason.strerror or reason}; name another") from reason
        yield unfinished
        earlier_export(dest)
        names = _names(above, name) | {path.name for path in unfinished.iterdir()}
        begun = {"schema": RECORD_SCHEMA, "unfinished": True, "entries": sorted(names)}
        above.replace_folder(name, unfinished, RECORD, json.dumps(begun).encode())
