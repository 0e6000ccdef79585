"""The places of a run: work folder, output and manifest keep out of each other's way."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pipeline.config import RunConfig
from storyloom.errors import UsageError
from storyloom.fs.url import local_path


def check_places(config: RunConfig) -> None:
    """Refuse places that would eat each other. Links are resolved, and names that mean one folder are one.

    Work and output within the manifest's folder are fine: they are left out of it.

    Raises:
        UsageError: Work and output are the same or within each other, or the manifest's folder is within one of them.
    """
    try:
        given = str(local_path(config.manifest))
    except ValueError as reason:  # a file of another machine
        raise UsageError(str(reason)) from reason
    work, output, manifest = (_absolute(place) for place in (config.work, config.output, given))
    for inner, outer, what in ((output, work, "output lies in work"), (work, output, "work lies in output")):
        if _within(inner, outer):
            raise UsageError(f"{what} ({inner}, {outer}): choose folders beside each other; nothing was changed")
    for place, name in ((work, "work"), (output, "output")):
        if manifest.is_dir() and _within(manifest, place):
            raise UsageError(f"the manifest's folder {manifest} lies in {name} ({place}): choose another `{name}`")


def writable_problem(folder: Path, setting: str, *, by_trying: bool = True) -> str:
    """Why a folder of a setting, or the one that it will be made in, cannot be written; empty if it can.

    Args:
        folder: An absolute path.
        setting: The setting's name.
        by_trying: Whether something is written, of which nothing stays; otherwise permissions are looked at.
    """
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not by_trying:
        return "" if os.access(there, os.W_OK) else f"{there} cannot be written: choose another `{setting}`"
    try:
        with tempfile.TemporaryFile(dir=there):
            return ""
    except OSError as reason:
        return f"{there} cannot be written ({reason}): choose another `{setting}`"


def _absolute(place: str) -> Path:
    return Path(os.path.realpath(os.path.expanduser(place)))  # noqa: PTH111 - an unknown user's home stays a name


def _within(inner: Path, outer: Path) -> bool:
    """Whether a place is another, or below it; also by names that differ in case, or a mount."""
    if inner.is_relative_to(outer):
        return True
    try:
        sought = outer.stat()
    except OSError:
        return False
    return any(os.path.samestat(folder.stat(), sought) for folder in (inner, *inner.parents) if folder.exists())
