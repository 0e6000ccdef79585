"""Logs: what the marks of ended groups say, folded into a few large files that are never changed.

At ``WORK/logs/<stage>/<stage key>/`` a segment is two Parquet files: one with a row for each of its groups, which says
for what the group was done and what came out, and one with a row for each of its units, as `Summaries` keeps them. The
first is named by the number of its groups and its hash and names the second, and comes last. Marks stay what is true:
segments may be removed at any time, and are made of the marks again. `pipeline/logs/voids.py` has what does not count.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import Lock

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.logs.segments import (
    DIGEST_BYTES,
    Digests,
    GroupRow,
    Positions,
    Segment,
    Totals,
    digest,
    group_rows,
    groups_content,
    numbers_of,
    parquet,
    segment_name,
    segment_of,
    sums_over,
)
from pipeline.logs.voids import BEGUN, LOGS, Void, drop_answered, end_killed, voids_of
from storyloom.format.parquet import ParquetFile
from storyloom.fs.files import Entry, Files

MERGED = 16
"""Segments of about one size that are merged into a larger one (our choice)."""

LARGEST = 16_384
"""Groups of a segment which is not merged any more: a million parts of the default size (our choice)."""

UNIT_ROWS = 4_096
"""Units of a Parquet row group (our choice: those of 64 groups)."""

Place = tuple[str, str]
"""A stage's name and key."""


@dataclass(frozen=True)
class Counted:
    """The rows of a stage's logs that count for groups.

    Attributes:
        segment: Of each group, the place of its segment; -1 for a group without a row.
        row: And the row within.
        output: Digest of its output.
    """

    segment: Positions
    row: Positions
    output: Digests

    @property
    def there(self) -> npt.NDArray[np.bool_]:
        """Whether each group has a row."""
        return self.segment >= 0


class LogDamaged(Exception):
    """A file of units is gone or damaged: their marks must be read."""


