"""A run: plan, report the work to do, do it, publish. Executors decide where units run."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from pipeline.attempts import remove_empty_traces, remove_notes
from pipeline.config import RunConfig
from pipeline.executors.executor import Executor, UnitsMissing
from pipeline.executors.inline import InlineExecutor
from pipeline.extras import install, installed
from pipeline.failures import codes_there, to_retry, write_ledger
from pipeline.notes import notes, of_models
from pipeline.plan import Plan
from pipeline.preflight import on_a_cluster, surveyed
from pipeline.progress.estimate import unit_seconds
from pipeline.progress.listener import Advance, Listener
from pipeline.progress.pace import Pace
from pipeline.progress.watch import remember_speeds, watched
from pipeline.publish.before import check_target, refuse_early, replaced, to_publish
from pipeline.publish.run import PUBLISHED, publish_run
from pipeline.scheduler import Scheduler, check_failures
from pipeline.status import StageStatus, status
from pipeline.store import Damaged
from pipeline.workspace import Workspace
from storyloom.errors import RunFailed, UsageError
from storyloom.view.counts import count_of

SHOWN = 5
"""Failures that the end of a run names (our choice)."""

REPAIRS = 5
"""Times that a run starts over after finding damaged or missing units (our choice)."""


@dataclass(frozen=True)
class Selection:
    """Which stages a run brings up to date.

    Attributes:
        only: Names of the stages; none for all of them.
        start: Name of the stage from which all are selected; empty for none.
        force: Whether to redo finished units.
        retry: Whether to redo units with retryable failures, e.g. a server that did not answer.
        refresh: Whether to read playlists and channels again.
        codes: Codes of failures whose units are redone, retryable or not.
        replace_output: Whether the output may hold the dataset of another, which is then lost.
    """

    only: tuple[str, ...] = ()
    start: str = ""
    force: bool = False
    retry: bool = False
    refresh: bool = False
    codes: tuple[str, ...] = ()
    replace_output: bool = False

    @property
    def again(self) -> bool:
        """Whether finished units are to be done again."""
        return self.force or self.retry or bool(self.codes)

    def stages(self, config: RunConfig) -> frozenset[str]:
        """Names of the stages under a config.

        Raises:
            UsageError: A name is not a stage's, or both ways of selecting are used.
        """
        graph = config.graph
        if self.only and self.start:
            raise UsageError("--only and --from exclude each other")
        for name in [*self.only, *([self.start] if self.start else [])]:
            if name not in graph.names:
                off = " (it is off, or nothing reads it)" if hasattr(config, name) else ""
                raise UsageError(f"no stage {name!r}{off}; the stages are {', '.join(graph.names)}")
        if self.start:
            return graph.downstream({self.start})
        return frozenset(self.only or graph.names)


def run(
    config: RunConfig, selection: Selection, listener: Listener, clock: Callable[[], float] = time.monotonic
) -> list[StageStatus]:
    """Bring the selected stages up to date and, when all groups are written, publish the shards.

    Args:
        config: The run's config.
        selection: Which stages.
        listener: Is told of the progress.
        clock: Gives the time in seconds, of which nothing comes into the output.

    Raises:
        UsageError: Config, manifest or output folder cannot be used.
        RunFailed: Selected units are missing at the end, or there is no document.
    """
    selected = selection.stages(config)
    check_target(config, selected)
    refuse_early(config, selected, replace=selection.replace_output)
    workspace = surveyed(config, selected, write=True, refresh=selection.refresh, again=selection.again)
    workspace.summaries.logs.end_killed()
    told = replaced(workspace, selected, replace=selection.replace_output)
    if selection.force:
        for name in selected:
            workspace.invalidate(name, workspace.units(name))
    else:
        for name, units in retried(workspace, selected, selection, listener).items():
            workspace.invalidate(name, units)
    workspace = workspace.refreshed()
    before = status(workspace)
    to_do = sum(one.to_do for one in before if one.stage in selected)
    kind = executor_kind(config, workspace.plan, to_do)
    listener.planned([one for one in before if one.stage in selected], workspace.plan, workspace.told, kind)
    note_missing_ray(config, workspace.plan, kind, listener)
    for note in of_models(workspace):
        listener.noted(note)
    if kind == "ray" and on_a_cluster(config):
        listener.noted("the cluster's workers look for their models, devices and packages as they start")
    if told := told or to_publish(workspace, before, selected):
        listener.noted(told)
    check_upstream(workspace, before, selected)
    known = unit_seconds(workspace)
    pace = Pace({one.stage: one.to_do for one in before if one.stage in selected and one.to_do}, clock, known)

    def advanced(done: Advance) -> None:
        pace.add(done)
        listener.advanced(done)

    remove_notes(workspace.job.store.files)
    try:
        with _executor(kind, config, selected) as (executor, logs):
            pace.begin()
            listener.started(logs, pace)
            scheduler = Scheduler(selected, executor, advanced)
            with watched(workspace, pace, listener):
                return _repaired(scheduler, workspace, listener, replace=selection.replace_output)
    finally:
        remember_speeds(workspace, pace, kind)
        workspace.job.store.files.remove_leftovers()
        remove_empty_traces(workspace.job.store.files)
        try:
            listener.failed(*write_ledger(workspace.refreshed(), SHOWN))
        except OSError as reason:  # a full disk, or a file of another user
            listener.noted(f"the ledger of failures was not written: {reason}")


def retried(
    workspace: Workspace, selected: Collection[str], selection: Selection, listener: Listener
) -> dict[str, list[str]]:
    """The parts of each of the stages that are retried."""
    if not (selection.retry or selection.codes):
        return {}
    if selection.codes:
        there = codes_there(workspace)
        known = {*there, *(code.partition(".")[2] for code in there)}
        for code in (one for one in selection.codes if one not in known):
            failed = ", ".join(sorted(there)) or "none"
            listener.noted(f"no video failed with {code!r}, so none is retried for it; failures: {failed}")
    return to_retry(workspace, selected, selection.codes, retryable=selection.retry)


def executor_kind(config: RunConfig, plan: Plan, to_do: int) -> str:
    """The kind of executor, `auto` resolved; a run with nothing to do never starts Ray."""
    runner = config.runner
    if to_do == 0:
        return "inline"
    if runner.kind != "auto":
        return runner.kind
    if runner.address or os.environ.get("RAY_ADDRESS"):
        return "ray"
    return "ray" if len(plan.parts) > runner.auto_inline_parts and installed("ray") else "inline"


def note_missing_ray(config: RunConfig, plan: Plan, kind: str, listener: Listener) -> None:
    """Say so where many parts are done in one process for want of Ray."""
    many = config.runner.kind == "auto" and len(plan.parts) > config.runner.auto_inline_parts
    if many and kind == "inline" and not installed("ray"):
        listener.noted(f"one process does it all, since Ray is not installed: {install('cluster')}")


def _finished(
    workspace: Workspace, selected: frozenset[str], listener: Listener, *, replace: bool
) -> list[StageStatus]:
    """Report the result of the work, and publish it."""
    workspace = workspace.looked_again()
    after = status(workspace)
    listener.finished(after, workspace.job.context.results)
    for note in notes(workspace):
        listener.noted(note)
    for one in after:
        if one.stage in selected:
            check_failures(workspace.config, one.failed, one.videos)
    if PUBLISHED in selected:
        publish_run(workspace, after, replace=replace)
    return after


def _repaired(scheduler: Scheduler, workspace: Workspace, listener: Listener, *, replace: bool) -> list[StageStatus]:
    """Do the work and finish the run; start over when units are found to be damaged or missing.

    Raises:
        RunFailed: It cannot be finished.
    """
    for _ in range(REPAIRS):
        try:
            done = scheduler.bring_up_to_date(workspace)
            return _finished(done, scheduler.selected, listener, replace=replace)
        except Damaged as reason:
            workspace.job.store.invalidate(reason.address)
            problem = str(reason)
        except UnitsMissing as reason:
            if not reason.upstream:
                raise
            problem = str(reason)
        workspace = workspace.refreshed()
        for name in scheduler.selected | workspace.graph.read_by(scheduler.selected):
            workspace.job.store.invalidate(*workspace.lost(name))  # where one is missing, others may be
        workspace = workspace.refreshed()
        lost = [one.stage for one in status(workspace) if one.to_do and one.stage not in scheduler.selected]
        if lost and set(lost) & workspace.graph.read_by(scheduler.selected):
            raise RunFailed(f"{problem}. {lost[0]} has parts to do again: run without --only, or --from {lost[0]}")
    raise RunFailed(f"{problem}. That came again and again: is the disk of {workspace.job.store.address} sound?")


@contextlib.contextmanager
def _executor(kind: str, config: RunConfig, stages: frozenset[str]) -> Iterator[tuple[Executor, str]]:
    """The executor and the location of its logs."""
    if kind == "inline":
        yield InlineExecutor(), ""
        return
    from pipeline.executors.ray import RayExecutor
    from pipeline.executors.ray_session import ray_session
    from pipeline.executors.ray_turns import shared_turns

    with ray_session(config.runner.address) as logs, shared_turns() as turns:
        yield RayExecutor([name for name in config.graph.names if name in stages], turns), logs


def check_upstream(workspace: Workspace, before: Sequence[StageStatus], selected: frozenset[str]) -> None:
    """Refuse a selection whose inputs are missing and not selected."""
    waiting = {one.stage: one for one in before if one.to_do and one.stage not in selected}
    read = workspace.graph.read_by(selected)
    missing = [name for name in workspace.graph.names if name in waiting and name in read]
    if missing:
        first, these = waiting[missing[0]], ", ".join(name for name in workspace.graph.names if name in selected)
        raise RunFailed(
            f"{these} {'reads' if len(selected) == 1 else 'read'} what is not done yet: {', '.join(missing)}"
            f" ({first.stage} has {first.to_do} of {count_of(first.units, first.unit + 's')} to do)."
            f" Run all, or --from {first.stage}"
        )
