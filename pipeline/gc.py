"""Garbage collection of a work folder: units of other keys, old plans and manifests, unused media."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import RunConfig
from pipeline.plan import unused_files
from pipeline.store import Store
from pipeline.workspace import Workspace, survey
from schemas.row import KEY_DIGITS
from storyloom.errors import UsageError

KEY = re.compile(r"[0-9a-f]{16}")
"""A key, which names folders of units, of attempts and of summaries."""

UNIT = re.compile(r"(?P<stem>(?P<name>(part|group)-[0-9a-f-]+)\.[0-9a-f]{16})(\.[\w-]+\.parquet|\.json)?$")
"""The name of a unit's file or folder."""

MEDIA = re.compile(r"[0-9a-f]{20}\b")
"""The beginning of the name of a media file: the video's key, or one that clips share."""

Folder = tuple[str, str]
"""A stage's name and key: its folder of units."""


@dataclass(frozen=True)
class Item:
    """A file or folder that nothing reads, and its size in bytes."""

    path: Path
    bytes: int


def collect(configs: Sequence[RunConfig]) -> dict[str, list[Item]]:
    """Files and folders that none of the configs reads, by kind. Nothing is removed.

    The configs read: their units with the current inputs and keys, the plan's files with slots of theirs, the current
    manifest, and the media of the videos in it. Units of stages with another key go; of the others only those that
    were superseded: where a unit is not done, its earlier files stay. What the program did not make stays.

    Raises:
        UsageError: The configs use different work folders, or one cannot be used.
    """
    workspaces = [survey(one) for config in configs for one in (config, _whole(config))]
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


def _whole(config: RunConfig) -> RunConfig:
    """A config without its limit: a look at some videos is no reason to forget the others."""
    return config.model_copy(update={"parts": config.parts.model_copy(update={"limit": 0, "sample": 1.0})})


def remove(found: Mapping[str, Sequence[Item]]) -> None:
    """Remove the items that `collect` found, marks before their units."""
    for items in found.values():
        for item in sorted(items, key=lambda item: (item.path.suffix != ".json", item.path)):
            if item.path.is_dir() and not item.path.is_symlink():
                shutil.rmtree(item.path, ignore_errors=True)
            else:
                item.path.unlink(missing_ok=True)


def _units(store: Store, workspaces: Sequence[Workspace]) -> Iterator[Item]:
    wanted: dict[Folder, set[str]] = {}
    waiting: dict[Folder, set[str]] = {}
    for workspace in workspaces:
        for name, key in workspace.job.keys.items():
            kind = "group" if name in workspace.graph.group_stages else "part"
            done = workspace.done(name)
            wanted.setdefault((name, key.key), set()).update(address.stem for address in done.values())
            not_done = {f"{kind}-{unit}" for unit in workspace.units(name) if unit not in done}
            waiting.setdefault((name, key.key), set()).update(not_done)
    for description in sorted(store.work.glob("*/*/stage.json")):
        folder = description.parent
        place = folder.parent.name, folder.name
        if place in wanted:
            yield from _unread(folder, wanted[place], waiting[place])
        elif KEY.fullmatch(folder.name):
            yield _item(folder)


def _unread(folder: Path, wanted: set[str], waiting: set[str]) -> Iterator[Item]:
    """Files of units that were superseded; of a unit that waits, e.g. for a disk, all files may still be right."""
    for path in sorted(folder.iterdir()):
        unit = UNIT.match(path.name)
        if unit and unit["stem"] not in wanted and unit["name"] not in waiting:
            yield _item(path)


def _lists(store: Store, workspaces: Sequence[Workspace]) -> Iterator[Item]:
    yield from map(_item, unused_files(store.plan, [workspace.plan for workspace in workspaces]))
    now = {workspace.lines.name for workspace in workspaces}
    for file in sorted(store.manifests.glob("*.parquet")):
        if KEY.fullmatch(file.stem) and file.name not in now:
            yield _item(file)


def _media(store: Store, workspaces: Sequence[Workspace]) -> Iterator[Item]:
    videos = {video for workspace in workspaces for members in workspace.plan.videos for video in members}
    videos |= {line.media_name for workspace in workspaces for line in workspace.lines.clips()}
    for path in sorted(store.media.glob("??/*")):
        if MEDIA.match(path.name) and path.name[:KEY_DIGITS] not in videos:
            yield _item(path)


def _notes(store: Store, workspaces: Sequence[Workspace]) -> Iterator[Item]:
    keys = {(name, key.key) for workspace in workspaces for name, key in workspace.job.keys.items()}
    for root in (store.attempts, store.summaries):
        for path in sorted(root.glob("*/*")):
            key = path.name.partition(".")[0]
            if KEY.fullmatch(key) and (path.parent.name, key) not in keys:
                yield _item(path)


def _item(path: Path) -> Item:
    if path.is_symlink() or not path.is_dir():
        return Item(path, path.lstat().st_size)
    return Item(path, sum(file.lstat().st_size for file in path.rglob("*") if not file.is_dir()))