class Logs:
    """The logs of a work folder at one time; `refreshed` looks again.

    Args:
        files: The work folder's.
        before: An earlier look: what never changes is not read again.
    """

    def __init__(self, files: Files, before: Logs | None = None) -> None:
        self._files = files
        self._read: dict[str, Segment | None] = {} if before is None else before._read  # noqa: SLF001 - its own
        self._known = {} if before is None else {place: dict(some) for place, some in before._voids.items()}  # noqa: SLF001
        self._voids: dict[Place, dict[str, Void]] = {}
        self._segments: dict[Place, list[Segment]] = {}
        self._lock = Lock()

    def refreshed(self) -> Logs:
        """The current logs of the same folder."""
        return Logs(self._files, self)

    @cached_property
    def _entries(self) -> dict[Place, list[Entry]]:
        found: dict[Place, list[Entry]] = defaultdict(list)
        for entry in self._files.tree(LOGS):
            _, *place = entry.name.split("/")
            if len(place) == 3:  # noqa: PLR2004 - stage, key and file
                found[place[0], place[1]].append(entry)
        return found

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(entry.name for entries in self._entries.values() for entry in entries)

    @cached_property
    def used(self) -> bool:
        """Whether logs of any stage were begun."""
        return any(map(self.in_use, self._entries))

    def in_use(self, place: Place) -> bool:
        """Whether logs of a stage were begun."""
        return f"{_folder(place)}/{BEGUN}" in self._names

    def begin(self, place: Place) -> None:
        """Begin the logs of a stage; marks that a log is made of must be read after that."""
        self._files.create(f"{_folder(place)}/{BEGUN}", b"")

    def voids(self, place: Place) -> Mapping[str, Void]:
        """What is void in the logs of a stage, by its token."""
        with self._lock:
            if place not in self._voids:
                self._voids[place] = voids_of(self._files, self._entries.get(place, []), self._known.get(place, {}))
            return self._voids[place]

    def end_killed(self) -> None:
        """Say that what killed processes were removing is over; the next look sees it."""
        for entries in self._entries.values():
            end_killed(self._files, entries)

    def segments(self, place: Place) -> list[Segment]:
        """The valid segments of a stage, by name."""
        with self._lock:
            if place not in self._segments:
                names = [one.name for one in self._entries.get(place, []) if segment_name(one.name)]
                new = [name for name in names if name not in self._read]
                for name, content in zip(new, self._files.read_all(new), strict=True):
                    self._read[name] = segment_of(name, content)
                self._segments[place] = [one for name in names if (one := self._read[name]) is not None]
            return self._segments[place]

    def counted(
        self, place: Place, groups: Positions, given: Digests, group_of: Callable[[str], int | None]
    ) -> Counted:
        """The rows that count for groups.

        Args:
            place: The stage.
            groups: Numbers of the groups, ascending.
            given: For what each has to be done.
            group_of: Number of a unit's group, by the unit's name, if it has one; asked for few.
        """
        found = Counted(
            np.full(len(groups), -1, np.int64),
            np.full(len(groups), -1, np.int64),
            np.zeros((len(groups), DIGEST_BYTES), np.uint8),
        )
        for number, segment in enumerate(self.segments(place)):
            if segment.given.shape[1] != given.shape[1] or not len(groups):
                continue
            at = np.minimum(np.searchsorted(groups, segment.groups), len(groups) - 1)
            counts = (groups[at] == segment.groups) & (segment.given == given[at]).all(axis=1)
            counts &= ~self._is_void(place, segment, group_of)
            (rows,) = np.nonzero(counts)
            found.segment[at[rows]], found.row[at[rows]] = number, rows
            found.output[at[rows]] = segment.output[rows]
        return found

    def _is_void(self, place: Place, segment: Segment, group_of: Callable[[str], int | None]) -> npt.NDArray[np.bool_]:
        """Whether each group of a segment has a unit that is void for it."""
        unanswered = [void for token, void in self.voids(place).items() if token not in segment.answers]
        if any(void.stems is None for void in unanswered):
            return np.ones(len(segment.groups), np.bool_)
        units = {stem.partition(".")[0] for void in unanswered for stem in void.stems or ()}
        groups = [group for unit in sorted(units) if (group := group_of(unit)) is not None]
        return np.isin(segment.groups, np.array(groups, np.int64))

    def totals(self, place: Place, counted: Counted) -> Totals:
        """The sums over the groups that count."""
        found = Totals()
        for number, segment in enumerate(self.segments(place)):
            rows = np.sort(counted.row[counted.segment == number])
            if len(rows) == len(segment.groups):
                found += segment.totals
            elif len(rows):
                found += sums_over(segment, rows)
        return found

    def quiet(self, place: Place, counted: Counted) -> npt.NDArray[np.bool_]:
        """Whether a row counts for each group, and no row of its units failed in the stage itself."""
        found = counted.there.copy()
        for number, segment in enumerate(self.segments(place)):
            (mine,) = np.nonzero(counted.segment == number)
            rows = counted.row[mine]
            found[mine] = (segment.own[rows] == 0) & (segment.retryable[rows] == 0)
        return found

    def units(self, place: Place, groups: Collection[int]) -> pa.Table | None:
        """The rows of the units of some groups that are not void, whatever they were done for; None without any."""
        found = []
        wanted = np.array(sorted(groups), np.int64)
        for segment in self.segments(place):
            some = np.intersect1d(segment.groups, wanted)
            if not len(some):
                continue
            void = [one for token, one in self.voids(place).items() if token not in segment.answers]
            if any(one.stems is None for one in void):
                continue
            table = self._units(segment, some)
            if table is None:
                continue
            stems = sorted({stem for one in void for stem in one.stems or ()})
            if stems:
                table = table.filter(pc.invert(pc.is_in(table["stem"], value_set=pa.array(stems, pa.string()))))
            found.append(table)
        return pa.concat_tables(found) if found else None

    def counted_units(
        self, place: Place, counted: Counted, which: npt.NDArray[np.bool_] | None = None
    ) -> pa.Table | None:
        """The rows of the units of the groups that count, or of those of them which are asked for; None without any.

        Raises:
            LogDamaged: A file of units is gone or damaged.
        """
        found = []
        for number, segment in enumerate(self.segments(place)):
            mine = counted.segment == number
            rows = np.sort(counted.row[mine if which is None else mine & which])
            if not len(rows):
                continue
            table = self._units(segment, segment.groups[rows])
            if table is None:
                raise LogDamaged(segment.units)
            wanted = pa.array(sorted({digest(one.tobytes()) for one in segment.given[rows]}), pa.binary(DIGEST_BYTES))
            found.append(table.filter(pc.is_in(table["given"], value_set=wanted)))
        return pa.concat_tables(found) if found else None

    def _units(self, segment: Segment, groups: Positions) -> pa.Table | None:
        """The rows of units of some groups of a segment; None where its file is gone or damaged."""
        if segment.units not in self._names:  # gone, or a folder or a pipe
            return None
        file_address = f"{self._files.address}/{segment.units}"
        try:
            with self._files.local(segment.units, segment.units_sha256) as file:
                if file_address not in _checked:
                    with file.open("rb") as content:
                        if hashlib.file_digest(content, "sha256").hexdigest() != segment.units_sha256:
                            return None
                    _checked.add(file_address)
                with ParquetFile(file) as found:
                    if len(groups) == len(segment.groups):
                        return found.read()
                    table = found.read_row_groups(_row_groups(found.metadata, groups))
                return table.filter(pc.is_in(table["group"], value_set=pa.array(groups)))
        except (FileNotFoundError, pa.ArrowException):
            return None

    def write(self, place: Place, rows: Sequence[GroupRow], units: pa.Table) -> None:
        """Add a segment, which answers all that was over at this look.

        Args:
            place: The stage.
            rows: Its groups.
            units: Their units' rows, with the column `group`, and `given`: the digest of what the row has so.
        """
        answers = sorted(token for token, void in self.voids(place).items() if void.over)
        self._create(place, sorted(rows, key=lambda row: row.group), units, answers)

    def _create(
        self, place: Place, rows: Sequence[GroupRow], units: pa.Table, answers: Sequence[str]
    ) -> tuple[str, str]:
        """Write a segment; returns the names of its files."""
        folder = _folder(place)
        content = parquet(units.sort_by("group"), UNIT_ROWS)
        units_sha256 = hashlib.sha256(content).hexdigest()
        name = f"{folder}/{units_sha256[:32]}.units.parquet"
        self._files.create(name, content)
        content = groups_content(rows, name, units_sha256, answers)
        sha256 = hashlib.sha256(content).hexdigest()
        groups = f"{folder}/{len(rows):07d}-{sha256[:32]}.groups.parquet"
        self._files.create(groups, content)
        return groups, name

    def merge(self, place: Place) -> None:
        """Merge segments of about one size, and remove them; what is void goes with them, once it is over."""
        voids = self.voids(place)
        if not all(void.over for void in voids.values()):
            return
        every = {token for token, void in voids.items() if void.stems is None}
        by_size: dict[int, list[Segment]] = defaultdict(list)
        for segment in self.segments(place):
            if not every <= segment.answers:
                self._drop(segment)
            elif len(segment.groups) < LARGEST:
                by_size[_size_class(len(segment.groups))].append(segment)
        for some in by_size.values():
            if len(some) >= MERGED:
                self._merge(place, some)
        answers = [segment.answers for segment in self.segments(place)]
        drop_answered(self._files, self._entries.get(place, []), answers)

    def _drop(self, segment: Segment, but: Collection[str] = ()) -> None:
        for name in (segment.name, segment.units):
            if name not in but:
                self._files.remove(name)

    def _merge(self, place: Place, some: Sequence[Segment]) -> None:
        voids = self.voids(place)
        rows: dict[tuple[int, bytes], GroupRow] = {}
        tables = []
        for segment in some:
            void = sorted(
                {stem for token, one in voids.items() if token not in segment.answers for stem in one.stems or ()}
            )
            units = self._units(segment, segment.groups)
            if units is None:
                continue
            touched = units.filter(pc.is_in(units["stem"], value_set=pa.array(void, pa.string())))["group"]
            keep = np.isin(segment.groups, numbers_of(touched), invert=True)
            fresh = [row for row in group_rows(segment.content, keep) if (row.group, row.given) not in rows]
            rows |= {(row.group, row.given): row for row in fresh}
            kept = pa.array(sorted({digest(row.given) for row in fresh}), pa.binary(DIGEST_BYTES))
            tables.append(units.filter(pc.is_in(units["given"], value_set=kept)))
        made: tuple[str, ...] = ()
        if rows:
            order = [rows[key] for key in sorted(rows)]
            made = self._create(place, order, pa.concat_tables(tables), sorted(voids))
        for segment in some:
            self._drop(segment, made)  # one of them may be all that is left


_checked: set[str] = set()
"""Addresses of files of units whose hash was checked by this process; they never change."""


def _folder(place: Place) -> str:
    return f"{LOGS}/{place[0]}/{place[1]}"


def _row_groups(metadata: pq.FileMetaData, groups: Positions) -> list[int]:
    """The row groups of a file of units that may have units of some groups; one without statistics may have any."""
    column = metadata.schema.names.index("group")
    held = [metadata.row_group(number).column(column).statistics for number in range(metadata.num_row_groups)]
    return [
        number for number, one in enumerate(held) if one is None or np.any((one.min <= groups) & (groups <= one.max))
    ]


def _size_class(groups: int) -> int:
    """How often a segment of 64 groups, a wave's most, was merged to come to this size."""
    found = 0
    while groups > 64:  # noqa: PLR2004
        groups, found = groups // MERGED, found + 1
    return found
