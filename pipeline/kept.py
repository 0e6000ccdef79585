"""What was planned of a large manifest, kept beside the summaries: one that did not change is not read again."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import sysconfig
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.beside import stamp_of
from pipeline.config import RunConfig
from pipeline.extras import EXTRA_OF
from pipeline.lines import Lines
from pipeline.manifest.sources import identities
from pipeline.parts import Parts
from pipeline.plan import Plan, keys_in_files
from pipeline.store import PLAN, SUMMARIES, Store, canonical_digest
from stages.base import AnyStage
from stages.registry import AnyStageClass
from storyloom.format.parquet import ParquetFile
from storyloom.fs.disk import SETTLED_NS

VERSION = 1
"""Raised when a manifest is read otherwise, or what is kept of it looks otherwise."""

FROM = 1 << 16
"""Least videos of a manifest of which anything is kept (our choice: a smaller one is read as soon)."""

MOST_FOLDERS = 10_000
"""Most folders of local videos that are looked at to see whether their subtitle files changed (our choice)."""

FOLDER = f"{SUMMARIES}/{PLAN}"

HEADER = b"storyloom"

COLUMNS = pa.schema(
    [
        pa.field("code", pa.uint64(), nullable=False),
        pa.field("slot", pa.int64(), nullable=False),
        pa.field("first", pa.bool_(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("asked", pa.bool_(), nullable=False),
    ]
)
"""The columns of `Parts`, and whether a part is asked for; the digests of the lines of groups are in the header."""


@dataclass(frozen=True)
class Kept:
    """The plan and lines of a manifest that did not change.

    Attributes:
        plan: The parts that are asked for.
        lines: Their lines.
        told: What was told of the manifest.
    """

    plan: Plan
    lines: Lines
    told: tuple[str, ...]


def kept_name(config: RunConfig) -> str:
    """The name of the file of what is kept for a config, by all settings that change how a manifest becomes a plan."""
    graph = config.graph
    asking = [name for name, stage in graph.stages.items() if stage.lists.__func__ is not AnyStage.lists.__func__]  # type: ignore[attr-defined]
    settings = {
        "version": [VERSION, version("storyloom"), sys.version],
        "manifest": [config.manifest, os.path.abspath(config.manifest), os.path.expanduser("~")],  # noqa: PTH100, PTH111
        "url_parameters": sorted(config.url_parameters),
        "columns": dict(config.columns),
        "parts": config.parts.model_dump(mode="json"),
        "seed": config.seed,
        "stages": {name: _recogniser(graph.stages[name]) for name in asking},
        "sections": {name: config.stage(name).model_dump(mode="json") for name in asking},
    }
    return f"{FOLDER}/{canonical_digest(settings)[:16]}.parquet"


def _recogniser(stage: AnyStageClass) -> str:
    """What is another one once the code of a stage recognises lists otherwise."""
    return f"{stage.__module__}.{stage.__qualname__} {stage.version}"


@dataclass(frozen=True)
class State:
    """What a manifest was when it was read.

    Attributes:
        lists: The versions of its lists, by name; None where it cannot be told without reading it.
        packages: The state of the installed packages: some of them say which lines stand for several videos.
    """

    lists: dict[str, str] | None
    packages: str


def state_of(config: RunConfig) -> State:
    """What the manifest is now."""
    with_packages = os.stat(sysconfig.get_path("purelib"))  # noqa: PTH116
    packages = [f"{with_packages.st_mtime_ns}", *map(_package, EXTRA_OF)]
    return State(identities(config.manifest), canonical_digest(packages))


def _package(name: str) -> str:
    """What is another one once a package is replaced, comes or goes, wherever Python would find it."""
    found = find_spec(name)
    if found is None or found.origin is None:
        return ""
    try:
        state = os.stat(found.origin)  # noqa: PTH116
    except OSError:  # in a ZIP file
        return found.origin
    return f"{found.origin} {state.st_size} {state.st_mtime_ns}"


def read_kept(config: RunConfig, store: Store, state: State) -> Kept | None:
    """What was kept of the manifest; None where it or anything that it was planned by has changed.

    Args:
        config: The run's config.
        store: Its work folder.
        state: What the manifest is now.
    """
    if state.lists is None:
        return None
    (content,) = store.files.read_all([kept_name(config)])
    found = None if content is None else _read(content)
    if found is None:
        return None
    table, header = found
    folders = {folder: stamp_of(folder) for folder in header["folders"]}
    now = [state.lists, state.packages, folders, _plan_files(store)]
    if now != [header["lists"], header["packages"], header["folders"], header["plan"]]:
        return None
    name = header["lines"]
    if store.files.entry(name) is None or not _is_whole(store, name):
        return None
    every = Parts(
        table["code"].to_numpy(),
        table["slot"].to_numpy(),
        table["first"].to_numpy(),
        table["end"].to_numpy(),
        lambda: keys_in_files(store.files, every.codes),
    )
    asked = table["asked"].to_numpy()
    parts = every if asked.all() else every.take(np.flatnonzero(asked))
    left_out = every.take(np.flatnonzero(~asked))
    plan = Plan(parts, 0, Parts.none(), left_out, known_sha256=header["videos_sha256"])
    lines = Lines.saved(store.files, name, parts, places=header["places"], digests=tuple(header["groups"]))
    return Kept(plan, lines, tuple(header["told"]))


def keep(config: RunConfig, store: Store, before: State, kept: Kept, folders: dict[str, str] | None) -> None:
    """Keep what was planned, once the plan and the lines are saved.

    Nothing is kept of a small manifest, nor of one that changed less than ten seconds ago or while it was read.

    Args:
        config: The run's config.
        store: Its work folder.
        before: What the manifest was before it was read.
        kept: What was made of it.
        folders: The stamps of the folders that were looked at; None where more than that was looked at on the disk.
    """
    plan = kept.plan
    if plan.members.count + plan.videos_left_out < FROM or folders is None or before.lists is None:
        return
    if len(folders) > MOST_FOLDERS or state_of(config) != before:
        return
    settled = time.time_ns() - SETTLED_NS
    stamps = [*before.lists.values(), *folders.values()]
    if any(int(part) > settled for stamp in stamps for part in stamp.split() if part.isdecimal() and len(part) > 15):  # noqa: PLR2004 - a time
        return
    if any(stamp_of(folder) != stamp for folder, stamp in folders.items()):
        return
    both = (plan.members, plan.left_out)
    asked = np.repeat([True, False], [len(parts) for parts in both])
    slots = np.concatenate([parts.slots for parts in both])
    order = np.argsort(slots, kind="stable")
    sizes = np.concatenate([np.diff(parts.ends, prepend=0) for parts in both])[order]
    table = pa.table(
        [
            np.concatenate([parts.codes for parts in both])[order],
            slots[order],
            np.concatenate([parts.first for parts in both])[order],
            np.cumsum(sizes),
            asked[order],
        ],
        COLUMNS,
    )
    header = {
        "lists": before.lists,
        "packages": before.packages,
        "folders": folders,
        "plan": _plan_files(store),
        "lines": kept.lines.name,
        "places": kept.lines.places(),
        "groups": kept.lines.group_digests(config.parts.group),
        "videos_sha256": plan.videos_sha256,
        "told": kept.told,
    }
    with store.files.scratch() as scratch:
        made = scratch / "kept.parquet"
        schema = COLUMNS.with_metadata({HEADER: json.dumps({**header, "sha256": _digest(table, header)})})
        pq.write_table(table.replace_schema_metadata(schema.metadata), made, compression="zstd")
        made.chmod(0o600)  # URLs of places may have passwords
        store.files.replace(kept_name(config), made, private=True)


def _read(content: bytes) -> tuple[pa.Table, dict[str, Any]] | None:
    """What is kept in a file; None where it is damaged."""
    try:
        with ParquetFile(content) as file:
            table = file.read().combine_chunks()
        header = json.loads((table.schema.metadata or {})[HEADER])
        same = table.schema.equals(COLUMNS) and header.pop("sha256") == _digest(table, header)
    except (pa.ArrowException, OSError, KeyError, ValueError, AttributeError):
        return None
    return (table, header) if same else None


def _digest(table: pa.Table, header: dict[str, Any]) -> str:
    found = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in table.column_names:
        found.update(np.ascontiguousarray(table[name].to_numpy()).tobytes())
    return found.hexdigest()


def _plan_files(store: Store) -> Sequence[str]:
    return [f"{entry.name} {entry.size} {entry.version}" for entry in store.files.entries(PLAN)]


def _is_whole(store: Store, name: str) -> bool:
    """Whether the file of the lines has the hash that it is named by."""
    if store.files.keeps_bytes:
        return True
    with store.files.open(name) as file:
        found = hashlib.sha256()
        while some := file.read(1 << 22):
            found.update(some)
    return name.endswith(f"/{found.hexdigest()[:16]}.parquet")
