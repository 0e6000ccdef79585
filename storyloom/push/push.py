"""`storyloom push`: a finished dataset at a place where others read it, whole or without a manifest."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from storyloom.errors import BadDataset, UsageError
from storyloom.format.manifest import MANIFEST, finished_dataset
from storyloom.fs.folder import DataFolder
from storyloom.fs.place import local_place
from storyloom.fs.ranges import MOST_WHOLE
from storyloom.fs.store import TRIED
from storyloom.push.files import CARD, OURS, PushFile, dataset_files
from storyloom.push.hub import HubTarget
from storyloom.push.licences import check_licences
from storyloom.push.pictures import card_with_pictures
from storyloom.push.target import FolderTarget, Found, OnBytes, PushFailed, StoreTarget, Target, is_inside
from storyloom.validate.dataset import validate_dataset
from storyloom.validate.report import OnShard
from storyloom.validate.spread import Spread, over_processes

HUB = re.compile(r"hf://datasets/([\w.-]+/[\w.-]+)/?")
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
"""The Hub's names of repositories."""

HARMLESS = frozenset({".gitattributes", "LICENSE", "LICENSE.txt", "LICENSE.md", TRIED})
"""Files that a new repository has, and what a run that was killed as it began leaves in a store."""

MOST_BYTES_TOGETHER = 5 * 2**30
"""Bytes of files that are sent at once, or a single larger one (our choice)."""


@dataclass(frozen=True)
class PushPlan:
    """What a push does.

    Attributes:
        target: Where.
        send: Files, in order; the manifest last.
        there: Files that are there already, with the same content.
        replaced: Paths of those to send at which something else lies.
        stale: Paths of another dataset's or an older one's files, which are removed.
        foreign: Paths that a push leaves alone.
    """

    target: Target
    send: list[PushFile]
    there: list[PushFile]
    replaced: list[str]
    stale: list[str]
    foreign: list[str]

    @property
    def size(self) -> int:
        """Bytes to send."""
        return sum(file.size for file in self.send)


def target_of(name: str, *, public: bool = False) -> Target:
    """The place that a name stands for.

    Args:
        name: ``hf://datasets/ORG/NAME``, ``ORG/NAME`` where no folder ORG is here, another URL, or a folder.
        public: Whether a repository that does not exist yet is made for everybody to see.

    Raises:
        UsageError: It is none of these, or could be two.
    """
    if repository := HUB.fullmatch(name):
        return HubTarget(repository[1], public=public)
    if name.startswith("hf://"):
        raise UsageError(f"{name} is no dataset repository: write hf://datasets/ORG/NAME")
    if "://" in name:
        return StoreTarget(name)
    if REPOSITORY.fullmatch(name) and not Path(name).exists():
        if Path(name).parent.exists():
            raise UsageError(f"{name} may be a repository or a folder: write hf://datasets/{name}, or ./{name}")
        return HubTarget(name, public=public)
    try:
        return FolderTarget(Path(local_place(name)).expanduser())
    except ValueError as reason:
        raise UsageError(str(reason)) from reason


