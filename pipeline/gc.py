"""Garbage collection of a work folder: units of other keys, old plans and manifests, unused media."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import RunConfig
from pipeline.plan import unused_files
from pipeline.store import Store
from pipeline.workspace import Workspace, survey
from storyloom.errors import UsageError
from storyloom.fs.atomic import TEMPORARY_SUFFIX

RESTS = "rests"
"""Folder of shards that were merged from groups' rests."""

NOT_STAGES = frozenset({"plan", "manifests", "media", "summaries", "attempts", "profile"})
"""Folders of a work folder that do not belong to a stage."""


@dataclass(frozen=True)
class Item:
    """A file or folder that nothing reads, and its size in bytes."""

    path: Path
    bytes: int


def collect(configs: Sequence[RunConfig]) -> dict[str, list[Item]]:
    """Files and folders that none of the configs reads, by kind. Nothing is removed.

    The configs read: their units with the current inputs and keys, the plan's files with slots of theirs, the current
    manifest, and the media of the videos in it.

    Raises:
        UsageError: The configs use different work folders, or one cannot be used.
    """
    workspaces = [survey(config) for config in configs]
    folders = {workspace.job.store.work for workspace in workspaces}
    if len(folders) != 1:
        raise UsageError(f"the configs use different work folders: {', '.join(sorted(map(str, folders)))}")
    store = workspaces[0].job.store
    return {
        "units": list(_units(store, workspaces)),
        "plans and manifests": list(_lists(store, workspaces)),
        "media": list(_media(store, workspaces)),
        "attempts and profiles": list(_notes(store, workspaces)),
    }


def remove(found: Mapping[str, Sequence[Item]]) -> None:
    """Remove the items that `collect` found, marks before their units."""
    for items in found.values():
        for item in sorted(items, key=lambda item: (item.path.suffix != ".json", item.path)):
            if item.path.is_dir() and not item.path.is_symlink():
                shutil.rmtree(item.path, ignore_errors=True)
            else:
                item.path.unlink(missing_ok=True)


def _units(store: Store, workspaces: Sequence[Workspace]) -> Iterator[Item]:
    wanted: dict[tuple[str, str], set[str]] = {}
    for workspace in workspaces:
        for name, key in workspace.job.keys.items():
            stems = {address.stem for address in workspace.done(name).values()}
            wanted.setdefault((name, key.key), set()).update(stems)
    if not store.work.is_dir():
        return
    for stage in sorted(folder for folder in store.work.iterdir() if folder.is_dir() and folder.name not in NOT_STAGES):
        for folder in sorted(stage.iterdir()):
            if (stage.name, folder.name) not in wanted:
                yield _item(folder)
                continue
            for path in sorted(folder.iterdir()):
                unit, _, rest = path.name.partition(".")
                stem = f"{unit}.{rest.partition('.')[0]}"
                if path.name == RESTS:  # merged again on publishing
                    yield _item(path)
                ours = unit.startswith(("part-", "group-")) and not path.name.endswith(TEMPORARY_SUFFIX)
                if ours and stem not in wanted[stage.name, folder.name]:
                    yield _item(path)


def _lists(store: Store, workspaces: Sequence[Workspace]) -> Iterator[Item]:
    yield from map(_item, unused_files(store.plan, [workspace.plan for workspace in workspaces]))
    now = {workspace.lines.name for workspace in workspaces}
    yield from (_item(file) for file in sorted(store.manifests.glob("*.parquet")) if file.name not in now)


def _media(store: Store, workspaces: Sequence[Workspace]) -> Iterator[Item]:
    videos = {video for workspace in workspaces for members in workspace.plan.videos for video in members}
    for path in sorted(store.media.glob("??/*")):
        if path.name[:20] not in videos:
            yield _item(path)


def _notes(store: Store, workspaces: Sequence[Workspace]) -> Iterator[Item]:
    keys = {(name, key.key) for workspace in workspaces for name, key in workspace.job.keys.items()}
    for root in (store.attempts, store.summaries):
        for path in sorted(root.glob("*/*")):
            if path.parent.name != "processes" and (path.parent.name, path.name.partition(".")[0]) not in keys:
                yield _item(path)


def _item(path: Path) -> Item:
    if path.is_symlink() or not path.is_dir():
        return Item(path, path.lstat().st_size)
    return Item(path, sum(file.lstat().st_size for file in path.rglob("*") if not file.is_dir()))
