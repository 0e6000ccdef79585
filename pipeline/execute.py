"""One unit of work: read its inputs, run the stage, commit. The same on every executor."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache, partial
from importlib import metadata
from typing import Any

from pipeline import seam
from pipeline.attempts import Attempts, given_up, of_device, one_by_one
from pipeline.config import RunConfig
from pipeline.graph import Graph
from pipeline.lineage import Lineage, Marks, Remembered, Result, StageKey, with_fields_of
from pipeline.lines import part_lines
from pipeline.order import ContractBroken, handed, rows_in_order
from pipeline.profile import StageProfile, UnitTimer, stage_profiles
from pipeline.store import ATTEMPTS, Address, Mark, Store, row_at, rows_of
from schemas.manifest import ManifestRow
from schemas.row import Row, RowError
from stages.base import ROWS, AnyStage, Context, CorpusStep, GroupStage, Input, Stage, StageSetupError, Video, passed_on
from stages.turns import FolderTurns, Turns
from storyloom.format.model import Model
from storyloom.format.parquet import ParquetFile

LINES_KEPT = 16
"""Parts whose lines a process remembers (our choice)."""


class NotReady(RuntimeError):
    """An input of a unit is not done, or no longer done."""


@dataclass(frozen=True)
class Job:
    """Everything that a worker on any machine needs to run any unit of any stage.

    Attributes:
        config: The run's config.
        keys: The stages' keys with their ingredients, by name.
        results: Known results of corpus steps.
        lines: Name of the work folder's file with the manifest's lines by part.
        groups: Parts by group.
        turns: The budgets of the hosts, where workers on several machines share them.
    """

    config: RunConfig
    keys: Mapping[str, StageKey]
    results: Mapping[str, Result] = field(default_factory=dict)
    lines: str = ""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    turns: Turns = field(default_factory=FolderTurns)

    def __getstate__(self) -> dict[str, Any]:
        """Without the graph: pickle could not find classes of the user's own stages before the config names them.

        What a process remembers stays there, too.
        """
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @cached_property
    def graph(self) -> Graph:
        """The stages that are on."""
        return self.config.graph

    @cached_property
    def store(self) -> Store:
        """The config's work folder."""
        return Store(self.config.work)

    @property
    def context(self) -> Context:
        """The context of all stages."""
        results = {name: result.value for name, result in self.results.items()}
        return Context(
            self.config.seed, self.store.media, results, self.turns, self.store.answers, self.config.sections
        )

    def lines_of(self, part: str) -> list[ManifestRow]:
        """The manifest's lines of a part."""
        return self._lines(part)

    @cached_property
    def _lines(self) -> Callable[[str], list[ManifestRow]]:
        """The lines of a part, which are asked for several times for a unit."""
        return lru_cache(LINES_KEPT)(partial(part_lines, self.store.files, self.lines))

    @cached_property
    def remembered(self) -> Remembered:
        """The marks as they were first read, to show how a run goes on; what is done is never decided by them."""
        return Remembered(self.store)

    def lineage(self, marks: Marks | None = None) -> Lineage:
        """The lineage by the current state of the work folder, or by other marks."""
        keys = {name: one.key for name, one in self.keys.items()}
        return Lineage(self.graph, keys, self.results, marks or self.store)

    def ready_stage(self, name: str) -> AnyStage[Any]:
        """A stage by name, set up.

        Raises:
            StageSetupError: It cannot start, or this machine's model or program differs from the planned one, so that
                its output would not match the key.
        """
        stage = self.graph.stages[name](self.config.stage(name), self.context)
        planned, here = str(self.keys[name].ingredients["revision"]), stage.revision()
        if here != planned:
            raise StageSetupError(
                f"{name} was planned with {planned!r}, but {socket.gethostname()} has {here!r}; install the same on"
                " every machine, and where they differ in their devices name device and precision in the config"
            )
        if lacking := stage.missing(()):
            raise StageSetupError(f"{socket.gethostname()}: {'; '.join(lacking)}")
        stage.setup()
        return stage

    def profiles(self) -> list[StageProfile]:
        """The measured times of the stages as they are configured now."""
        return stage_profiles(self.store, {name: one.key for name, one in self.keys.items()})

    def media_seconds(self, unit: str, lines: Sequence[ManifestRow] | None = None) -> float:
        """Seconds of media in a part, counted by the stages that read no other; 0.0 before they ran, and for groups.

        Args:
            unit: Id of the part or group.
            lines: The manifest's lines of the part; they are looked up otherwise.
        """
        if unit in self.groups:
            return 0.0
        graph, lines, lineage = self.graph, lines or self.lines_of(unit), self.lineage(self.remembered)
        found = (lineage.of_part(name, unit, lines) for name in graph.names if not graph.upstream(name))
        marks = (one[1] for one in found if one is not None)
        return sum(mark.counts.get("media_ms", 0) for mark in marks if mark is not None) / 1000

    def mark(self, stage: str, unit: str) -> Mark | None:
        """The mark of a unit; None when it or one of its inputs is not done."""
        lineage = self.lineage()
        if unit in self.groups:
            parts = {part: self.lines_of(part) for part in self.groups[unit]}
            found = lineage.of_group(stage, unit, parts)
        else:
            found = lineage.of_part(stage, unit, self.lines_of(unit))
        return None if found is None else found[1]

    def invalidate_part(self, stage: str, part: str) -> None:
        """Invalidate a part of a stage, so that it is done again."""
        found = self.lineage().of_part(stage, part, self.lines_of(part))
        if found is not None:
            self.store.invalidate(found[0])

    def invalidate_damaged(self, stage: str, unit: str) -> None:
        """Invalidate what a unit reads, directly or not, where its mark is damaged, or gone and perhaps in the logs."""
        lineage = self.lineage()
        for part in self.groups.get(unit, (unit,)):
            for name in self.graph.read_by({stage}):
                if not issubclass(self.graph.stages[name], CorpusStep):
                    found = lineage.of_part(name, part, self.lines_of(part))
                    if found is None or found[1] is not None:
                        continue
                    if self.store.has_logs(found[0]) or self.store.files.entry(self.store.mark_file(found[0])):
                        self.store.invalidate(found[0])

    def attempts(self, stage: str, unit: str) -> Attempts:
        """The attempts at a unit."""
        return Attempts(self.store.files, self.attempts_folder(stage), unit)

    def attempts_folder(self, stage: str) -> str:
        """The folder of the attempts at a stage's units."""
        return f"{ATTEMPTS}/{stage}/{self.keys[stage].key}"


