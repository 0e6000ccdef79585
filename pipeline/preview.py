"""`run --dry-run`: what a run would do, on what, and why; nothing is written."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pipeline.config import RunConfig
from pipeline.notes import of_models
from pipeline.preflight import surveyed
from pipeline.progress.estimate import estimate, read_speeds, unit_seconds
from pipeline.progress.listener import Listener
from pipeline.progress.pace import Pace, about
from pipeline.publish.before import check_target, replaced, to_publish
from pipeline.run import Selection, check_upstream, executor_kind, note_missing_ray, retried
from pipeline.status import StageStatus, status
from pipeline.workspace import Workspace
from storyloom.fs.url import redacted
from storyloom.view.counts import count_of


def preview(config: RunConfig, selection: Selection, listener: Listener) -> None:
    """Report what a run would do, and why; nothing is written.

    Raises:
        UsageError: Config, manifest or output folder cannot be used.
        RunFailed: The run would be refused, since what the selected stages read is missing.
    """
    selected = selection.stages(config)
    check_target(config, selected)
    workspace = surveyed(config, selected, write=False, refresh=False, again=selection.again)
    told = replaced(workspace, selected, replace=selection.replace_output)
    before = status(workspace)
    if selection.force:
        again = {name: list(workspace.done(name)) for name in selected}
    else:
        again = retried(workspace, selected, selection, listener)
    forced = [one.model_copy(update=_undone(one, len(again.get(one.stage, ())), selection)) for one in before]
    kind = executor_kind(config, workspace.plan, sum(one.to_do for one in forced if one.stage in selected))
    shown = [one for one in forced if one.stage in selected]
    listener.planned(shown, workspace.plan, workspace.told, kind)
    note_missing_ray(config, workspace.plan, kind, listener)
    for note in of_models(workspace):
        listener.noted(note)
    if told := told or to_publish(workspace, forced, selected):
        listener.noted(told)
    check_upstream(workspace, before, selected)
    if any(one.to_do for one in shown):
        _tell_how(workspace, shown, kind, listener)


def _tell_how(workspace: Workspace, stages: Sequence[StageStatus], kind: str, listener: Listener) -> None:
    """Tell on what stages would run, and what that comes to by what is finished and how fast an earlier run was."""
    listener.noted(_why_this_runner(workspace.config, len(workspace.plan.parts), kind))
    for one in stages:
        revision = str(workspace.job.keys[one.stage].ingredients["revision"])
        if one.to_do and revision:
            listener.noted(f"  {one.stage} with {revision}")
    if (found := estimate(workspace)) is not None:
        listener.estimated(found)
    if (speeds := read_speeds(workspace.job.store)) is not None:
        pace = Pace({one.stage: one.to_do for one in stages if one.to_do}, earlier=unit_seconds(workspace))
        seconds, unknown = pace.left()
        without = f", without {', '.join(unknown)}" if unknown else ""
        if seconds:
            listener.noted(f"time: {about(seconds)}{without}, as fast as the last run (runner: {speeds.runner})")


def _why_this_runner(config: RunConfig, parts: int, kind: str) -> str:
    """The runner, and what it was chosen by."""
    runner = config.runner
    address = runner.address or os.environ.get("RAY_ADDRESS")
    where = "in this process" if kind == "inline" else f"joins {redacted(address)}" if address else "starts here"
    if runner.kind != "auto":
        why = "runner.kind"
    elif address:
        why = "an address is given"
    else:
        than = "at most" if kind == "inline" else "more than"
        why = f"{count_of(parts, 'parts')}, {than} runner.auto_inline_parts: {runner.auto_inline_parts}"
    return f"runner {kind}: {where} ({why})"


def _undone(one: StageStatus, units: int, selection: Selection) -> dict[str, object]:
    if not units:
        return {}
    return {"done": max(0, one.done - units), "why": one.why or ("--force" if selection.force else "--retry")}
