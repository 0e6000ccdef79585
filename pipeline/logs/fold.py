"""Folding the marks of ended groups into logs; see `pipeline/logs/logs.py`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.logs.folded import Folded, can_fold
from pipeline.logs.segments import DIGEST_BYTES, Digests, GroupRow, Positions, Totals, digest, sums_of
from pipeline.parts import group_id
from pipeline.store import Address, canonical_digest
from pipeline.summaries import group_counts
from pipeline.workspace import Workspace
from stages.base import GroupStage

FOLDED_FROM = 64
"""Groups of a plan up to which listing its marks is no trouble, so that no logs are written (our choice)."""

AT_ONCE = 1_024
"""Groups of which a segment is written (our choice)."""


def fold(workspace: Workspace, names: Collection[str], groups: Iterable[str]) -> None:
    """Write the logs of those of some groups that ended in some stages, by the current marks.

    Args:
        workspace: The run's.
        names: Names of the stages.
        groups: Ids of the groups.
    """
    if len(workspace.job.groups) <= FOLDED_FROM:
        return
    some = [name for name in workspace.graph.names if name in names and can_fold(workspace.graph.stages[name])]
    for name in some:
        if not workspace.folded.in_use(name):
            workspace.summaries.logs.begin((name, workspace.job.keys[name].key))
    _fold(workspace.refreshed(), some, list(groups))
    logs = workspace.summaries.logs.refreshed()
    for name in some:
        logs.merge((name, workspace.job.keys[name].key))


def _fold(fresh: Workspace, names: Sequence[str], groups: Sequence[str]) -> None:
    """Write the rows of groups, but those of which the state outside changed since `Basis.digests`, or meanwhile.

    A row of such a group would say that it was done for the one state, and name units that were done for the other.
    """
    basis, folded = fresh.basis, fresh.folded
    asked = np.isin(basis.numbers, np.array([int(group) for group in groups], np.int64))
    known = [folded.counted(name).there for name in names if folded.in_use(name) and not folded.waits(name)]
    (places,) = np.nonzero(asked & ~np.all(known, axis=0)) if known else (np.empty(0, np.int64),)
    for start in range(0, len(places), AT_ONCE):
        some = places[start : start + AT_ONCE]
        some = some[basis.unchanged(some)]
        made = _made(replace(fresh), folded, names, some)  # with a lineage of its own, that looks outside now
        still = set(basis.numbers[some[basis.unchanged(some)]].tolist())
        for name, found in made.items():
            if kept := [(row, units) for row, units in found if row.group in still]:
                place = name, fresh.job.keys[name].key
                rows, tables = zip(*kept, strict=True)
                fresh.summaries.logs.write(place, rows, pa.concat_tables(tables))


def _made(
    fresh: Workspace, folded: Folded, names: Sequence[str], places: Positions
) -> dict[str, list[tuple[GroupRow, pa.Table]]]:
    """By stage the rows of those of some groups, by their places, that ended and have none, and their units' rows."""
    numbers = fresh.basis.numbers
    asked = np.isin(np.arange(len(numbers)), places)
    outputs: dict[str, Digests] = {}
    there: dict[str, npt.NDArray[np.bool_]] = {}
    found: dict[str, list[tuple[GroupRow, pa.Table]]] = {}
    for name in fresh.graph.names:
        if not can_fold(fresh.graph.stages[name]) or not folded.in_use(name):
            continue
        sources = folded.sources(name)
        if folded.waits(name) or any(one not in outputs for one in sources):
            continue
        counted = folded.counted(name)
        outputs[name], there[name] = counted.output.copy(), counted.there.copy()
        if name not in names:
            continue
        ready = asked & ~there[name]
        for one in sources:
            ready &= there[one]
        given = folded.given(name, {one: outputs[one] for one in sources})
        found[name] = []
        for group, addresses in _ended(fresh, name, [group_id(number) for number in numbers[ready].tolist()]).items():
            at = int(np.searchsorted(numbers, int(group)))
            made = _row(fresh, name, int(group), given[at].tobytes(), addresses)
            if made is not None:
                outputs[name][at], there[name][at] = np.frombuffer(made[0].output, np.uint8), True
                found[name].append(made)
    return found


def _ended(fresh: Workspace, name: str, groups: Sequence[str]) -> dict[str, list[Address]]:
    """The units of the groups that ended in a stage; not of those of which one is about to be removed."""
    if issubclass(fresh.graph.stages[name], GroupStage):
        units: dict[str, tuple[str, ...]] = {group: (group,) for group in groups}
    else:
        units = {group: fresh.job.groups[group] for group in groups}
    done = fresh.done(name, [unit for some in units.values() for unit in some])
    voids = fresh.summaries.logs.voids((name, fresh.job.keys[name].key)).values()
    going = [one.stems for one in voids if not one.over]
    if None in going:
        return {}
    stems = frozenset[str]().union(*(one or () for one in going))
    whole = {group: [done[unit] for unit in some] for group, some in units.items() if done.keys() >= set(some)}
    return {group: some for group, some in whole.items() if stems.isdisjoint(one.stem for one in some)}


def _row(
    fresh: Workspace, name: str, group: int, given: bytes, addresses: Sequence[Address]
) -> tuple[GroupRow, pa.Table] | None:
    """The row of a group, and those of its units; None when it came undone meanwhile."""
    table = fresh.summaries.rows(addresses)
    numbers, mark = sums_of(table["numbers"]), ""
    if issubclass(fresh.graph.stages[name], GroupStage):
        found = fresh.job.store.mark(addresses[0])
        if found is None:
            return None
        numbers["counts"], mark = group_counts(found), found.model_copy(update={"inputs": {}}).model_dump_json()
        output = found.output
    else:
        output = canonical_digest(table["tables"].to_pylist())
    totals = Totals(
        units=len(table),
        **{one: pc.sum(table[one], min_count=0).as_py() for one in ("videos", "live", "retryable")},
        own=sum(n for code, n in numbers["failed"].items() if code.startswith(f"{name}.")),
        numbers=numbers,
        ran=frozenset(pc.unique(table["ran"]).to_pylist()),
    )
    columns = {
        "group": pa.array([group] * len(table), pa.int64()),
        "given": pa.array([digest(given)] * len(table), pa.binary(DIGEST_BYTES)),
        "group_mark": pa.array([mark] * len(table), pa.string()),
    }
    for column, values in columns.items():
        table = table.append_column(column, values)
    return GroupRow(group, given, bytes.fromhex(output)[:DIGEST_BYTES], totals), table