class PartVideos:
    """The videos of a part as a stage reads them.

    Args:
        job: The run.
        stage: The stage that reads them.
        part: The part's id.

    Raises:
        NotReady: An input is not done.
    """

    def __init__(self, job: Job, stage: AnyStage[Any], part: str) -> None:
        self._job = job
        self._stage = stage
        self.lines = job.lines_of(part)
        self._lineage = job.lineage()
        found = self._lineage.inputs_of_part(stage.name, part, self.lines)
        if found is None:
            raise NotReady(f"{stage.name}, part {part}: what it reads is not done any more")
        self.inputs = found
        self._part = part

    @property
    def found(self) -> tuple[Address, Mark | None]:
        """The address of the part, and its mark when it is done."""
        found = self._lineage.of_part(self._stage.name, self._part, self.lines)
        assert found is not None, "its inputs are there"
        return found

    @property
    def tables(self) -> list[tuple[Input, Address, Mark]]:
        """The inputs from other stages, with their addresses and marks."""
        found = []
        for one in self._job.graph.inputs[self._stage.name]:
            if not issubclass(self._job.graph.stages[one.stage], CorpusStep):
                source = self._lineage.of_part(one.stage, self._part, self.lines)
                assert source is not None
                assert source[1] is not None, "its hash is among the inputs"
                found.append((one, source[0], source[1]))
        return found

    def row_model(self, one: Input) -> type[Row]:
        """The row model of an input."""
        stage = self._job.graph.stages[one.stage]
        assert issubclass(stage, Stage)
        return stage.row if one.table == ROWS else stage.tables[one.table]

    def __iter__(self) -> Iterator[Video]:
        """Each video with its rows, joined by key.

        Raises:
            ContractBroken: Rows are not in the order of the plan.
            Damaged: An input does not match its mark.
        """
        with ExitStack() as open_files:
            streams = [
                _ByVideo(
                    one,
                    rows_of(
                        open_files.enter_context(self._job.store.table(address, mark, one.table)),
                        self.row_model(one),
                        one.without,
                    ),
                )
                for one, address, mark in self.tables
            ]
            for line in self.lines:
                rows = [row for stream in streams for row in stream.of(line.video, self._part)]
                yield Video(with_fields_of(type(self._stage), line), rows, self._part)


class _ByVideo:
    """The rows of a table, grouped by video: exactly one per video in a stage's main table, any number in others."""

    def __init__(self, source: Input, rows: Iterator[Row]) -> None:
        self._source = source
        self._rows = rows
        self._next = next(rows, None)

    def of(self, video: str, part: str) -> Iterator[Row]:
        found = 0
        while self._next is not None and self._next.video == video:
            yield self._next
            found += 1
            self._next = next(self._rows, None)
        if self._source.table == ROWS and found != 1:
            there = self._next.video if self._next else "nothing"
            raise ContractBroken(f"part {part}: {self._source.stage} has {there} where the plan has {video}")


class LazyVideo(Video):
    """A video whose rows are read on access."""

    def __init__(self, manifest: ManifestRow, files: Mapping[type[Row], tuple[ParquetFile, int]]) -> None:
        super().__init__(manifest, [])
        self._files = files

    def __getitem__(self, row: type[Any]) -> Any:
        file, position = self._files[row]
        found = row_at(file, row, position)
        if found.video != self.key:
            raise ContractBroken(f"row {position} is that of {found.video}, the plan has {self.key}")
        return found

    def has(self, row: type[Row]) -> bool:
        return row in self._files


