"""The plan: the videos of each part, and the slot of each part. It is append-only: finished units stay valid.

A part is defined by its videos' keys alone; a slot is a number that a part keeps for ever, and a group is `parts.group`
slots. When a video is removed from the manifest, its part is dissolved, and the part's other videos get a new part in
the same slot. A slot without videos stays empty.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.parts import (
    AT_ONCE,
    Codes,
    Column,
    Groups,
    Keys,
    Numbers,
    Parts,
    in_order,
    keys_of,
    part_code,
    part_digests,
    part_id,
    part_ids,
    places_in,
    runs,
    video_column,
    videos_of,
)
from pipeline.store import PLAN
from schemas.config import PartsConfig
from storyloom.errors import UsageError
from storyloom.format.parquet import ParquetFile
from storyloom.fs.files import Files

COLUMNS = pa.schema(
    [
        pa.field("part", pa.string(), nullable=False),
        pa.field("slot", pa.int64(), nullable=False),
        pa.field("video", pa.string(), nullable=False),
    ]
)
"""A file of the plan: a row per video, the videos of a part side by side."""

PART = r"^([0-9]{7}|a[0-9]{9})-[0-9a-f]{8}$"
"""The id of a part: its number and the beginning of its videos' hash."""

DIGEST = b"storyloom_sha256"
"""Metadata of a file of the plan: the hash of its rows."""

ROW_GROUP = 1 << 20
"""Rows of a row group of a file of the plan."""

DRAW_BYTES = 8
"""Bytes of a hash that make the number which a video draws."""


@dataclass(frozen=True)
class Plan:
    """The parts of a manifest.

    What is asked of it one by one comes as Python's values, which are made then; who goes through all of ten million
    parts takes the columns of `members`.

    Attributes:
        members: The parts that are asked for, in the order of their slots; the keys of a part's videos, by its id.
        new_parts: Number of parts that were not planned before.
        unsaved: Parts that are not in a file yet, in the order of their slots; none after `save_plan`.
        left_out: The parts that are planned but not asked for; see `within`.
        known_sha256: `videos_sha256`, where it is known without the keys.
    """

    members: Parts
    new_parts: int
    unsaved: Parts
    left_out: Parts = field(default_factory=Parts.none)
    known_sha256: str = ""

    @property
    def parts(self) -> Column[str]:
        """The ids of the parts."""
        return self.members.ids

    @property
    def slots(self) -> Column[int]:
        """The slot of each part."""
        slots = self.members.slots
        return Column(len(slots), lambda start, end: slots[start:end].tolist())

    @property
    def videos(self) -> Column[tuple[str, ...]]:
        """The keys of each part's videos."""
        return self.members.videos

    @property
    def first_in_slot(self) -> Column[bool]:
        """Whether each part is the first one in its slot."""
        first = self.members.first
        return Column(len(first), lambda start, end: first[start:end].tolist())

    @cached_property
    def videos_sha256(self) -> str:
        """Hash of the videos' keys, sorted, a line each: the same list in another order has the same."""
        if self.known_sha256:
            return self.known_sha256
        keys = self.members.keys_of_videos
        keys = keys[in_order(keys)]
        found = hashlib.sha256()
        for start in range(0, len(keys), AT_ONCE):
            found.update("".join(f"{key}\n" for key in videos_of(keys[start : start + AT_ONCE])).encode())
        return found.hexdigest()

    @property
    def videos_left_out(self) -> int:
        """Number of videos that are planned but not asked for."""
        return self.left_out.count

    def groups(self, size: int) -> Groups:
        """The parts of each group of `size` slots, by the group's id; groups without a part are left out."""
        return self.members.groups(size)

    def within(self, limit: int, share: float, seed: int) -> Plan:
        """The plan without the parts that a run over some of the videos does not need; its parts are whole.

        A part is in a share when one of its videos drew less than it, and within a limit while the parts before it
        have fewer videos. Since parts are planned in the order of what their videos drew, a share is the parts that
        were planned first of each version of the list: whole groups, and what they were calibrated on. At least one
        part is left.

        Args:
            limit: Number of videos, 0 for all.
            share: Share of the videos, over 0 to 1.
            seed: Of the draw.
        """
        parts = self.members
        inside = np.ones(len(parts), np.bool_)
        sizes = np.diff(parts.ends, prepend=0)
        if share < 1.0 and len(parts):
            inside = np.minimum.reduceat(draws(parts.keys_of_videos, seed), parts.starts) < share
        if limit:
            before = np.cumsum(np.where(inside, sizes, 0)) - np.where(inside, sizes, 0)
            inside &= before < limit
        if not inside.any():
            inside[:1] = True
        if inside.all():
            return self
        return replace(self, members=parts.take(np.flatnonzero(inside)), left_out=parts.take(np.flatnonzero(~inside)))

    def sample(self, size: int) -> tuple[str, ...]:
        """The parts that represent the corpus: those of the first group that are the first in their slot.

        When a video is removed, its part leaves the sample and is not replaced.
        """
        end = int(np.searchsorted(self.members.slots, size))
        within, first = self.parts[:end], self.first_in_slot[:end]
        return tuple(part for part, one in zip(within, first, strict=True) if one) or within or self.parts[:size]


