"""A run: plan, say what is to do, do it, publish. It decides what; the runners decide where."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from pipeline.calibrate import read_calibration, remove_calibration
from pipeline.config import RunConfig
from pipeline.dataset.provenance import provenance
from pipeline.dataset.publish import publish
from pipeline.errors import RunFailed, UsageError
from pipeline.execute import Job
from pipeline.fingerprint import Fingerprint, fingerprints, needs_calibration
from pipeline.groups import group_folder, group_shards, remove_group
from pipeline.inline import InlineRunner
from pipeline.manifest import read_manifest
from pipeline.plan import Plan, make_plan
from pipeline.registry import ROW_STAGES, STAGE_NAMES, WRITE, downstream, upstream
from pipeline.runner import Runner
from pipeline.status import StageStatus, status
from pipeline.store import PartStore
from schemas.calibration import Calibration
from schemas.sample import FormatError
from stages.base import Context, StageSetupError


class Listener(Protocol):
    """Who is told how a run goes, e.g. the terminal."""

    def planned(self, before: Sequence[StageStatus], plan: Plan, duplicates: int, runner: str) -> None:
        """The plan stands; nothing has run yet."""

    def advanced(self, stage: str, unit: str) -> None:
        """A part or group of a stage is done."""

    def finished(self, after: Sequence[StageStatus], calibration: Calibration | None) -> None:
        """All that was asked for is done."""


@dataclass(frozen=True)
class Selection:
    """Which stages a run brings up to date.

    Attributes:
        stages: Their names.
        force: Whether to do again what is done.
    """

    stages: frozenset[str]
    force: bool = False


def select(only: Sequence[str], start: str | None, *, force: bool) -> Selection:
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
        return Selection(frozenset(downstream({start})), force)
    return Selection(frozenset(only or STAGE_NAMES), force)


@dataclass(frozen=True)
class Situation:
    """What a config asks for and what its work folder holds.

    Attributes:
        job: With the fingerprints that are known by now.
        plan: The parts.
        found: Fingerprints with their ingredients.
        duplicates: Lines of the manifest that repeated an earlier one.
    """

    job: Job
    plan: Plan
    found: dict[str, Fingerprint]
    duplicates: int

    def status(self) -> list[StageStatus]:
        """Where every stage stands."""
        return status(self.job, self.plan, self.found)

    def calibrated(self) -> Situation:
        """The same with the calibration and what hangs on it, once its parts are scored."""
        job = self.job
        if not needs_calibration(job.config) or job.calibration is not None or "score" not in self.found:
            return self
        pooled = self.plan.parts[: job.config.parts.group]
        calibration = read_calibration(job.store, job.digests["score"], pooled)
        if calibration is None:
            return self
        found = fingerprints(job.config, Context(job.config.seed, job.store.media, calibration))
        return replace(self, job=_job(job.config, calibration, found), found=found)


def survey(config: RunConfig) -> Situation:
    """Plan the manifest and see what its work folder holds.

    Raises:
        UsageError: The manifest or the work folder cannot be used.
    """
    config = config.model_copy(update={"work": str(Path(config.work).expanduser().absolute())})
    manifest, duplicates = read_manifest(config.manifest)
    store = PartStore(Path(config.work))
    store.prepare()
    plan = make_plan(manifest, store.plan, config.parts, config.seed)
    try:
        found = fingerprints(config, Context(config.seed, store.media))
    except StageSetupError as reason:
        raise UsageError(str(reason)) from reason
    return Situation(_job(config, None, found), plan, found, duplicates).calibrated()


def _job(config: RunConfig, calibration: Calibration | None, found: dict[str, Fingerprint]) -> Job:
    return Job(
        config,
        calibration,
        digests={name: one.digest for name, one in found.items()},
        revisions={name: str(one.ingredients["revision"]) for name, one in found.items()},
    )


def run(config: RunConfig, selection: Selection, listener: Listener) -> list[StageStatus]:
    """Bring the selected stages up to date and, when `write` is among them, publish the shards.

    Raises:
        UsageError: Config, manifest or output folder cannot be used.
        RunFailed: Something that was asked for is missing at the end, or no document came out.
    """
    situation = survey(config)
    if selection.force:
        situation = _forget(situation, selection.stages)
    before = situation.status()
    to_do = sum(one.to_do for one in before if one.stage in selection.stages)
    kind = _runner_kind(config, situation.plan, to_do)
    listener.planned(before, situation.plan, situation.duplicates, kind)
    _check_upstream(before, selection.stages)
    try:
        with _runner(kind, config.runner.address) as runner:
            situation = _row_stages(situation, selection.stages, runner, listener)
            if WRITE in selection.stages and WRITE in situation.found:
                groups = situation.plan.groups(config.parts.group)
                _describe(situation, {WRITE})
                runner.write(situation.job, groups, listener.advanced)
    except (StageSetupError, FormatError) as reason:
        raise RunFailed(str(reason)) from reason

    after = situation.status()
    listener.finished(after, situation.job.calibration)
    if WRITE in selection.stages:
        _publish(situation, after)
    return after


@contextlib.contextmanager
def _runner(kind: str, address: str) -> Iterator[Runner]:
    if kind == "inline":
        yield InlineRunner()
        return
    from pipeline.ray_runner import RayRunner, ray_session

    with ray_session(address):
        yield RayRunner()


def _runner_kind(config: RunConfig, plan: Plan, to_do: int) -> str:
    """`auto` made definite; a run with nothing to do never starts Ray."""
    runner = config.runner
    if to_do == 0:
        return "inline"
    if runner.kind != "auto":
        return runner.kind
    cluster = bool(runner.address or os.environ.get("RAY_ADDRESS"))
    return "ray" if cluster or len(plan.parts) > runner.auto_inline_parts else "inline"


def _row_stages(situation: Situation, selected: frozenset[str], runner: Runner, listener: Listener) -> Situation:
    """Two rounds where there is a calibration: up to `score` over the parts that it pools, then everything."""
    names = [stage.name for stage in ROW_STAGES if stage.name in selected]
    parts = situation.plan.parts
    if "filter" in names and "filter" not in situation.found:
        known = [name for name in names if name in situation.found]
        _describe(situation, set(known))
        runner.rows(situation.job, known, parts[: situation.job.config.parts.group], listener.advanced)
        situation = situation.calibrated()
    known = [name for name in names if name in situation.found]
    _describe(situation, set(known))
    runner.rows(situation.job, known, parts, listener.advanced)
    return situation.calibrated()


def _describe(situation: Situation, names: set[str]) -> None:
    for name in sorted(names):
        fingerprint = situation.found[name]
        situation.job.store.describe(name, fingerprint.digest, fingerprint.ingredients)


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


def _forget(situation: Situation, selected: frozenset[str]) -> Situation:
    """Remove what the selected stages made, and what was made from it; the situation is then another one."""
    job, plan = situation.job, situation.plan
    stale = downstream(set(selected))
    for name in sorted(stale & set(situation.found)):
        if name == WRITE:
            for group in plan.groups(job.config.parts.group):
                remove_group(job, group)
        else:
            job.store.remove(name, job.digests[name], plan.parts)
    if "score" in stale:
        remove_calibration(job.store, job.digests["score"], plan.parts[: job.config.parts.group])
    return survey(job.config)


def _publish(situation: Situation, after: Sequence[StageStatus]) -> None:
    job = situation.job
    missing = [f"{one.stage} ({one.to_do} of {one.units})" for one in after if one.to_do]
    if missing:
        raise RunFailed(f"not published, since parts are missing in: {', '.join(missing)}")
    if not after[-1].counts["documents"]:
        raise RunFailed("no document came out; the counts above say where every video went")
    groups = list(situation.plan.groups(job.config.parts.group))
    publish(
        [group_shards(job, group) for group in groups],
        [group_folder(job, group) for group in groups],
        Path(job.config.output).expanduser(),
        job.config.write,
        provenance(job, situation.found, after),
    )
