"""What a run will come to, by what is finished of it: media, bytes, yield."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from pipeline.status import group_marks
from pipeline.store import MEDIA, SPEEDS, Store
from pipeline.workspace import Workspace
from stages.base import CorpusStep, GroupStage


@dataclass(frozen=True)
class Estimate:
    """What all parts will come to if the others are like the finished ones.

    Attributes:
        parts: That went through every stage which has begun.
        of: Number of all parts.
        hours: Of media.
        work: Bytes of the work folder, of the stages that have begun.
        shards: Bytes of the shards; 0 where no group is finished.
        documents: Per hour of media; None before documents were counted.
        frames: In documents, per hour of media.
    """

    parts: int
    of: int
    hours: float
    work: int
    shards: int
    documents: float | None
    frames: float | None


class Speeds(BaseModel):
    """How fast the last run was, a file of the work folder. It says nothing of what came out.

    Attributes:
        runner: Kind of executor.
        seconds: Of the run for a unit, by the stage's key.
    """

    runner: str
    seconds: dict[str, float]


def estimate(workspace: Workspace) -> Estimate | None:
    """The estimate by the current marks; None while nothing is known of the media."""
    graph = workspace.graph
    hours, measured = 0.0, 0
    for name in (one for one in graph.names if not graph.upstream(one)):
        found = workspace.summary(name)
        if media := found.counts.get("media_ms", 0):
            hours, measured, source = media / 3.6e6, found.done, name
            break
    if not hours:
        return None
    documents = frames = None
    through = of = len(workspace.plan.parts)
    for name in (one for one, stage in graph.stages.items() if not issubclass(stage, GroupStage | CorpusStep)):
        found = workspace.summary(name)
        through = min(through, found.done or of)
        if "documents" not in found.counts:
            continue
        of_these = hours if found.done == measured else _hours(workspace, source, workspace.done(name))
        if of_these:
            documents, frames = found.counts["documents"] / of_these, found.counts.get("frames", 0) / of_these
    return Estimate(
        parts=through,
        of=of,
        hours=hours * of / measured,
        work=_work(workspace, measured),
        shards=_shards(workspace),
        documents=documents,
        frames=frames,
    )


def keep_speeds(store: Store, speeds: Speeds) -> None:
    """Keep a run's speeds, and those of an earlier one of what this one did not do."""
    before = read_speeds(store)
    seconds = {**(before.seconds if before else {}), **speeds.seconds}
    content = Speeds(runner=speeds.runner, seconds={key: round(took, 6) for key, took in sorted(seconds.items())})
    store.files.replace(SPEEDS, content.model_dump_json(indent=1).encode() + b"\n")


def read_speeds(store: Store) -> Speeds | None:
    """The speeds of earlier runs; None without any."""
    try:
        return Speeds.model_validate_json(store.files.read(SPEEDS))
    except (OSError, ValidationError):
        return None


def unit_seconds(workspace: Workspace) -> dict[str, float]:
    """Seconds for a unit of each stage that an earlier run did under its key."""
    known = read_speeds(workspace.job.store)
    keys = {name: key.key for name, key in workspace.job.keys.items()}
    return {name: known.seconds[key] for name, key in keys.items() if key in known.seconds} if known else {}


def _hours(workspace: Workspace, source: str, parts: Collection[str]) -> float:
    """Hours of media in those of some parts that a stage which counts them has done."""
    done = workspace.done(source, [part for part in workspace.units(source) if part in parts])
    return workspace.summaries.summary(done.values()).counts.get("media_ms", 0) / 3.6e6


def _work(workspace: Workspace, fetched: int) -> int:
    """Bytes of the work folder once each unit of the stages that have begun is as large as the finished ones."""
    store, parts = workspace.job.store, len(workspace.plan.parts)
    total = sum(one.size for one in store.files.tree(MEDIA)) * parts / fetched
    for name, key in workspace.job.keys.items():
        entries = list(store.files.tree(store.folder(name, key.key)))
        marks = sum(one.name.endswith(".json") for one in entries) - 1  # but for its description
        if marks > 0:
            total += sum(one.size for one in entries) * len(workspace.units(name)) / marks
    return round(total)


def _shards(workspace: Workspace) -> int:
    """Bytes of all shards, by those of the finished groups; 0 without any."""
    for name, stage in workspace.graph.stages.items():
        if issubclass(stage, GroupStage) and (marks := group_marks(workspace, name)):
            shards = [shard for mark in marks.values() for shard in (mark.result or {}).get("shards", [])]
            parts = sum(len(workspace.job.groups[group]) for group in marks)
            return round(sum(int(shard["filesize"]) for shard in shards) * len(workspace.plan.parts) / parts)
    return 0
