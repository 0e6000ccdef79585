"""The status of a config's work folder: units done, to do and failed, and why earlier output is stale."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal

from pydantic import BaseModel

from pipeline.lineage import StageKey, what_changed
from pipeline.store import DESCRIPTION, Mark, Store
from pipeline.summaries import SHARD_COUNTS, group_counts
from pipeline.workspace import Workspace
from stages.base import CorpusStep, GroupStage


class StageStatus(BaseModel):
    """The status of one stage.

    Attributes:
        stage: Its name.
        unit: Kind of its units.
        units: Number of units.
        done: Number of units that are up to date.
        unreduced: Whether the result of a corpus step is missing, e.g. since parts are.
        why: Reason why earlier output is stale; empty when there is none or it is valid.
        videos: Rows in the parts that are done.
        live: Rows that later stages work on.
        retryable: Videos, and frames of others, with a retryable failure in this stage.
        failed: Videos that failed in this stage or before it, by ``stage.code``.
        dropped: Videos that this stage or one before it left out, by ``stage.reason``.
        warnings: By code.
        counts: Counts of the stage, e.g. frames.
    """

    stage: str
    unit: Literal["part", "group"] = "part"
    units: int
    done: int = 0
    unreduced: bool = False
    why: str = ""
    videos: int = 0
    live: int = 0
    retryable: int = 0
    failed: dict[str, int] = {}
    dropped: dict[str, int] = {}
    warnings: dict[str, int] = {}
    counts: dict[str, int] = {}

    @property
    def to_do(self) -> int:
        """Units that are missing; 1 where all are there and only their result is not."""
        return self.units - self.done or int(self.unreduced)


def status(workspace: Workspace) -> list[StageStatus]:
    """The status of every stage, in the pipeline's order."""
    found = []
    for name, stage in workspace.graph.stages.items():
        one = _group_status(workspace, name) if issubclass(stage, GroupStage) else _part_status(workspace, name)
        if one.to_do:
            one = one.model_copy(update={"why": _why(workspace, name)})
        found.append(one)
    return found


def group_marks(workspace: Workspace, name: str) -> dict[str, Mark]:
    """The marks of a stage's finished groups, by the group's id."""
    store, units = workspace.job.store, workspace.units(name)
    found = workspace.folded_groups(name)
    for group, address in workspace.done(name, [unit for unit in units if unit not in found]).items():
        if (mark := store.mark(address)) is not None:
            found[group] = mark
    return {group: found[group] for group in units if group in found}


def _part_status(workspace: Workspace, name: str) -> StageStatus:
    summary = asdict(workspace.summary(name))
    unreduced = issubclass(workspace.graph.stages[name], CorpusStep) and name not in workspace.job.results
    return StageStatus(stage=name, units=len(workspace.units(name)), unreduced=unreduced, **summary)


def _group_status(workspace: Workspace, name: str) -> StageStatus:
    units, store = workspace.units(name), workspace.job.store
    found = workspace.folded_summary(name)
    addresses = workspace.done(name, workspace.unfolded(name, units)).values()
    marks = [mark for address in addresses if (mark := store.mark(address)) is not None]
    counts = {one: found.counts.get(one, 0) + sum(group_counts(mark)[one] for mark in marks) for one in SHARD_COUNTS}
    return StageStatus(stage=name, unit="group", units=len(units), done=found.done + len(marks), counts=counts)


def _why(workspace: Workspace, name: str) -> str:
    """The reason why units of a stage have to be redone; empty where there is no earlier output."""
    needed = workspace.graph.waits_for(name)
    waiting = sorted(one for one in needed if one not in workspace.job.results)
    if own := _changed_key(workspace.job.store, name, workspace.job.keys[name]):
        return own
    if waiting:
        return f"waits for {', '.join(waiting)}"
    return _changed_inputs(workspace, name)


def _changed_key(store: Store, name: str, wanted: StageKey) -> str:
    """The difference of the wanted key from the nearest earlier key of the stage; empty when there is none."""
    if store.files.entry(f"{store.folder(name, wanted.key)}/{DESCRIPTION}"):
        return ""
    changes = [what_changed(old, wanted.ingredients) for old in store.descriptions(name)]
    return min(filter(None, changes), key=lambda change: (change.count(", "), change), default="")


def _changed_inputs(workspace: Workspace, name: str) -> str:
    """The changed input of the first missing unit that was done before."""
    stage, store = workspace.graph.stages[name], workspace.job.store
    prefix = "group" if issubclass(stage, GroupStage) else "part"
    under_way = workspace.unfolded(name, workspace.units(name))
    earlier = _earlier(workspace, name, prefix, under_way)
    done = workspace.done(name, earlier.keys() & set(under_way))
    for unit in under_way:
        if unit in done or unit not in earlier:
            continue
        contents = store.files.read_all(earlier[unit])
        marks = [mark for content in contents if content and (mark := Mark.of(content)) is not None]
        if not marks:
            continue
        now = _inputs_now(workspace, name, unit)
        if now is None:
            upstream = workspace.graph.upstream(name)
            first = [one for one in upstream if len(workspace.done(one)) < len(workspace.units(one))]
            return f"{', '.join(first)} to be done again"
        changed = {_source(key) for key in now if marks[-1].inputs.get(key) != now[key]}
        changed |= {_source(key) for key in marks[-1].inputs.keys() - now.keys()}
        return ", ".join(f"{source} changed" for source in sorted(changed))
    return ""


def _earlier(workspace: Workspace, name: str, prefix: str, units: Sequence[str]) -> dict[str, list[str]]:
    """The marks of units, whatever their keys, by the unit's id; of a stage with logs those that the logs name."""
    store, place = workspace.job.store, (name, workspace.job.keys[name].key)
    folder, found = store.folder(*place), defaultdict[str, list[str]](list)
    if workspace.folded.in_use(name):
        groups = {int(unit if prefix == "group" else workspace.basis.group_of_part(unit)) for unit in units}
        table = workspace.summaries.logs.units(place, groups)
        names = [] if table is None else [f"{folder}/{stem}.json" for stem in table["stem"].to_pylist()]
    else:
        names = [entry.name for entry in store.files.entries(folder) if entry.name.endswith(".json")]
    for file in names:
        unit, dot, _ = file.removeprefix(f"{folder}/{prefix}-").partition(".")
        if dot and "/" not in unit:
            found[unit].append(file)
    return found


def _inputs_now(workspace: Workspace, name: str, unit: str) -> dict[str, str] | None:
    if not issubclass(workspace.graph.stages[name], GroupStage):
        return workspace.lineage.inputs_of_part(name, unit, workspace.lines[unit])
    found: dict[str, str] = {}
    for part in workspace.job.groups[unit]:
        of_part = workspace.lineage.inputs_of_part(name, part, workspace.lines[part])
        if of_part is None:
            return None
        found |= {f"{part}/{source}": sha256 for source, sha256 in of_part.items()}
    return found


def _source(key: str) -> str:
    source = key.rpartition("/")[2]
    return "manifest or local file" if source == "manifest" else source
