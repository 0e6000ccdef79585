"""Which groups the logs count for: for what each is to be done now, held against for what it was done.

That is digests in a row: of the group's parts, their lines and the state outside, of which inputs a stage reads, and of
what came out of each of them or the result over the corpus. Where one differs, units are looked at one by one: their
keys say exactly what is stale.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from pipeline.graph import Graph
from pipeline.lineage import Result
from pipeline.lines import Lines
from pipeline.logs import DIGEST_BYTES, Counted, Digests, Logs, Positions, digest
from stages.base import AnyStage, CorpusStep
from stages.registry import AnyStageClass

PART, GROUP = "part-", "group-"
"""Beginnings of the names of units."""


class Basis:
    """For what groups are done, but for the inputs from other stages. What is expensive is done once, when asked for.

    Args:
        graph: The stages that are on.
        lines: The manifest's lines.
        groups: Parts by group.
    """

    def __init__(self, graph: Graph, lines: Lines, groups: Mapping[str, Sequence[str]]) -> None:
        self._outside = [stage for stage in graph.stages.values() if tells_outside(stage)]
        self._lines = lines
        self._groups = groups
        self.group_of = _GroupOf(groups)

    @cached_property
    def names(self) -> list[str]:
        """The groups' ids, by their numbers."""
        return sorted(self._groups, key=int)

    @cached_property
    def numbers(self) -> Positions:
        """The groups' numbers, ascending."""
        return np.array([int(name) for name in self.names], np.int64)

    def group_of_part(self, part: str) -> str:
        """The id of a part's group."""
        return self.names[int(np.searchsorted(self.numbers, self.group_of[f"{PART}{part}"]))]

    @cached_property
    def digests(self) -> Digests:
        """A digest of each group's parts with their lines and the state outside."""
        raw = b"".join(self._digest(self._groups[name]) for name in self.names)
        return np.frombuffer(raw, np.uint8).reshape(len(self.names), DIGEST_BYTES)

    def _digest(self, parts: Iterable[str]) -> bytes:
        texts = []
        for part in parts:
            lines = self._lines[part]
            texts += [part, json.dumps([line.__dict__ for line in lines])]
            texts += [stage.outside(line) for stage in self._outside for line in lines]
        return digest(*texts)


class _GroupOf(Mapping[str, int]):
    """Number of a unit's group, by the unit's name."""

    def __init__(self, groups: Mapping[str, Sequence[str]]) -> None:
        self._groups = groups
        self._parts: dict[str, int] | None = None

    def __getitem__(self, unit: str) -> int:
        if unit.startswith(GROUP):
            group = unit.removeprefix(GROUP)
            self._groups[group]
            return int(group)
        if self._parts is None:
            self._parts = {part: int(group) for group, parts in self._groups.items() for part in parts}
        return self._parts[unit.removeprefix(PART)]

    def __iter__(self) -> Iterator[str]:
        yield from (f"{PART}{part}" for parts in self._groups.values() for part in parts)
        yield from (f"{GROUP}{group}" for group in self._groups)

    def __len__(self) -> int:
        return len(self._groups) + sum(map(len, self._groups.values()))


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


def tells_outside(stage: AnyStageClass) -> bool:
    """Whether a stage depends on anything outside the work folder."""
    return stage.outside.__func__ is not AnyStage.outside.__func__  # type: ignore[attr-defined]


def _tiled(one: bytes, number: int) -> Digests:
    return np.tile(np.frombuffer(one, np.uint8), (number, 1))
