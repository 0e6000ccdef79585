"""What a work folder holds for a config: done, to do, failed, and why something is to be done again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from pydantic import BaseModel

from pipeline.execute import Job
from pipeline.fingerprint import Fingerprint, what_changed
from pipeline.groups import done_mark, group_shards
from pipeline.plan import Plan
from pipeline.store import PartStore
from pipeline.tallies import tally
from stages.registry import STAGE_NAMES, WRITE


class StageStatus(BaseModel):
    """Where one stage stands.

    Attributes:
        stage: Its name.
        units: Parts, or for `write` groups of parts.
        done: How many of them are up to date.
        why: What makes earlier output stale; empty when there is none or it still serves.
        videos: Rows in the parts that are done.
        live: Rows that later stages work on.
        failed: Videos that failed in this stage or before it, by ``stage.code``.
        dropped: Videos that this stage or one before it left out, by ``stage.reason``.
        warnings: By code.
        counts: What the stage counted, e.g. frames.
    """

    stage: str
    units: int
    done: int = 0
    why: str = ""
    videos: int = 0
    live: int = 0
    failed: dict[str, int] = {}
    dropped: dict[str, int] = {}
    warnings: dict[str, int] = {}
    counts: dict[str, int] = {}

    @property
    def to_do(self) -> int:
        """Units that are missing."""
        return self.units - self.done


def status(job: Job, plan: Plan, found: dict[str, Fingerprint]) -> list[StageStatus]:
    """Where every stage stands, in the pipeline's order."""
    groups = plan.groups(job.config.parts.group)
    stages = []
    for name in STAGE_NAMES:
        units = len(groups) if name == WRITE else len(plan.parts)
        if name not in found:
            stages.append(StageStatus(stage=name, units=units, why="waits for the calibration"))
        elif name == WRITE:
            stages.append(_write_status(job, groups, _why(job.store, found[name])))
        else:
            stages.append(_row_status(job, plan.parts, name, _why(job.store, found[name])))
    return stages


def _row_status(job: Job, parts: Sequence[str], name: str, why: str) -> StageStatus:
    found = tally(job.store, name, job.digests[name], parts)
    return StageStatus(stage=name, units=len(parts), why=why if found.done < len(parts) else "", **asdict(found))


def _write_status(job: Job, groups: dict[str, tuple[str, ...]], why: str) -> StageStatus:
    done = [group for group in groups if done_mark(job, group).exists()]
    shards = [shard for group in done for shard in group_shards(job, group)]
    counts = {
        "documents": sum(shard.nsamples for shard in shards),
        "frames": sum(shard.nimages for shard in shards),
        "shards": len(shards),
        "bytes": sum(shard.filesize for shard in shards),
    }
    return StageStatus(
        stage=WRITE, units=len(groups), done=len(done), why=why if len(done) < len(groups) else "", counts=counts
    )


def _why(store: PartStore, wanted: Fingerprint) -> str:
    """What sets the nearest earlier fingerprint of a stage apart from the wanted one; empty when there is none."""
    stage = str(wanted.ingredients["stage"])
    if (store.folder(stage, wanted.digest) / "stage.json").exists():
        return ""
    earlier = [json.loads(file.read_bytes()) for file in sorted((store.work / stage).glob("*/stage.json"))]
    changes = [what_changed(old, wanted.ingredients) for old in earlier]
    return min(changes, key=lambda change: (change.count(", "), change), default="")
