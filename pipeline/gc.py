"""Garbage collection of a work folder: units of other keys, old plans and manifests, unused media."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from pipeline.config import RunConfig
from pipeline.kept import kept_name
from pipeline.logs.logs import Logs
from pipeline.logs.voids import LOGS, voided
from pipeline.plan import unused_files
from pipeline.store import ANSWERS, ATTEMPTS, DESCRIPTION, MANIFESTS, MEDIA, PLAN, SUMMARIES, Store
from pipeline.workspace import Workspace, survey
from schemas.row import KEY_DIGITS
from storyloom.errors import UsageError
from storyloom.fs.files import Entry, Files, files_at
from storyloom.fs.place import absolute

KEY = re.compile(r"[0-9a-f]{16}")
"""A key, which names folders of units, of attempts and of summaries."""

UNIT = re.compile(
    r"(?P<stem>(?P<name>(part|group)-[0-9a-f-]+)\.[0-9a-f]{16})"
    r"((\.(?P<hash>[0-9a-f]{16}))?(?P<table>\.[\w-]+\.parquet)?|\.json)$"
)
"""The name of a unit's file or folder."""

PART = re.compile(r"[0-9]+-[0-9a-f]+")
"""A part's id, which names the folder of its answers."""

MEDIA_NAME = re.compile(r"[0-9a-f]{20}\b")
"""The beginning of the name of a media file: the video's key, or one that clips share."""

DAY = 86_400.0
"""Seconds after which nobody goes on with what was left unfinished (our choice)."""

Folder = tuple[str, str]
"""A stage's name and key: its folder of units."""


@dataclass(frozen=True)
class Item:
    """A file or folder of the work folder that nothing reads, and its size in bytes."""

    name: str
    bytes: int
    is_folder: bool = False


def collect(configs: Sequence[RunConfig]) -> dict[str, list[Item]]:
    """Files and folders that none of the configs reads, by kind. Nothing is removed.

    The configs read: their units with the current inputs and keys, the plan's files with slots of theirs, the current
    manifest, and the media of the videos in it, and the answers of models in its parts, also those that no stage asks
    for now: they were paid for. Units of stages with another key go; of the others only those that
    were superseded: where a unit is not done, its earlier files stay. What the program did not make stays.

    Raises:
        UsageError: The configs use different work folders, or one cannot be used.
    """
    workspaces = [survey(one) for config in configs for one in (config, _whole(config))]
    folders = {workspace.job.store.address for workspace in workspaces}
    if len(folders) != 1:
        raise UsageError(f"the configs use different work folders: {', '.join(sorted(folders))}")
    store = workspaces[0].job.store
    return {
        "logs": list(_logs(store, workspaces)),
        "units": list(_units(store, workspaces)),
        "plans and manifests": list(_lists(store, workspaces)),
        "media": list(_media(store, workspaces)),
        "answers": list(_answers(store, workspaces)),
        "attempts and profiles": list(_notes(store, workspaces)),
    }


def unfinished(configs: Sequence[RunConfig]) -> list[tuple[Files, Entry]]:
    """What killed writers left unfinished in work and output folders over a `DAY` ago, with the folder of each."""
    folders = dict.fromkeys(absolute(place) for config in configs for place in (config.work, config.output))
    return [(files, entry) for files in map(files_at, folders) for entry in files.unfinished(DAY)]


def _whole(config: RunConfig) -> RunConfig:
    """A config without its limit: a look at some videos is no reason to forget the others."""
    return config.model_copy(update={"parts": config.parts.model_copy(update={"limit": 0, "sample": 1.0})})


def remove(files: Files, found: Mapping[str, Sequence[Item]]) -> None:
    """Remove the items that `collect` found, marks before their units.

    What the logs say of units must not come to hold again once a config wants them again.
    """
    Logs(files).end_killed()
    marks: dict[Folder, list[str]] = {}
    for item in (item for items in found.values() for item in items if item.name.endswith(".json")):
        unit = UNIT.match(item.name.rpartition("/")[2])
        if unit and item.name.count("/") == 2:  # noqa: PLR2004 - WORK/<stage>/<key>/<unit>.<unit key>.json
            stage, key, _ = item.name.split("/")
            marks.setdefault((stage, key), []).append(unit["stem"])
    with ExitStack() as removing:
        for place, stems in marks.items():
            removing.enter_context(voided(files, *place, stems))
        _remove(files, found)


def _remove(files: Files, found: Mapping[str, Sequence[Item]]) -> None:
    for items in found.values():
        for item in sorted(items, key=lambda item: (not item.name.endswith(".json"), item.name)):
            if item.is_folder:
                files.remove_folder(item.name)
            else:
                files.remove(item.name)


