"""The places of a run: work folder, output and manifest keep out of each other's way."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.config import RunConfig
from storyloom.errors import UsageError
from storyloom.fs.place import usual
from storyloom.fs.url import local_path, redacted, scheme_of


def check_places(config: RunConfig) -> None:
    """Refuse places that would eat each other. Links are resolved, and names that mean one folder are one.

    Work and output within the manifest's folder are fine: they are left out of it.

    Raises:
        UsageError: Work and output are the same or within each other, or the manifest's folder is within one of them.
    """
    try:
        given = config.manifest if scheme_of(config.manifest) != "file" else str(local_path(config.manifest))
    except ValueError as reason:  # a file of another machine
        raise UsageError(str(reason)) from reason
    work, output, manifest = (_absolute(place) for place in (config.work, config.output, given))
    for inner, outer, what in ((output, work, "output lies in work"), (work, output, "work lies in output")):
        if _within(inner, outer):
            raise UsageError(f"{what} ({inner}, {outer}): choose folders beside each other; nothing was changed")
    for place, name in ((work, "work"), (output, "output")):
        if (given.endswith("/") or Path(manifest).is_dir()) and _within(manifest, place):
            raise UsageError(f"the manifest's folder {manifest} lies in {name} ({place}): choose another `{name}`")


def _absolute(place: str) -> str:
    if "://" in place:
        return usual(redacted(place)).rstrip("/")
    return os.path.realpath(os.path.expanduser(place))  # noqa: PTH111 - an unknown user's home stays a name


def _within(inner: str, outer: str) -> bool:
    """Whether a place is another, or below it; on a disk also by names that differ in case, or a mount."""
    if "://" in inner or "://" in outer:
        return f"{inner}/".startswith(f"{outer}/")
    path = Path(inner)
    if path.is_relative_to(outer):
        return True
    try:
        sought = Path(outer).stat()
    except OSError:
        return False
    return any(os.path.samestat(folder.stat(), sought) for folder in (path, *path.parents) if folder.exists())
