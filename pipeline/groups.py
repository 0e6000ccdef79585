"""One group of parts through `write`: its documents, shuffled, in shards of equal size."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pydantic import TypeAdapter

from pipeline.execute import Job
from pipeline.plan import part_rows
from pipeline.profile import Clock, Meter
from schemas.rows import DocumentsRow, FramesRow
from stages.registry import WRITE
from stages.write.stage import VideoDocuments
from stages.write.stage import write_group as write_shards
from storyloom.format.shard import Shard
from storyloom.fs.atomic import commit_bytes, committing_folder

SHARDS = TypeAdapter(list[Shard])


def write_group(job: Job, group: str, parts: tuple[str, ...], clock: Clock) -> None:
    """Write one group's shards into the work folder; a group that is done already is left alone."""
    folder = group_folder(job, group)
    if done_mark(job, group).exists():
        return
    with clock.on_part(job, WRITE, group) as meter:
        with committing_folder(folder) as unfinished:
            documents = meter.each("read", _documents(job, parts, meter))
            shards = write_shards(documents, unfinished, job.config.write, job.config.seed)
        commit_bytes(done_mark(job, group), SHARDS.dump_json(shards, indent=1) + b"\n")


def group_folder(job: Job, group: str) -> Path:
    """Where a group's shards lie before they are published."""
    return job.store.folder(WRITE, job.digests[WRITE]) / f"group-{group}"


def done_mark(job: Job, group: str) -> Path:
    """The file that marks a group as written; it lists its shards."""
    return job.store.folder(WRITE, job.digests[WRITE]) / f"group-{group}.json"


def group_shards(job: Job, group: str) -> list[Shard]:
    """The shards of a group that is done."""
    return SHARDS.validate_json(done_mark(job, group).read_bytes())


def remove_group(job: Job, group: str) -> None:
    """Forget a written group, mark first, so that it is written again."""
    done_mark(job, group).unlink(missing_ok=True)
    shutil.rmtree(group_folder(job, group), ignore_errors=True)


def _documents(job: Job, parts: tuple[str, ...], meter: Meter) -> Iterator[VideoDocuments]:
    store = job.store
    for part in parts:
        manifest = part_rows(store.plan, part)
        rows = store.rows("filter", job.digests["filter"], part, DocumentsRow)
        for position, (line, row) in enumerate(zip(manifest, rows, strict=True)):
            if line.video != row.video:
                raise RuntimeError(f"part {part}: filter has {row.video} where the plan has {line.video}")
            if row.documents:
                yield line, row, partial(_jpegs, job, part, position, meter)


def _jpegs(job: Job, part: str, position: int, meter: Meter) -> list[bytes]:
    with meter.on("read"):
        return job.store.row("sample", job.digests["sample"], part, FramesRow, position).jpegs
