"""One part through one stage: read its rows, let the stage work, commit. The same function on every runner."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import RunConfig
from pipeline.isolate import killers
from pipeline.plan import part_rows
from pipeline.profile import Clock
from pipeline.starts import started
from pipeline.store import Metrics, PartStore
from schemas.calibration import Calibration
from schemas.row import Row, RowError
from stages.base import Context, Stage, StageSetupError, Video, passed_on
from stages.registry import BY_NAME

UNSUSPICIOUS_STARTS = 2
"""Starts of a part, none of which came to an end, before its videos are suspected (our choice): machines die."""

MOST_STARTS = 6
"""Starts after which the whole part is given up as failed (our choice)."""


class ContractBroken(RuntimeError):
    """A stage returned other rows than one for each of its videos, or rows of two stages do not match."""


@dataclass(frozen=True)
class Job:
    """What a worker, here or on another machine, needs in order to do any part of any stage.

    Attributes:
        config: The run's config.
        calibration: The corpus's null distribution, once it is known.
        digests: Fingerprints of the stages, by name.
        revisions: Models and programs that the fingerprints stand for, by stage.
        selected: Stages that the run brings up to date.
    """

    config: RunConfig
    calibration: Calibration | None
    digests: dict[str, str]
    revisions: dict[str, str]
    selected: frozenset[str] = frozenset()

    @property
    def store(self) -> PartStore:
        """The part store in the config's work folder."""
        return PartStore(Path(self.config.work))

    def context(self) -> Context:
        """What all stages are given."""
        return Context(self.config.seed, self.store.media, self.calibration)

    def ready_stage(self, name: str) -> Stage[Any, Any]:
        """A stage by name, set up.

        Raises:
            StageSetupError: It cannot start, or this machine has another model or program than the run was planned
                with, so that its bytes would not be those that the fingerprint stands for.
        """
        stage = BY_NAME[name](self.config.stage(name), self.context())
        if stage.revision() != self.revisions[name]:
            raise StageSetupError(
                f"{name} was planned with {self.revisions[name]!r}, but {socket.gethostname()} has"
                f" {stage.revision()!r}; install the same on every machine"
            )
        stage.setup()
        return stage


def run_part(job: Job, stage: Stage[Any, Any], part: str, clock: Clock) -> Metrics:
    """Bring one part of one stage up to date; a part that is done already is left alone.

    Args:
        job: The run.
        stage: Set up.
        part: Its id; what the stage reads of it is done.
        clock: The worker's.

    Raises:
        ContractBroken: The stage has a bug.
    """
    store, digest = job.store, job.digests[stage.name]
    if store.is_done(stage.name, digest, part):
        return store.metrics(stage.name, digest, part)
    with (
        clock.on_part(job, stage.name, part, stage.timings) as meter,
        started(store.folder(stage.name, digest), part) as starts,
    ):
        videos = meter.each("read", _videos(job, stage, part))
        rows = meter.each("process", _in_order(stage, videos, _ended(job, stage, part, starts)))
        return store.commit(stage.name, digest, part, stage.row, rows)


def live_videos(job: Job, stage: Stage[Any, Any], part: str) -> Iterator[Video]:
    """The videos of a part that no earlier stage ended."""
    return (video for video in _videos(job, stage, part) if video.halted() is None)


def _ended(job: Job, stage: Stage[Any, Any], part: str, starts: int) -> dict[str, RowError]:
    """Videos that the stage must not touch, since they kill its worker, with the error of their row."""
    if starts <= UNSUSPICIOUS_STARTS:
        return {}
    if starts <= MOST_STARTS:
        return killers(job, stage.name, part)
    message = f"workers died {MOST_STARTS} times over the part of this video, but over no video alone; report it"
    error = RowError(stage=stage.name, code="worker_crashed", message=message, retryable=True)
    return {video.key: error for video in live_videos(job, stage, part)}


def _videos(job: Job, stage: Stage[Any, Any], part: str) -> Iterator[Video]:
    """The part's videos with their rows of the stages that this one reads, joined by key."""
    store = job.store
    manifest = part_rows(store.plan, part)
    sources = [
        store.rows(source.stage, job.digests[source.stage], part, BY_NAME[source.stage].row, source.without)
        for source in stage.reads
    ]
    for line, *rows in zip(manifest, *sources, strict=True):
        for source, row in zip(stage.reads, rows, strict=True):
            if row.video != line.video:
                raise ContractBroken(f"part {part}: {source.stage} has {row.video} where the plan has {line.video}")
        yield Video(line, rows)


def _in_order(stage: Stage[Any, Any], videos: Iterable[Video], killers: dict[str, RowError]) -> Iterator[Row]:
    """The stage's rows in the order of the videos, whatever order it works in; ended videos are passed on."""
    order: list[str] = []
    ready: dict[str, Row] = {}

    def live() -> Iterator[Video]:
        for video in videos:
            order.append(video.key)
            ended = passed_on(stage, video)
            if ended is None and video.key in killers:
                ended = stage.row(video=video.key, error=killers[video.key])
            if ended is None:
                yield video
            else:
                ready[video.key] = ended

    position = 0
    for row in stage.process(live()):
        if row.video in ready or row.video not in order[position:]:
            raise ContractBroken(f"{stage.name} returned a row for {row.video}, which it was not given or did twice")
        ready[row.video] = row
        while position < len(order) and order[position] in ready:
            yield ready.pop(order[position])
            position += 1
    while position < len(order):
        if order[position] not in ready:
            raise ContractBroken(f"{stage.name} returned no row for {order[position]}")
        yield ready.pop(order[position])
        position += 1
