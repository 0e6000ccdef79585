"""A workspace: the units of a config and their state in its work folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pipeline.config import RunConfig
from pipeline.execute import Job
from pipeline.extras import check_extras, setup_problem
from pipeline.graph import Graph
from pipeline.kept import Kept, State, keep, read_kept, state_of
from pipeline.lineage import CORPUS, Lineage, Result, stage_keys
from pipeline.lines import Lines
from pipeline.lists import expanded
from pipeline.logs.folded import GROUP, PART, Basis, Folded
from pipeline.logs.logs import LogDamaged
from pipeline.logs.segments import Totals
from pipeline.manifest import Listed, list_manifest
from pipeline.parts import group_id
from pipeline.places import check_places
from pipeline.plan import Plan, make_plan, save_plan
from pipeline.store import Address, Damaged, Mark, Store, canonical_digest, rows_of
from pipeline.summaries import Summaries, Summary, marks_in
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
        basis: For what groups are done, as it was when last looked at.
    """

    job: Job
    plan: Plan
    lines: Lines
    summaries: Summaries
    told: tuple[str, ...]
    basis: Basis

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

    @cached_property
    def folded(self) -> Folded:
        """Which groups the logs count for."""
        keys = {name: one.key for name, one in self.job.keys.items()}
        return Folded(self.graph, keys, self.job.results, self.summaries.logs, self.basis)

    def looked_again(self) -> Workspace:
        """The workspace with the current state outside, marks and results."""
        return replace(self, basis=Basis(self.graph, self.lines, self.plan, self.config.parts.group)).refreshed()

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
        if (name, unit) not in self.lineage.found:
            self._look(name, [unit])
        return self._found(name, unit)

    def _found(self, name: str, unit: str) -> tuple[Address, Mark | None] | None:
        if issubclass(self.graph.stages[name], GroupStage):
            return self.lineage.of_group(name, unit, {part: self.lines[part] for part in self.job.groups[unit]})
        if (name, unit) in self.lineage.found:
            return self.lineage.found[name, unit]
        if self.lineage.waits(name, unit):
            return None
        return self.lineage.of_part(name, unit, self.lines[unit])

    def _look(self, name: str, units: Sequence[str]) -> None:
        """Read what the logs and marks of stages that have logs say of some units and what they read, at once."""
        if not units or not self.summaries.logs.used:
            return
        read = self.graph.read_by({name})
        names = [one for one in self.graph.names if one == name or one in read]
        of_groups = issubclass(self.graph.stages[name], GroupStage)
        groups = units if of_groups else sorted({self.basis.group_of_part(unit) for unit in units})
        parts = [part for group in units for part in self.job.groups[group]] if of_groups else units
        lines = {part: self.lines[part] for part in parts}
        for one in names:
            place = one, self.job.keys[one].key
            self.summaries.load(place, map(int, groups))
            if not issubclass(self.graph.stages[one], GroupStage):
                found = (self.lineage.address_of_part(one, part, lines[part]) for part in parts)
                self.summaries.look(place, [address for address in found if address is not None])

    def done(self, name: str, units: Iterable[str] | None = None) -> dict[str, Address]:
        """The finished ones of a stage's units, or of some of them, with their addresses."""
        if units is not None:
            return self._done(name, tuple(units))
        every = self.units(name)
        if not self.folded.in_use(name):
            return self._done(name, every)
        try:
            found = self._logged(name)
        except LogDamaged:
            return self._done(name, every)
        found |= self._done(name, self.unfolded(name, every))
        return {unit: found[unit] for unit in every if unit in found}

    def _logged(self, name: str) -> dict[str, Address]:
        """The units of a stage that has logs which these count for.

        Raises:
            LogDamaged: A file of units is gone or damaged.
        """
        key, prefix = self.job.keys[name].key, GROUP if issubclass(self.graph.stages[name], GroupStage) else PART
        table = self.summaries.logs.counted_units((name, key), self.folded.counted(name))
        stems = [] if table is None else table["stem"].to_pylist()
        named = (stem.split(".") for stem in stems)
        return {unit.removeprefix(prefix): Address(name, key, unit, of_unit) for unit, of_unit in named}

    def lost(self, name: str) -> list[Address]:
        """The units of a stage that the logs count for and that have no mark: somebody removed it."""
        if not self.folded.in_use(name):
            return []
        try:
            logged = self._logged(name)
        except LogDamaged:
            return []
        there = marks_in(self.job.store.files, self.job.store.folder(name, self.job.keys[name].key))
        return [address for address in logged.values() if address.stem not in there]

    def _done(self, name: str, units: Sequence[str]) -> dict[str, Address]:
        self._look(name, units)
        tried = ((unit, self._found(name, unit)) for unit in units)
        return {unit: found[0] for unit, found in tried if found is not None and found[1] is not None}

    def unfolded(self, name: str, units: Sequence[str]) -> Sequence[str]:
        """The ones of some units of a stage that the logs do not count for: those that are under way."""
        return self._outside_of(name, units, self.folded.counted(name).there) if self.folded.in_use(name) else units

    def failing(self, name: str) -> Sequence[str]:
        """The units of a stage but those of groups of which the logs say that nothing failed in it."""
        units = self.units(name)
        if not self.folded.in_use(name):
            return units
        place = name, self.job.keys[name].key
        return self._outside_of(name, units, self.summaries.logs.quiet(place, self.folded.counted(name)))

    def _outside_of(self, name: str, units: Sequence[str], inside: npt.NDArray[np.bool_]) -> Sequence[str]:
        """Those of some units of a stage that are not in some groups."""
        if not inside.any():
            return units
        groups = {group_id(number) for number in self.basis.numbers[~inside].tolist()}
        if issubclass(self.graph.stages[name], GroupStage):
            return [unit for unit in units if unit in groups]
        if len(units) < len(self.plan.parts):
            return [unit for unit in units if self.basis.group_of_part(unit) in groups]
        return [part for group in sorted(groups, key=int) for part in self.job.groups[group]]

    def ran(self, name: str) -> list[str]:
        """The models, programs and libraries that were used for the finished units of a stage, sorted."""
        found = set(self.summaries.ran(self.done(name, self.unfolded(name, self.units(name))).values()))
        if self.folded.in_use(name):
            place = name, self.job.keys[name].key
            found |= self.summaries.logs.totals(place, self.folded.counted(name)).ran
        return sorted(found)

    def summary(self, name: str) -> Summary:
        """The sums over the finished units of a stage."""
        found = self.summaries.summary(self._done(name, self.unfolded(name, self.units(name))).values())
        return found + self.folded_summary(name)

    def folded_summary(self, name: str) -> Summary:
        """The sums over the units of a stage that the logs count for."""
        if not self.folded.in_use(name):
            return Summary.of(Totals())
        place = name, self.job.keys[name].key
        return Summary.of(self.summaries.logs.totals(place, self.folded.counted(name)))

    def folded_groups(self, name: str) -> dict[str, Mark]:
        """The marks, without their inputs, of the groups of a stage of groups that the logs count for, by id."""
        if not self.folded.in_use(name):
            return {}
        place = name, self.job.keys[name].key
        try:
            table = self.summaries.logs.counted_units(place, self.folded.counted(name))
        except LogDamaged:
            return {}
        found = {}
        for line in [] if table is None else table.select(["stem", "group_mark"]).to_pylist():
            mark = Mark.model_validate_json(line["group_mark"])
            found[mark.unit.removeprefix(GROUP)] = mark
        return found

    def missing(self, work: Work) -> dict[str, set[str]]:
        """The unfinished units of some work, by the current marks."""
        fresh = replace(self, summaries=self.summaries.refreshed())
        found = {}
        for name, units in work.items():
            under_way = fresh.unfolded(name, units)
            found[name] = set(under_way) - fresh._done(name, under_way).keys()  # noqa: SLF001 - its own
        return found

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
        self.job.store.invalidate(*self.done(name, units).values())

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
        keys = stage_keys(config, Context(config.seed, store.media, sections=config.sections))
    except StageSetupError as reason:
        raise UsageError(setup_problem(reason)) from reason
    job = Job(
        config,
        keys,
        lines=found.lines.name if write else "",
        groups=found.plan.groups(config.parts.group),
    )
    basis = Basis(config.graph, found.lines, found.plan, config.parts.group)
    summaries = Summaries(store, keep=write)
    return Workspace(job, found.plan, found.lines, summaries, found.told, basis).resolved(write=False)


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
