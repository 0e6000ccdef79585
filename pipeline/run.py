"""A run: plan, say what is to do, do it, publish. It decides what; the runners decide where."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import RunConfig
from pipeline.executors.executor import Runner
from pipeline.executors.inline import InlineRunner
from pipeline.forget import forget, forget_retryable
from pipeline.groups import group_folder, group_shards
from pipeline.listener import Listener
from pipeline.plan import Plan
from pipeline.progress import Pace
from pipeline.publish.provenance import provenance
from pipeline.publish.publish import publish
from pipeline.situation import Situation, survey
from pipeline.status import StageStatus
from pipeline.work import CALIBRATED, Work, check_failures, counted
from stages.base import StageSetupError
from stages.registry import STAGE_NAMES, WRITE, downstream, upstream
from storyloom.errors import RunFailed, UsageError
from storyloom.format.sample import FormatError


@dataclass(frozen=True)
class Selection:
    """Which stages a run brings up to date.

    Attributes:
        stages: Their names.
        force: Whether to do again what is done.
        retry: Whether to do again what failed in a way that may pass, e.g. a server that did not answer.
    """

    stages: frozenset[str]
    force: bool = False
    retry: bool = False


def select(only: Sequence[str], start: str | None, *, force: bool, retry: bool = False) -> Selection:
    """The selection that `--only` and `--from` name; everything, when they name nothing.

    Raises:
        UsageError: A name is no stage's, or both are given.
    """
    if only and start:
        raise UsageError("--only and --from exclude each other")
    for name in [*only, *([start] if start else [])]:
        if name not in STAGE_NAMES:
            raise UsageError(f"no stage {name!r}; the stages are {', '.join(STAGE_NAMES)}")
    if start:
        return Selection(frozenset(downstream({start})), force, retry)
    return Selection(frozenset(only or STAGE_NAMES), force, retry)


def run(config: RunConfig, selection: Selection, listener: Listener) -> list[StageStatus]:
    """Bring the selected stages up to date and, when `write` is among them, publish the shards.

    Raises:
        UsageError: Config, manifest or output folder cannot be used.
        RunFailed: Something that was asked for is missing at the end, or no document came out.
    """
    situation = survey(config, selection.stages)
    if selection.force:
        forget(situation, selection.stages)
        situation = survey(config, selection.stages)
    elif selection.retry and forget_retryable(situation):
        situation = survey(config, selection.stages)
    before = situation.status()
    to_do = sum(one.to_do for one in before if one.stage in selection.stages)
    kind = _runner_kind(config, situation.plan, to_do)
    listener.planned(before, situation.plan, situation.duplicates, kind)
    _check_upstream(before, selection.stages)
    pace = Pace()
    try:
        with _runner(kind, config, selection.stages) as (runner, logs):
            listener.started(logs)
            situation = Work(selection.stages, runner, listener, pace).bring_up_to_date(situation)
    except (StageSetupError, FormatError) as reason:
        raise RunFailed(str(reason)) from reason
    finally:
        situation.job.store.remove_leftovers()

    after = situation.status()
    listener.finished(after, situation.job.calibration, pace.tail(situation.job))
    for one in after:
        if one.stage in selection.stages:
            check_failures(config, one.failed, one.videos)
    if WRITE in selection.stages:
        _publish(situation, after)
    return after


@contextlib.contextmanager
def _runner(kind: str, config: RunConfig, stages: frozenset[str]) -> Iterator[tuple[Runner, str]]:
    """The runner and where its logs are."""
    if kind == "inline":
        yield InlineRunner(), ""
        return
    from pipeline.executors.ray import RayRunner
    from pipeline.executors.ray_session import ray_session

    with ray_session(config.runner.address) as logs:
        yield RayRunner([name for name in STAGE_NAMES if name in stages]), logs


def _runner_kind(config: RunConfig, plan: Plan, to_do: int) -> str:
    """`auto` made definite; a run with nothing to do never starts Ray."""
    runner = config.runner
    if to_do == 0:
        return "inline"
    if runner.kind != "auto":
        return runner.kind
    cluster = bool(runner.address or os.environ.get("RAY_ADDRESS"))
    return "ray" if cluster or len(plan.parts) > runner.auto_inline_parts else "inline"


def _check_upstream(before: Sequence[StageStatus], selected: frozenset[str]) -> None:
    """Refuse a selection that reads what is missing and not selected itself."""
    waiting = {one.stage: one for one in before if one.to_do and one.stage not in selected}
    for name in STAGE_NAMES:
        for source in upstream(name):
            if name in selected and source in waiting:
                raise RunFailed(
                    f"{name} reads {source}, which has {waiting[source].to_do} of {waiting[source].units} parts to do;"
                    f" select it too, e.g. with --from {source}"
                )


def _publish(situation: Situation, after: Sequence[StageStatus]) -> None:
    job = situation.job
    missing = [f"{one.stage} ({one.to_do} of {one.units})" for one in after if one.to_do]
    if missing:
        raise RunFailed(f"not published, since parts are missing in: {', '.join(missing)}")
    if not after[-1].counts["documents"]:
        last = next(one for one in after if one.stage == CALIBRATED)
        raise RunFailed(f"no document came out of {last.videos} videos: {counted(last.failed | last.dropped)}")
    groups = list(situation.plan.groups(job.config.parts.group))
    publish(
        [group_shards(job, group) for group in groups],
        [group_folder(job, group) for group in groups],
        job.store.folder(WRITE, job.digests[WRITE]) / "rests",
        Path(job.config.output).expanduser(),
        job.config.write,
        provenance(job, situation.found, after),
    )