@dataclass(frozen=True)
class _Planned:
    """The parts in the plan's files, in their order: a code, a slot and an end for each, and all their videos."""

    codes: Codes
    slots: Numbers
    ends: Numbers
    keys: Keys


def make_plan(videos: Sequence[str] | Keys, files: Files, config: PartsConfig, seed: int) -> Plan:
    """The parts of these videos: those in the plan's files, and new ones for the rest. Nothing is written.

    A part in a file is used when all its videos are requested, none is in an earlier part, and no earlier part has its
    slot. Neither the order of the videos nor the manifest's folder matters.

    Args:
        videos: Keys, unique.
        files: The work folder's.
        config: Number of videos per part.
        seed: Of the order of new videos, which is that of what they draw.

    Raises:
        UsageError: A file of the plan is damaged.
    """
    wanted = videos if isinstance(videos, np.ndarray) else keys_of(videos)
    wanted = wanted[in_order(wanted)]
    planned = _planned(files)
    places = places_in(planned.keys, wanted)  # a video that left has -1
    sizes = np.diff(planned.ends, prepend=0)
    starts = planned.ends - sizes
    standing = _standing(planned, places, starts)
    placed = np.zeros(len(wanted), np.bool_)
    placed[places[runs(starts[standing], sizes[standing])]] = True
    last_slot = np.full(len(wanted), -1, np.int64)
    there = places >= 0
    last_slot[places[there]] = np.repeat(planned.slots, sizes)[there]  # of one that is there twice the last counts
    left = np.flatnonzero(~placed & (last_slot >= 0) & ~np.isin(last_slot, planned.slots[standing]))
    fresh = np.flatnonzero(~placed)
    fresh = fresh[~np.isin(fresh, left, assume_unique=True)]
    new = _new_parts(wanted, last_slot, left, fresh, planned, config.videos, seed)
    first = np.zeros(len(planned.slots), np.bool_)
    first[np.unique(planned.slots, return_index=True)[1]] = True
    codes = np.concatenate([planned.codes[standing], new.codes])
    slots = np.concatenate([planned.slots[standing], new.slots])
    starts = np.concatenate([starts[standing], len(planned.keys) + new.starts])
    sizes = np.concatenate([sizes[standing], np.diff(new.ends, prepend=0)])
    order = np.argsort(slots, kind="stable")
    both = np.concatenate([planned.keys, new.keys_of_videos])[runs(starts[order], sizes[order])]
    parts = Parts(
        codes[order],
        slots[order],
        np.concatenate([first[standing], new.first])[order],
        np.cumsum(sizes[order]),
        lambda: both,
    )
    return Plan(parts, new_parts=len(new), unsaved=new)


def _standing(planned: _Planned, places: Numbers, starts: Numbers) -> Numbers:
    """The parts in the plan's files that are used.

    Those that share neither a slot nor a video with others that could be are; among the rest the earlier one wins.
    """
    if not len(planned.codes):
        return np.empty(0, np.int64)
    could = np.minimum.reduceat(places, starts) >= 0
    of_row = np.repeat(np.arange(len(starts)), np.diff(planned.ends, prepend=0))
    rows = np.flatnonzero(could[of_row])
    times = np.bincount(places[rows], minlength=1)
    disputed = np.zeros(len(starts), np.bool_)
    disputed[of_row[rows[times[places[rows]] > 1]]] = True
    found = np.flatnonzero(could)
    _, back, at_slot = np.unique(planned.slots[found], return_inverse=True, return_counts=True)
    disputed[found[at_slot[back] > 1]] = True
    occupied: set[int] = set()
    placed: set[int] = set()
    for part in np.flatnonzero(disputed).tolist():
        slot, members = int(planned.slots[part]), places[starts[part] : planned.ends[part]].tolist()
        if slot in occupied or not placed.isdisjoint(members):
            could[part] = False
        else:
            occupied.add(slot)
            placed.update(members)
    return np.flatnonzero(could)