def run_part(job: Job, stage: Stage[Any, Any], part: str, attempts: Attempts, timer: UnitTimer) -> Mark:
    """Bring one part of one stage up to date; a finished part is left as it is.

    Args:
        job: The run.
        stage: Set up.
        part: Its id.
        attempts: At this unit; one is recorded as begun.
        timer: Measures the unit.

    Raises:
        NotReady: An input is not done.
        ContractBroken: The stage has a bug.
        Damaged: An input does not match its mark.
    """
    videos = PartVideos(job, stage, part)
    address, mark = videos.found
    if mark is not None:
        return mark
    ended = attempts.ended()
    without: Mapping[str, RowError] = {}
    if one_by_one(ended):
        without = given_up(stage.name, ended)
        try_one_by_one(stage, videos, without, attempts)
    rows = rows_in_order(stage, timer.each("read", videos), without)
    draft = Mark(stage=stage.name, unit=address.unit, key=address.key, inputs=videos.inputs, ran=_ran(job, stage))
    with timer.on("write"):
        mark = job.store.commit_rows(address, draft, {ROWS: stage.row, **stage.tables}, timer.each("process", rows))
        _tell_spent(job, videos, part)
        return mark


def _tell_spent(job: Job, videos: PartVideos, part: str) -> None:
    """Tell the stages whose files were read that all others who read them are done with the part, too.

    What may be tried again counts as not done, and a group is not waited for: where one reads them they stay.
    """
    graph, lineage = job.graph, job.lineage()
    for one, address, mark in videos.tables:
        if not (one.files and job.config.stage(one.stage).files_go):
            continue
        readers = [name for name, inputs in graph.inputs.items() if any(_reads_files(it, one.stage) for it in inputs)]
        if set(readers) & set(graph.group_stages):
            continue
        found = [lineage.of_part(name, part, videos.lines) for name in readers]
        if all(it is not None and it[1] is not None and not it[1].retryable for it in found):
            source = graph.stages[one.stage](job.config.stage(one.stage), job.context)
            assert isinstance(source, Stage)
            with job.store.table(address, mark) as rows:
                source.spent(rows_of(rows, source.row))


def _reads_files(one: Input, stage: str) -> bool:
    return one.files and one.stage == stage


def run_group(job: Job, stage: GroupStage[Any, Any], group: str, timer: UnitTimer) -> Mark:
    """Write one group; a finished group is left as it is.

    Raises:
        NotReady: An input is not done.
        Damaged: An input does not match its mark.
        FormatError: A document breaks a rule of the shard format.
    """
    parts = {part: job.lines_of(part) for part in job.groups[group]}
    found = job.lineage().of_group(stage.name, group, parts)
    if found is None:
        raise NotReady(f"{stage.name}, group {group}: what it reads is not done any more")
    address, mark = found
    if mark is not None:
        return mark
    inputs: dict[str, str] = {}

    def videos() -> Iterator[Video]:
        for part in parts:
            of_part = PartVideos(job, stage, part)
            inputs.update({f"{part}/{source}": sha256 for source, sha256 in of_part.inputs.items()})
            with ExitStack() as files:
                opened = {
                    of_part.row_model(one): files.enter_context(job.store.table(source, mark, one.table))
                    for one, source, mark in of_part.tables
                }
                for position, line in enumerate(of_part.lines):
                    rows = {model: (file, position) for model, file in opened.items()}
                    yield LazyVideo(with_fields_of(type(stage), line), rows)

    with job.store.files.scratch() as scratch:
        folder = scratch / "group"
        folder.mkdir()
        with timer.on("process"):
            result = stage.write(timer.each("read", videos()), folder)
            seam.at("group", stage.name, group)
        written: Model = result
        mark = Mark(
            stage=stage.name,
            unit=address.unit,
            key=address.key,
            inputs=inputs,
            files=stage.files(result),
            result=written.model_dump(mode="json"),
            ran=_ran(job, stage),
        )
        with timer.on("write"):
            return job.store.commit_group(address, mark, folder)


def try_one_by_one(
    stage: Stage[Any, Any], videos: Iterable[Video], given_up: Mapping[str, RowError], attempts: Attempts
) -> None:
    """Find the videos of a part that make the stage fail: process each one alone and discard its rows.

    Rows always come from the part as a whole, since some depend on its other videos. After a failing video the others
    are still tried; the attempt ends with the last failing one as its current video.

    Raises:
        Exception: The stage's exception for the last failing video.
    """
    attempts.isolate()
    failed: tuple[str, Exception] | None = None
    for video in videos:
        if passed_on(stage, video) is not None or video.key in given_up:
            continue
        attempts.in_hand(video.key)
        try:
            for _ in handed(stage, [video]):
                pass
        except Exception as reason:
            if of_device(reason) or isinstance(reason, MemoryError | OSError):
                raise  # every other video would fail in this process too
            failed = video.key, reason
        else:
            attempts.passed()
    if failed:
        attempts.in_hand(failed[0])
        raise failed[1]


def _ran(job: Job, stage: AnyStage[Any]) -> str:
    revision = job.keys[stage.name].ingredients["revision"]
    return f"storyloom {metadata.version('storyloom')}" + (f"; {revision}" if revision else "")