def plan_push(
    place: str | os.PathLike[str],
    target: Target,
    *,
    any_licence: bool = False,
    pictures: bool = True,
    spread: Spread = over_processes,
    on_shard: OnShard = lambda _done, _of: None,
) -> PushPlan:
    """Check a dataset and its target, and find out what is to be sent; nothing is written.

    Args:
        place: Folder of the dataset, or its URL.
        target: Where it goes.
        any_licence: Whether to pass on documents of unknown and forbidding licences, too.
        pictures: Whether the card gets pictures.
        spread: Distributes the shards of the check over processes.
        on_shard: Called with the progress of the check.

    Raises:
        MayNotBePassedOn: Some licences are unknown, or forbid it.
        UsageError: The target holds something else than a dataset, or is the dataset.
        BadDataset: The dataset breaks a rule of the format.
        PushFailed: The target cannot be read.
    """
    published = finished_dataset(place)
    folder = DataFolder(place)
    if is_inside(target.address, folder.address):
        raise UsageError(f"{target.address} is the dataset itself or lies in it: name another target")
    if not any_licence:
        check_licences(published)
    report = validate_dataset(place, spread=spread, on_shard=on_shard)
    if report.violations.total:
        raise BadDataset(
            f"{folder.address} breaks rules of the format ({report.summary()}):"
            f" `storyloom validate {folder.address}` lists them. Nothing was sent."
        )
    card = folder.read_whole(CARD).decode()
    files = dataset_files(folder, published, card_with_pictures(place, published, card) if pictures else {})
    found = target.found()
    foreign = [path for path in found if not OURS.fullmatch(path)]
    there = [file for file in files if file.path in found and _same(file, found[file.path], target)]
    paths = {file.path for file in there}
    begun = any(path.startswith("data/") and OURS.fullmatch(path) for path in found)
    ours_too = begun or target.keeps_versions or _is_dataset(found, target)
    odd = [path for path in foreign if path not in HARMLESS] + (
        [] if ours_too else [path for path in found if path not in paths and OURS.fullmatch(path)]
    )
    if odd and not begun:
        raise UsageError(
            f"{target.address} holds other files, {odd[0]} for one: name an empty place, or one that a dataset was"
            " pushed to before. Nothing was sent."
        )
    send = [file for file in files if file.path not in paths]
    return PushPlan(
        target=target,
        send=send,
        there=there,
        replaced=[file.path for file in send if file.path in found],
        stale=sorted(set(found) - {file.path for file in files} - set(foreign)),
        foreign=foreign,
    )


def push(plan: PushPlan, on_bytes: OnBytes = lambda _sent: None) -> None:
    """Send what a plan says. While a target is incomplete it has no manifest, so no reader takes it for a dataset.

    Raises:
        PushFailed: The target refused something; what is there stays, and the same push goes on.
    """
    if not plan.send and not plan.stale:
        return
    target = plan.target
    target.prepare()
    others = [file for file in plan.send if file.path != MANIFEST]
    manifests = [file for file in [*plan.send, *plan.there] if file.path == MANIFEST]
    is_there = bool(set(manifests) & set(plan.there)) or MANIFEST in plan.replaced
    if is_there and (plan.stale or any(file.path.startswith("data/") for file in others)):
        target.send([], [MANIFEST], on_bytes)
        is_there = False
    for some in _together(others, target.together):
        target.send(some, [], on_bytes)
    if plan.stale:
        target.send([], plan.stale, on_bytes)
    _check_arrived([*plan.there, *others], target, [MANIFEST])
    if not is_there or set(manifests) & set(plan.send):
        target.send(manifests, [], on_bytes)


def _is_dataset(found: Mapping[str, Found], target: Target) -> bool:
    """Whether the manifest of a target is one of storyloom's, of whatever version."""
    if MANIFEST not in found or not 0 <= found[MANIFEST].size <= MOST_WHOLE:
        return False
    try:
        manifest = json.loads(target.read(MANIFEST))
    except (ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and str(manifest.get("schema")).startswith("storyloom/")


def _same(file: PushFile, found: Found, target: Target) -> bool:
    """Whether a target's file has the content; it is read back where the target does not tell."""
    if found.size != file.size:
        return False
    if found.sha256:
        return found.sha256 == file.sha256
    if found.git_sha1:
        return found.git_sha1 == file.git_sha1()
    if found.md5:
        return found.md5 == file.md5
    return target.sha256(file.path) == file.sha256


def _check_arrived(files: Sequence[PushFile], target: Target, but: Collection[str]) -> None:
    """Check that all files are there with their sizes, before the manifest says so."""
    found: Mapping[str, Found] = target.found()
    for file in files:
        if file.path in but:
            continue
        if file.path not in found or found[file.path].size != file.size:
            raise PushFailed(f"{target.address}: {file.path} is not there as it was sent; push again")


def _together(files: Sequence[PushFile], most: int) -> Iterator[list[PushFile]]:
    """Files that are sent at once."""
    some: list[PushFile] = []
    for file in files:
        if some and (len(some) == most or sum(one.size for one in some) + file.size > MOST_BYTES_TOGETHER):
            yield some
            some = []
        some.append(file)
    if some:
        yield some


def lines(plan: PushPlan) -> Iterator[str]:
    """What a plan would do, a line per file."""
    for path in plan.stale:
        yield f"remove   {path}"
    for file in plan.send:
        yield f"{'replace' if file.path in plan.replaced else 'send':8} {file.path}  {file.size:,} bytes"
    for file in plan.there:
        yield f"there    {file.path}"