def _new_parts(
    wanted: Keys,
    last_slot: Numbers,
    left: Numbers,
    fresh: Numbers,
    planned: _Planned,
    per_part: int,
    seed: int,
) -> Parts:
    """The new parts: the remaining videos of a dissolved part keep its slot, others are drawn.

    Args:
        wanted: All videos, sorted.
        last_slot: The slot that each had before.
        left: Places of the videos whose slot is free: one that another part has taken meanwhile is not shared.
        fresh: Places of the other videos without a part.
        planned: What the plan's files have.
        per_part: Videos of a part.
        seed: Of the order.
    """
    left = left[np.argsort(last_slot[left], kind="stable")]
    left_slots, left_starts = np.unique(last_slot[left], return_index=True)
    left_ends = np.append(left_starts[1:], len(left))[: len(left_starts)]
    fresh = fresh[np.argsort(draws(wanted[fresh], seed), kind="stable")]
    fresh_ends = len(left) + np.minimum(np.arange(per_part, len(fresh) + per_part, per_part), len(fresh))
    following = int(planned.slots.max(initial=-1)) + 1
    slots = np.concatenate([left_slots, following + np.arange(len(fresh_ends))]).astype(np.int64)
    ends = np.concatenate([left_ends, fresh_ends]).astype(np.int64)
    keys = wanted[np.concatenate([left, fresh])]
    # numbers of parts in use; a lost file leaves a gap
    known = int((planned.codes >> np.uint64(32)).max(initial=0)) + 1 if len(planned.codes) else 0
    numbers = (known + np.arange(len(ends))).astype(np.uint64)
    codes = numbers << np.uint64(32) | part_digests(keys, ends).astype(np.uint64)
    return Parts(codes, slots, np.arange(len(slots)) >= len(left_slots), ends, lambda: keys)


def save_plan(plan: Plan, files: Files) -> bool:
    """Add a file with the plan's new parts; False when another run planned first and planning must be repeated."""
    parts = plan.unsaved
    if not len(parts):
        return True
    first = part_id(int(parts.codes.min())).partition("-")[0]
    schema = COLUMNS.with_metadata({DIGEST: _rows_digest(_rows(parts))})
    with files.scratch() as scratch:
        made = scratch / "plan.parquet"
        with pq.ParquetWriter(made, schema, compression="zstd", write_page_checksum=True) as writer:
            for table in _rows(parts):
                writer.write_table(table.replace_schema_metadata(schema.metadata))
        return files.create(f"{PLAN}/{first}.parquet", made)


def unused_files(files: Files, plans: Iterable[Plan]) -> list[str]:
    """The files without a slot of the given plans. A slot's first part counts in samples even when it is dissolved."""
    slots = np.unique(np.concatenate([np.empty(0, np.int64), *(plan.members.slots for plan in plans)]))
    return [file for file in _files(files) if not np.isin(_parts_of(files, file).slots, slots).any()]


def draws(keys: Keys, seed: int) -> npt.NDArray[np.float64]:
    """The number from 0 to 1 that each video draws, by its key and the seed alone."""
    found = np.empty(len(keys), np.uint64)
    before = f"{seed} ".encode()
    for start in range(0, len(keys), AT_ONCE):
        videos = videos_of(keys[start : start + AT_ONCE])
        content = b"".join(hashlib.sha256(before + video.encode()).digest()[:DRAW_BYTES] for video in videos)
        found[start : start + len(videos)] = np.frombuffer(content, ">u8")
    return found.astype(np.float64) / 2.0 ** (8 * DRAW_BYTES)


def drawn(video: str, seed: int) -> float:
    """The number from 0 to 1 that a video draws."""
    return float(draws(keys_of([video]), seed)[0])


def keys_in_files(files: Files, codes: Codes) -> Keys:
    """The keys of the videos of some parts, one part after the other, as the plan's files have them."""
    planned = _planned(files)
    order = np.argsort(planned.codes, kind="stable")
    at = order[np.searchsorted(planned.codes[order], codes)]
    sizes = np.diff(planned.ends, prepend=0)[at]
    return planned.keys[runs(planned.ends[at] - sizes, sizes)]


def _files(files: Files) -> list[str]:
    return [one.name for one in files.entries(PLAN) if one.name.endswith(".parquet")]


