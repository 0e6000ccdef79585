"""A workspace: the units of a config and their state in its work folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

from pipeline.config import RunConfig
from pipeline.execute import Job
from pipeline.extras import check_extras, setup_problem
from pipeline.graph import Graph
from pipeline.kept import Kept, State, keep, read_kept, state_of
from pipeline.lineage import CORPUS, Lineage, Result, stage_keys
from pipeline.lines import Lines
from pipeline.lists import expanded
from pipeline.manifest import Listed, list_manifest
from pipeline.places import check_places
from pipeline.plan import Plan, make_plan, save_plan
from pipeline.store import Address, Damaged, Mark, Store, canonical_digest, rows_of
from pipeline.summaries import Summaries
from schemas.row import Row
from stages.base import Context, CorpusStep, GroupStage, Stage, StageSetupError
from storyloom.errors import RunFailed, UsageError
from storyloom.format.model import Model
from storyloom.fs.place import absolute

RowT = TypeVar("RowT", bound=Row)

Work = Mapping[str, Sequence[str]]
"""Units by stage, in the order of execution; a unit goes through the stages that list it."""

PLANNED_AT_ONCE = 100
"""Times that planning is repeated because other runs planned first (our choice)."""

LEFT_OF_A_SAMPLE = 0.5
"""Least share of a sample's parts that must remain for its result to stay valid (our choice)."""


@dataclass(frozen=True)
class Workspace:
    """The units of a config and their state in its work folder.

    Attributes:
        job: The job, with the known results over the corpus.
        plan: The parts that are asked for.
        lines: The manifest's lines by part.
        summaries: The marks when they were last read.
        told: What was passed over, changed and cleaned in the manifest.
    """

    job: Job
    plan: Plan
    lines: Lines
    summaries: Summaries
    told: tuple[str, ...]

    @property
    def config(self) -> RunConfig:
        """The config, its work folder as an absolute path."""
        return self.job.config

    @property
    def graph(self) -> Graph:
        """The stages that are on."""
        return self.job.graph

    @cached_property
    def lineage(self) -> Lineage:
        """Addresses of units by the marks when they were last read."""
        keys = {name: one.key for name, one in self.job.keys.items()}
        return Lineage(self.graph, keys, self.job.results, self.summaries)

    def refreshed(self) -> Workspace:
        """The workspace with the current marks and results."""
        known = replace(self, job=replace(self.job, results={}), summaries=self.summaries.refreshed())
        return known.resolved(write=False)

    def units(self, name: str) -> Sequence[str]:
        """Ids of the parts or groups of a stage."""
        stage = self.graph.stages[name]
        if issubclass(stage, GroupStage):
            return tuple(self.job.groups)
        if issubclass(stage, CorpusStep) and not stage.whole:
            return self.plan.sample(self.config.parts.group)
        return self.plan.parts

    def found(self, name: str, unit: str) -> tuple[Address, Mark | None] | None:
        """The address of a unit and, when it is done, its mark; None while an input is not done."""
        if issubclass(self.graph.stages[name], GroupStage):
            return self.lineage.of_group(name, unit, {part: self.lines[part] for part in self.job.groups[unit]})
        if (name, unit) in self.lineage.found:
            return self.lineage.found[name, unit]
        if self.lineage.waits(name, unit):
            return None
        return self.lineage.of_part(name, unit, self.lines[unit])

    def done(self, name: str, units: Iterable[str] | None = None) -> dict[str, Address]:
        """The finished ones of a stage's units, or of some of them, with their addresses."""
        tried = ((unit, self.found(name, unit)) for unit in (self.units(name) if units is None else units))
        return {unit: found[0] for unit, found in tried if found is not None and found[1] is not None}

    def missing(self, work: Work) -> dict[str, set[str]]:
        """The unfinished units of some work, by the current marks."""
        fresh = replace(self, summaries=self.summaries.refreshed())
        return {name: set(units) - fresh.done(name, units).keys() for name, units in work.items()}

    def rows(self, name: str, part: str, row: type[RowT], without: tuple[str, ...] = ()) -> Iterator[RowT]:
        """The rows of a part that is done in a stage, some columns left out.

        Raises:
            RunFailed: The part is not done, or damaged.
        """
        found = self.found(name, part)
        mark = None if found is None else self.job.store.mark(found[0])
        if found is None or mark is None:
            raise RunFailed(f"part {part} is not done in {name}; run it first")
        try:
            with self.job.store.table(found[0], mark) as file:
                yield from rows_of(file, row, without)
        except Damaged as reason:
            again = f"do it again with --only {name} --force"
            raise RunFailed(f"{name}, part {part}: {reason.flaw}; {again}") from reason

    def invalidate(self, name: str, units: Iterable[str]) -> None:
        """Invalidate finished units, so that they are done again."""
        for address in self.done(name, units).values():
            self.job.store.invalidate(address)

    def resolved(self, *, write: bool) -> Workspace:
        """The workspace with the result of every corpus step whose parts are done.

        Args:
            write: Whether a missing result is made; otherwise only an existing one is used.

        Raises:
            Damaged: A part of the step does not match its mark.
        """
        found = self
        for name in self.graph.corpus_steps:
            if name not in found.job.results and (result := _result(found, name, write=write)):
                results = {**found.job.results, name: result}
                found = replace(found, job=replace(found.job, results=results))
        return found


def listed(config: RunConfig) -> Listed:
    """The lines of the manifest; lists in it are not read.

    Raises:
        UsageError: The manifest cannot be used.
    """
    return list_manifest(
        config.manifest,
        url_parameters=config.url_parameters,
        columns=config.columns,
        without=(absolute(config.work), absolute(config.output)),
    )