def _logs(store: Store, workspaces: Sequence[Workspace]) -> Iterator[Item]:
    """Logs of other keys; they go before the units of which they tell."""
    keys = {(name, key.key) for workspace in workspaces for name, key in workspace.job.keys.items()}
    for stage in store.files.folders(LOGS):
        for folder in store.files.folders(stage):
            if _is_of_others(folder, keys):
                yield _folder(store.files, folder)


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
    for stage in store.files.folders():
        for folder in store.files.folders(stage):
            own = folder.rpartition("/")[2]
            if store.files.entry(f"{folder}/{DESCRIPTION}") is None:
                continue
            if (stage, own) in wanted:
                yield from _unread(store, folder, wanted[stage, own], waiting[stage, own])
            elif KEY.fullmatch(own):
                yield _folder(store.files, folder)


def _unread(store: Store, folder: str, wanted: set[str], waiting: set[str]) -> Iterator[Item]:
    """Files of units that were superseded; of a unit that waits, e.g. for a disk, all files may still be right."""
    alike: dict[tuple[str, str], list[tuple[str, Item]]] = defaultdict(list)
    inside = [_file(entry) for entry in store.files.entries(folder)]
    for item in [*inside, *(_folder(store.files, inner) for inner in store.files.folders(folder))]:
        unit = UNIT.match(item.name.rpartition("/")[2])
        if unit and unit["stem"] in wanted:
            if unit["hash"]:
                alike[unit["stem"], unit["table"] or ""].append((unit["hash"], item))
        elif unit and unit["name"] not in waiting:
            yield item
    for (stem, _), some in alike.items():
        if len(some) > 1 and (hashes := store.hashes_of(f"{folder}/{stem}.json")):
            yield from (item for found, item in some if found not in hashes)


def _lists(store: Store, workspaces: Sequence[Workspace]) -> Iterator[Item]:
    unused = set(unused_files(store.files, [workspace.plan for workspace in workspaces]))
    yield from (_file(entry) for entry in store.files.entries(PLAN) if entry.name in unused)
    now = {workspace.lines.name for workspace in workspaces}
    for entry in store.files.entries(MANIFESTS):
        key, _, kind = entry.name.rpartition("/")[2].partition(".")
        if KEY.fullmatch(key) and kind == "parquet" and entry.name not in now:
            yield _file(entry)


def _media(store: Store, workspaces: Sequence[Workspace]) -> Iterator[Item]:
    videos = {video for workspace in workspaces for members in workspace.plan.videos for video in members}
    videos |= {line.media_name for workspace in workspaces for line in workspace.lines.clips()}
    for folder in store.files.folders(MEDIA):
        inside = [_file(entry) for entry in store.files.entries(folder)]
        for item in [*inside, *(_folder(store.files, inner) for inner in store.files.folders(folder))]:
            name = item.name.rpartition("/")[2]
            if MEDIA_NAME.match(name) and name[:KEY_DIGITS] not in videos:
                yield item


def _answers(store: Store, workspaces: Sequence[Workspace]) -> Iterator[Item]:
    parts = {part for workspace in workspaces for part in workspace.plan.parts}
    for stage in store.files.folders(ANSWERS):
        for folder in store.files.folders(stage):
            if PART.fullmatch(name := folder.rpartition("/")[2]) and name not in parts:
                yield _folder(store.files, folder)


def _notes(store: Store, workspaces: Sequence[Workspace]) -> Iterator[Item]:
    keys = {(name, key.key) for workspace in workspaces for name, key in workspace.job.keys.items()}
    keys |= {_place(kept_name(workspace.config)) for workspace in workspaces}
    for stage in store.files.folders(ATTEMPTS):
        for folder in store.files.folders(stage):
            if _is_of_others(folder, keys):
                yield _folder(store.files, folder)
    for stage in store.files.folders(SUMMARIES):
        for entry in store.files.entries(stage):
            if _is_of_others(entry.name, keys):
                yield _file(entry)


def _is_of_others(name: str, keys: Collection[Folder]) -> bool:
    """Whether a file or folder is named by a stage and a key that no config has."""
    place = _place(name)
    return bool(KEY.fullmatch(place[1])) and place not in keys


def _place(name: str) -> Folder:
    """The folder and the key by which a file or folder is named."""
    *_, stage, last = name.split("/")
    return stage, last.partition(".")[0]


def _file(entry: Entry) -> Item:
    return Item(entry.name, entry.size)


def _folder(files: Files, name: str) -> Item:
    return Item(name, sum(entry.size for entry in files.tree(name)), is_folder=True)