def _planned(files: Files) -> _Planned:
    """All parts of the plan's files.

    Raises:
        UsageError: A file is damaged.
    """
    none = _Planned(np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.int64), keys_of([]))
    found = [none, *(_parts_of(files, file) for file in _files(files))]
    before = np.cumsum([0, *(len(one.keys) for one in found[:-1])])
    return _Planned(
        np.concatenate([one.codes for one in found]),
        np.concatenate([one.slots for one in found]),
        np.concatenate([start + one.ends for start, one in zip(before, found, strict=True)]),
        np.concatenate([one.keys for one in found]),
    )


def _parts_of(files: Files, file: str) -> _Planned:
    """The parts in a file.

    Raises:
        UsageError: The file is damaged.
    """
    (content,) = files.read_all([file])
    try:
        if content is None:
            raise pa.ArrowInvalid("there is nothing behind its name")
        with ParquetFile(content, page_checksum_verification=True) as table:
            return _checked(table)
    except (pa.ArrowException, OSError) as reason:
        raise UsageError(
            f"{files.address}/{file}, a file of the plan, is damaged ({str(reason).strip()}); remove it: its videos are"
            " planned again, and what was done of them is done again"
        ) from reason


def _checked(table: ParquetFile) -> _Planned:
    """The parts in a file's table.

    Raises:
        pa.ArrowException: Its rows are not those that were written.
    """
    found = _RowsDigest()
    codes, slots, keys = [np.empty(0, np.uint64)], [np.empty(0, np.int64)], [keys_of([])]
    changed = pa.ArrowInvalid("its rows are not those that were written")
    if not table.schema_arrow.equals(COLUMNS):
        raise changed
    for batch in table.iter_batches(ROW_GROUP):
        found.add(batch)
        ended = pc.run_end_encode(batch["part"])
        if not pc.all(pc.match_substring_regex(ended.values, PART)).as_py():
            raise pa.ArrowInvalid("it names parts as storyloom never does")
        sizes = np.diff(ended.run_ends.to_numpy(), prepend=0)
        codes.append(np.repeat(np.array([part_code(one) for one in ended.values.to_pylist()], np.uint64), sizes))
        slots.append(batch["slot"].to_numpy())
        keys.append(_keys_in(batch["video"]))
    if (table.schema_arrow.metadata or {}).get(DIGEST) != found.value:
        raise changed
    of_rows = np.concatenate(codes)
    starts = np.flatnonzero(np.diff(of_rows, prepend=~of_rows[:1]))
    ends = np.append(starts[1:], len(of_rows))[: len(starts)]
    return _Planned(of_rows[starts], np.concatenate(slots)[starts], ends, np.concatenate(keys))


def _keys_in(column: pa.Array) -> Keys:
    try:
        return keys_of(column)
    except ValueError as reason:
        raise pa.ArrowInvalid("it names videos as storyloom never does") from reason


def _rows(parts: Parts) -> Iterator[pa.Table]:
    """The rows of parts as a file of the plan has them, by row group."""
    sizes, begin = np.diff(parts.ends, prepend=0), 0
    for end in [*range(ROW_GROUP, parts.count, ROW_GROUP), parts.count]:
        first, last = np.searchsorted(parts.ends, [begin, end - 1], "right")
        inside = np.arange(first, last + 1)
        counts = np.minimum(parts.ends[inside], end) - np.maximum(parts.ends[inside] - sizes[inside], begin)
        part = pa.array(part_ids(parts.codes[inside]), pa.string()).take(np.repeat(np.arange(len(inside)), counts))
        slot = pa.array(np.repeat(parts.slots[inside], counts))
        yield pa.table([part, slot, video_column(parts.keys_of_videos[begin:end])], COLUMNS)
        begin = end


class _RowsDigest:
    """The hash of rows of the plan as lines, put together by line ends."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._any = False

    def add(self, table: pa.Table | pa.RecordBatch) -> None:
        """Add rows after those that were added."""
        texts = ["\n", table["part"], " ", table["slot"].cast(pa.string()), " ", table["video"], ""]
        column = pc.binary_join_element_wise(*texts)
        for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
            if len(chunk):
                _, offsets, text = chunk.buffers()
                begin, end = np.frombuffer(offsets, np.int32)[[chunk.offset, chunk.offset + len(chunk)]].tolist()
                self._hash.update(memoryview(text)[begin + (not self._any) : end])
                self._any = True

    @property
    def value(self) -> bytes:
        """The hash."""
        return self._hash.hexdigest().encode()


def _rows_digest(tables: Iterable[pa.Table]) -> bytes:
    found = _RowsDigest()
    for table in tables:
        found.add(table)
    return found.value
