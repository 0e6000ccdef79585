"""Which groups the logs count for: for what each is to be done now, held against for what it was done.

That is digests in a row: of the group's parts, their lines and the state outside, of which inputs a stage reads, and of
what came out of each of them or the result over the corpus. Where one differs, units are looked at one by one: their
keys say exactly what is stale.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import groupby

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.graph import Graph
from pipeline.lineage import Result
from pipeline.lines import Lines
from pipeline.logs.logs import Counted, Logs
from pipeline.logs.segments import DIGEST_BYTES, Digests, Positions, digest
from pipeline.plan import Plan
from stages.base import CorpusStep
from stages.registry import AnyStageClass

PART, GROUP = "part-", "group-"
"""Beginnings of the names of units."""

LOCATIONS = ["url", "subtitles", "other_subtitles"]
"""Columns of the manifest that name files."""

REMOTE = r"^[A-Za-z][A-Za-z0-9+.-]*://"


class Basis:
    """For what groups are done, but for the inputs from other stages. What is expensive is done once, when asked for.

    Args:
        graph: The stages that are on.
        lines: The manifest's lines.
        plan: The parts.
        size: Slots of a group.
    """

    def __init__(self, graph: Graph, lines: Lines, plan: Plan, size: int) -> None:
        self._outside = [stage for stage in graph.stages.values() if stage.outside_of != "none"]
        self._lines = lines
        self._parts = plan.members
        self._size = size
        self.groups = plan.groups(size)

    @property
    def numbers(self) -> Positions:
        """The groups' numbers, ascending."""
        return self.groups.numbers

    def group_of_part(self, part: str) -> str:
        """The id of a part's group."""
        return self.groups.of_place(self._parts.place(part))

    def group_of(self, unit: str) -> int | None:
        """The number of a unit's group, by the unit's name; None where it is not asked for."""
        try:
            if not unit.startswith(GROUP):
                return int(self.group_of_part(unit.removeprefix(PART)))
            self.groups.range(unit.removeprefix(GROUP))
            return int(unit.removeprefix(GROUP))
        except KeyError:
            return None

    @cached_property
    def digests(self) -> Digests:
        """A digest of each group's parts with their lines and the state outside."""
        return self._now(np.arange(len(self.groups)))

    def unchanged(self, places: Positions) -> npt.NDArray[np.bool_]:
        """Whether the state outside of some groups, by their places, is the one now that `digests` has."""
        found: npt.NDArray[np.bool_] = (self._now(places) == self.digests[places]).all(axis=1)
        return found

    def _now(self, places: Positions) -> Digests:
        """The `digests` of some groups, by their places, with the state outside now."""
        found = self._of_lines[places].copy()
        for at, number in enumerate(self.numbers[places].tolist() if self._outside else ()):
            if parts := self._of_outside.get(number):
                found[at] = np.frombuffer(digest(found[at].tobytes(), *self._states(parts)), np.uint8)
        return found

    @cached_property
    def _of_lines(self) -> Digests:
        """A digest of each group's parts with their lines."""
        raw = b"".join(bytes.fromhex(one)[:DIGEST_BYTES] for one in self._lines.group_digests(self._size))
        return np.frombuffer(raw, np.uint8).reshape(len(self.groups), DIGEST_BYTES)

    @cached_property
    def _of_outside(self) -> dict[int, list[str]]:
        """The parts of each group, by its number, with lines of which there is a state outside."""
        local = all(stage.outside_of == "local" for stage in self._outside)
        parts = self._lines.parts_where(LOCATIONS, _local) if local else self._parts.ids
        return {int(group): list(some) for group, some in groupby(parts, self.group_of_part)}

    def _states(self, parts: Sequence[str]) -> Iterator[str]:
        """The state outside of the lines of some parts."""
        for lines in self._lines.of(parts).values():
            yield from (stage.outside(line) for stage in self._outside for line in lines)


def _local(lines: pa.Table) -> pa.Array:
    """Whether each line names a file of this machine: anything without a scheme, or with that of files."""
    found = None
    for name in LOCATIONS:
        column = lines[name].combine_chunks()
        if pa.types.is_list(column.type):
            is_local = pc.greater(pc.list_value_length(column), 0)
        else:
            remote = pc.and_not(
                pc.match_substring_regex(column, REMOTE), pc.starts_with(pc.utf8_lower(column), "file:")
            )
            is_local = pc.and_not(pc.not_equal(column, ""), remote)
        found = is_local if found is None else pc.or_(found, is_local)
    return found


class Folded:
    """Which groups the logs count for, by stage.

    Args:
        graph: The stages that are on.
        keys: Their keys.
        results: Known results of corpus steps.
        logs: The logs.
        basis: Of the groups.
    """

    def __init__(
        self, graph: Graph, keys: Mapping[str, str], results: Mapping[str, Result], logs: Logs, basis: Basis
    ) -> None:
        self._graph = graph
        self._keys = keys
        self._results = results
        self._logs = logs
        self._basis = basis
        self._counted: dict[str, Counted] = {}

    def in_use(self, name: str) -> bool:
        """Whether a stage has logs."""
        return can_fold(self._graph.stages[name]) and self._logs.in_use((name, self._keys[name]))

    def counted(self, name: str) -> Counted:
        """The rows of a stage's logs that count, of one that has logs."""
        if name not in self._counted:
            place, numbers = (name, self._keys[name]), self._basis.numbers
            outputs = {one: self.counted(one) for one in self.sources(name)}
            if self.waits(name):
                nothing = np.full(len(numbers), -1, np.int64)
                return Counted(nothing, nothing, np.zeros((len(numbers), DIGEST_BYTES), np.uint8))
            given = self.given(name, {one: found.output for one, found in outputs.items()})
            found = self._logs.counted(place, numbers, given, self._basis.group_of)
            for source in outputs.values():
                found.segment[~source.there] = -1
            self._counted[name] = found
        return self._counted[name]

    def sources(self, name: str) -> list[str]:
        """The stages whose units a stage reads."""
        return [one for one in self._graph.upstream(name) if not issubclass(self._graph.stages[one], CorpusStep)]

    def waits(self, name: str) -> bool:
        """Whether a stage waits for a result over the corpus."""
        steps = [one for one in self._graph.upstream(name) if issubclass(self._graph.stages[one], CorpusStep)]
        return any(one not in self._results for one in steps)

    def given(self, name: str, outputs: Mapping[str, Digests]) -> Digests:
        """For what each group is done in a stage.

        Args:
            name: The stage's.
            outputs: Digest of each group's output in each of its `sources`.
        """
        number = len(self._basis.numbers)
        reads = json.dumps([[one.stage, one.table] for one in self._graph.inputs[name]])
        columns = [self._basis.digests, _tiled(digest(reads), number)]
        for one in self._graph.upstream(name):
            if one in outputs:
                columns.append(outputs[one])
            else:
                columns.append(_tiled(bytes.fromhex(self._results[one].sha256)[:DIGEST_BYTES], number))
        return np.hstack(columns)


def can_fold(stage: AnyStageClass) -> bool:
    """Whether a stage's units are folded: not those of a sample, which are few."""
    return not issubclass(stage, CorpusStep) or stage.whole


def _tiled(one: bytes, number: int) -> Digests:
    return np.tile(np.frombuffer(one, np.uint8), (number, 1))