def survey(config: RunConfig, *, write: bool = False, refresh: bool = False) -> Workspace:
    """Plan the manifest and read the state of its work folder.

    Args:
        config: The run's config.
        write: Whether the work folder is created and the plan saved, as a run needs it; otherwise nothing is written.
        refresh: Whether playlists and channels that were read before are read again.

    Raises:
        UsageError: The manifest or the work folder cannot be used, or packages of a stage's settings are missing.
    """
    check_places(config)
    check_extras(config)
    config = config.model_copy(update={"work": absolute(config.work)})
    store = Store(config.work)
    state = state_of(config)
    found = None if refresh else read_kept(config, store, state)
    if found is None:
        found = _planned(config, store, state, write=write, refresh=refresh)
    elif write:
        store.prepare()
    try:
        keys = stage_keys(config, Context(config.seed, store.media))
    except StageSetupError as reason:
        raise UsageError(setup_problem(reason)) from reason
    job = Job(
        config,
        keys,
        lines=found.lines.name if write else "",
        groups=found.plan.groups(config.parts.group),
    )
    return Workspace(job, found.plan, found.lines, Summaries(store, keep=write), found.told).resolved(write=False)


def _planned(config: RunConfig, store: Store, state: State, *, write: bool, refresh: bool) -> Kept:
    """Read the manifest and plan it; see `survey`.

    Raises:
        UsageError: The manifest or the work folder cannot be used.
    """
    read = listed(config)
    if write:
        store.prepare()
    manifest, of_lists = expanded(read.rows, config, store.files, write=write, refresh=refresh)
    for _ in range(PLANNED_AT_ONCE):
        plan = make_plan(manifest.keys, store.files, config.parts, config.seed)
        if not write or save_plan(plan, store.files):
            break
    else:
        raise UsageError(
            f"the plan in {store.address} changes all the time; is another run planning a manifest that grows?"
        )
    plan = plan.within(config.parts.limit, config.parts.sample, config.seed)
    made = Kept(plan, Lines(manifest, plan), (*read.told, *of_lists))
    if write:
        made.lines.save(store.files)
        keep(config, store, state, made, None if of_lists or manifest is not read.rows else read.folders)
    return made


def _result(workspace: Workspace, name: str, *, write: bool) -> Result | None:
    """The result of a corpus step; None while its parts are not done, or if it is missing and must not be made."""
    stage = workspace.graph.stages[name]
    assert issubclass(stage, CorpusStep)
    parts = workspace.units(name)
    if not workspace.done(name, parts[-1:]):  # most often the last one to be done: a look at all takes long
        return None
    done = workspace.done(name, parts)
    if len(done) < len(parts):
        return None
    store, marks = workspace.job.store, {part: workspace.summaries.mark(address) for part, address in done.items()}
    summaries = {part: mark.output for part, mark in marks.items() if mark is not None}
    address = workspace.lineage.of_corpus(name, summaries)
    exact = stage.whole or bool(workspace.plan.left_out)  # a part of the list does not depend on earlier runs
    mark = store.mark(address) or (None if exact else _of_a_larger_sample(store, address, summaries))
    if mark is None and write:
        result = _reduced(workspace, stage, done).model_dump(mode="json")
        draft = Mark(stage=name, unit=CORPUS, key=address.key, inputs=summaries, result=result)
        mark = store.commit_mark(address, draft)
    if mark is None:
        return None
    return Result(canonical_digest(mark.result), stage.result.model_validate(mark.result))


def _reduced(workspace: Workspace, step: type[CorpusStep[Any, Any, Any]], done: Mapping[str, Address]) -> Model:
    """The result of a corpus step over the rows of its parts.

    Raises:
        Damaged: A part does not match its mark.
        RunFailed: The step raises or returns something else than its result.
    """
    made = step(workspace.config.stage(step.name), workspace.job.context)
    try:
        made.setup()
        result = made.reduce(_live_rows(workspace, made, done))
    except (Damaged, OSError, MemoryError):
        raise
    except Exception as reason:
        raise RunFailed(f"{step.name}.reduce failed: {type(reason).__name__}: {reason}") from reason
    if not isinstance(result, step.result):
        raise RunFailed(f"{step.name}.reduce returned {type(result).__name__}, not a {step.result.__name__}")
    return result


def _of_a_larger_sample(store: Store, address: Address, summaries: Mapping[str, str]) -> Mark | None:
    """A result over a larger earlier sample, which stays valid when a few videos are removed."""
    found = []
    folder = store.folder(address.stage, address.stage_key)
    names = [one.name for one in store.files.entries(folder) if one.name.startswith(f"{folder}/{CORPUS}.")]
    for content in store.files.read_all([name for name in names if name.endswith(".json")]):
        mark = Mark.of(content or b"")
        if (
            mark is not None
            and summaries.items() <= mark.inputs.items()
            and len(summaries) >= LEFT_OF_A_SAMPLE * len(mark.inputs)
        ):
            found.append(mark)
    return min(found, key=lambda mark: (len(mark.inputs), mark.key), default=None)


def _live_rows(workspace: Workspace, stage: Stage[Any, Any], done: Mapping[str, Address]) -> Iterable[Row]:
    for address in done.values():
        mark = workspace.job.store.mark(address)
        if mark is None:
            raise Damaged(address, "its mark is gone")
        with workspace.job.store.table(address, mark) as file:
            yield from (row for row in rows_of(file, stage.row) if row.live)
