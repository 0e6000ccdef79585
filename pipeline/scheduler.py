"""The order of the work: groups of parts in waves, and the work that may overlap with a wave."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby

from pipeline.config import RunConfig
from pipeline.executors.background import Background
from pipeline.executors.executor import Executor
from pipeline.logs.fold import fold
from pipeline.logs.folded import can_fold
from pipeline.parts import group_id
from pipeline.progress.listener import Advance, advance
from pipeline.workspace import Workspace
from storyloom.errors import RunFailed
from storyloom.view.counts import count_of

MOST_GROUPS = 64
"""Groups in a wave: near 5,000 parts, since Ray Data keeps about 2 kB per part until its work ends (our choice)."""

Wave = Mapping[str, tuple[str, ...]]
"""Parts by group."""


@dataclass
class Scheduler:
    """Brings stages up to date, wave after wave.

    Stages are split into segments by the number of corpus results that they need. While a wave is in its first segment,
    stages that read the manifest only start on the next wave, and earlier waves go through the later segments as soon
    as the results exist.

    Attributes:
        selected: Names of the stages.
        executor: Runs them.
        advanced: Called with each finished unit.
    """

    selected: frozenset[str]
    executor: Executor
    advanced: Callable[[Advance], None]
    _reached: dict[int, int] = field(default_factory=dict)

    def bring_up_to_date(self, workspace: Workspace) -> Workspace:
        """Do all missing units; returns a workspace with the results over the corpus.

        Raises:
            UnitsMissing: Some units are missing after several attempts.
            RunFailed: Too many videos failed, or no further attempt would help.
            Damaged: A part that a corpus step reads does not match its mark.
        """
        segments = self._segments(workspace)
        order = list(waves(self._under_way(workspace)))
        ahead, behind = Background(), Background()
        self._reached = dict.fromkeys(range(len(order)), 0)
        for number, wave in enumerate(order):
            ahead.join()
            if self.executor.overlaps and number + 1 < len(order):
                ahead.start(partial(self._run, workspace, self._sources(workspace), order[number + 1]))
            if segments and self._ready(workspace, segments[0]):
                self._run(workspace, segments[0], wave)
                self._reached[number] = 1
            self._check_failures(workspace, segments[:1], wave)
            behind.join()
            workspace = self._resolved(workspace)
            self._fold(workspace, order[: number + 1])
            catch_up = partial(self._catch_up, workspace, segments, order[: number + 1])
            if self.executor.overlaps and number + 1 < len(order):
                behind.start(catch_up)
            else:
                catch_up()
        behind.join()
        while (resolved := self._resolved(workspace)).job.results.keys() != workspace.job.results.keys():
            workspace = resolved
            self._catch_up(workspace, segments, order)
        self._fold(resolved, order)
        return resolved

    def _under_way(self, workspace: Workspace) -> Wave:
        """The groups of which a selected stage is not known by the logs to have ended."""
        graph, groups = workspace.graph, workspace.job.groups
        if not all(workspace.folded.in_use(name) for name in self.selected if can_fold(graph.stages[name])):
            return groups
        open_groups = set[str]()
        for name in self.selected:
            if can_fold(graph.stages[name]):
                there = workspace.folded.counted(name).there
                open_groups.update(map(group_id, workspace.basis.numbers[~there].tolist()))
            else:
                missing = set(workspace.units(name)) - workspace.done(name).keys()
                open_groups.update(workspace.basis.group_of_part(part) for part in missing)
        return {group: groups[group] for group in sorted(open_groups, key=int)}

    def _fold(self, workspace: Workspace, order: Sequence[Wave]) -> None:
        """Write the logs of the groups that ended, of the waves so far."""
        read = workspace.graph.read_by(self.selected)
        fold(workspace, self.selected | read, [group for wave in order for group in wave])

    def _segments(self, workspace: Workspace) -> list[list[str]]:
        """The selected stages by the number of corpus results that they need, fewest first."""
        graph = workspace.graph
        names = sorted(
            (name for name in graph.names if name in self.selected), key=lambda name: len(graph.waits_for(name))
        )
        return [list(some) for _, some in groupby(names, key=graph.waits_for)]

    def _sources(self, workspace: Workspace) -> list[str]:
        graph = workspace.graph
        return [name for name in graph.names if name in self.selected and not graph.upstream(name)]

    def _ready(self, workspace: Workspace, segment: Sequence[str]) -> bool:
        return all(workspace.graph.waits_for(name) <= workspace.job.results.keys() for name in segment)

    def _resolved(self, workspace: Workspace) -> Workspace:
        before = dict(workspace.job.results)
        found = workspace.refreshed().resolved(write=True)
        for name in sorted(found.job.results.keys() - before.keys() & self.selected):
            self.advanced(Advance(name, "corpus"))
        return found

    def _catch_up(self, workspace: Workspace, segments: Sequence[Sequence[str]], order: Sequence[Wave]) -> None:
        """Bring each wave through its remaining segments whose corpus results exist."""
        for number, wave in enumerate(order):
            while (at := self._reached[number]) < len(segments) and self._ready(workspace, segments[at]):
                self._run(workspace, segments[at], wave)
                self._reached[number] = at + 1

    def _run(self, workspace: Workspace, names: Sequence[str], wave: Wave) -> None:
        graph = workspace.graph
        parts = longest_first(workspace, [part for some in wave.values() for part in some])
        work: dict[str, Sequence[str]] = {}
        for name in names:
            key = workspace.job.keys[name]
            workspace.job.store.describe(name, key.key, key.ingredients)
            wanted = None if can_fold(graph.stages[name]) else set(workspace.units(name))
            work[name] = [part for part in parts if wanted is None or part in wanted]
        groups = {name: tuple(wave) for name in names if name in graph.group_stages}
        for some in ({name: units for name, units in work.items() if name not in groups}, groups):
            if any(some.values()):
                self.executor.run(workspace, some, partial(self._advanced, workspace))

    def _advanced(self, workspace: Workspace, stage: str, unit: str) -> None:
        self.advanced(advance(workspace, stage, unit))

    def _check_failures(self, workspace: Workspace, segments: Sequence[Sequence[str]], wave: Wave) -> None:
        fresh = workspace.refreshed()
        parts = [part for some in wave.values() for part in some]
        for name in (name for segment in segments for name in segment if name not in workspace.graph.group_stages):
            asked = None if can_fold(fresh.graph.stages[name]) else set(fresh.units(name))
            units = [part for part in parts if asked is None or part in asked]
            so_far = fresh.summaries.summary(fresh.done(name, units).values())
            check_failures(workspace.config, so_far.failed, so_far.videos)


def waves(groups: Mapping[str, tuple[str, ...]]) -> Iterator[Wave]:
    """Groups in waves: one group first, then twice as many each time, up to `MOST_GROUPS`.

    So a result over a sample is available early.
    """
    names = list(groups)
    start, size = 0, 1
    while start < len(names):
        yield {name: groups[name] for name in names[start : start + size]}
        start, size = start + size, min(2 * size, MOST_GROUPS)


def longest_first(workspace: Workspace, parts: Sequence[str]) -> list[str]:
    """Parts by the length of their media if known, longest first: a long part that starts last delays the end."""
    graph = workspace.graph
    sources = [name for name in graph.names if not graph.upstream(name)]

    def seconds_of(part: str) -> float:
        found = (workspace.found(name, part) for name in sources)
        return sum(workspace.summaries.count(one[0], "media_ms") for one in found if one is not None) / 1000

    seconds = {part: seconds_of(part) for part in parts}
    return sorted(parts, key=lambda part: (-seconds[part], part))


def check_failures(config: RunConfig, failed: Mapping[str, int], videos: int) -> None:
    """Fail the run when too many videos failed.

    Raises:
        RunFailed: A larger share failed than the config allows.
    """
    if sum(failed.values()) > config.runner.max_failed_share * videos:
        raise RunFailed(
            f"{sum(failed.values())} of {count_of(videos, 'videos')} failed, a larger share than"
            f" runner.max_failed_share ({config.runner.max_failed_share:g}) allows: {counted(failed)}. Nothing was"
            " published; what is done is kept. docs/errors.md says what each code means"
        )


def counted(reasons: Mapping[str, int]) -> str:
    """Reasons with their counts, the most frequent first."""
    return ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items(), key=lambda one: (-one[1], one)))
