"""The plan: the videos of each part, and the slot of each part. It is append-only: finished units stay valid.

A part is defined by its videos' keys alone; a slot is a number that a part keeps for ever, and a group is `parts.group`
slots. When a video is removed from the manifest, its part is dissolved, and the part's other videos get a new part in
the same slot. A slot without videos stays empty.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.store import PLAN
from schemas.config import PartsConfig
from storyloom.errors import UsageError
from storyloom.fs.files import Files

COLUMNS = pa.schema(
    [
        pa.field("part", pa.string(), nullable=False),
        pa.field("slot", pa.int64(), nullable=False),
        pa.field("video", pa.string(), nullable=False),
    ]
)
"""A file of the plan: a row per video, the videos of a part side by side."""

PART = re.compile(r"[0-9]{7}-[0-9a-f]{8}")
"""The id of a part: its number and the beginning of its videos' hash."""

DIGEST = b"storyloom_sha256"
"""Metadata of a file of the plan: the hash of its rows."""

DRAW_BYTES = 8
"""Bytes of a hash that make the number which a video draws."""


@dataclass(frozen=True)
class Plan:
    """The parts of a manifest.

    Attributes:
        parts: Their ids, in the order of their slots.
        slots: The slot of each.
        videos: The keys of each part's videos.
        first_in_slot: Whether each part is the first one in its slot.
        new_parts: Number of parts that were not planned before.
        unsaved: Planned rows that are not in a file yet; empty after `save_plan`.
        left_out: The videos of the parts that are planned but not asked for, by the part's id; see `within`. The other
            fields do without them.
    """

    parts: tuple[str, ...]
    slots: tuple[int, ...]
    videos: tuple[tuple[str, ...], ...]
    first_in_slot: tuple[bool, ...]
    new_parts: int
    unsaved: pa.Table
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def videos_sha256(self) -> str:
        """Hash of the videos' keys, sorted, a line each: the same list in another order has the same."""
        keys = sorted(key for some in self.videos for key in some)
        return hashlib.sha256("".join(f"{key}\n" for key in keys).encode()).hexdigest()

    @property
    def videos_left_out(self) -> int:
        """Number of videos that are planned but not asked for."""
        return sum(map(len, self.left_out.values()))

    @cached_property
    def members(self) -> dict[str, tuple[str, ...]]:
        """The keys of a part's videos, by its id."""
        return dict(zip(self.parts, self.videos, strict=True))

    def groups(self, size: int) -> dict[str, tuple[str, ...]]:
        """The parts of each group of `size` slots, by the group's id; groups without a part are left out."""
        found: dict[str, list[str]] = defaultdict(list)
        for part, slot in zip(self.parts, self.slots, strict=True):
            found[f"{slot // size:05d}"].append(part)
        return {group: tuple(parts) for group, parts in found.items()}

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
        kept: list[int] = []
        count = 0
        for place, members in enumerate(self.videos):
            if limit and count >= limit:
                break
            if share < 1.0 and not any(drawn(video, seed) < share for video in members):
                continue
            kept.append(place)
            count += len(members)
        kept = kept or [0][: len(self.parts)]
        if len(kept) == len(self.parts):
            return self
        inside = {self.parts[place] for place in kept}
        return replace(
            self,
            parts=tuple(self.parts[place] for place in kept),
            slots=tuple(self.slots[place] for place in kept),
            videos=tuple(self.videos[place] for place in kept),
            first_in_slot=tuple(self.first_in_slot[place] for place in kept),
            left_out={part: some for part, some in self.members.items() if part not in inside},
        )

    def sample(self, size: int) -> tuple[str, ...]:
        """The parts that represent the corpus: those of the first group that are the first in their slot.

        When a video is removed, its part leaves the sample and is not replaced.
        """
        numbered = zip(self.parts, self.slots, self.first_in_slot, strict=True)
        within = [(part, first) for part, slot, first in numbered if slot < size]
        return tuple(part for part, first in within if first) or tuple(part for part, _ in within) or self.parts[:size]


def make_plan(videos: Sequence[str], files: Files, config: PartsConfig, seed: int) -> Plan:
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
    wanted = set(videos)
    placed: set[str] = set()
    standing: list[tuple[int, str, tuple[str, ...], bool]] = []
    last_slot: dict[str, int] = {}
    taken_slots: set[int] = set()
    occupied: set[int] = set()
    known = 0  # numbers of parts in use; a lost file leaves a gap
    for file in _files(files):
        for part, slot, members in _parts_of(files, file):
            known = max(known, int(part[:7]) + 1)
            first = slot not in taken_slots
            taken_slots.add(slot)
            last_slot.update(dict.fromkeys(members, slot))
            if slot not in occupied and wanted.issuperset(members) and placed.isdisjoint(members):
                occupied.add(slot)
                placed.update(members)
                standing.append((slot, part, members, first))
    free = {video: slot for video, slot in last_slot.items() if slot not in occupied}
    new = list(_new_parts(sorted(wanted - placed), free, taken_slots, config.videos, seed))
    for number, (slot, members) in enumerate(new):
        part = f"{known + number:07d}-{digest(*members)[:8]}"
        standing.append((slot, part, members, slot not in taken_slots))
    standing.sort()
    added = {part: slot for slot, part, _, _ in standing if int(part[:7]) >= known}
    rows = [(part, added[part], video) for _, part, members, _ in standing if part in added for video in members]
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    return Plan(
        parts=tuple(part for _, part, _, _ in standing),
        slots=tuple(slot for slot, _, _, _ in standing),
        videos=tuple(members for _, _, members, _ in standing),
        first_in_slot=tuple(first for _, _, _, first in standing),
        new_parts=len(new),
        unsaved=pa.table(
            [pa.array(column, field.type) for column, field in zip(columns, COLUMNS, strict=True)], COLUMNS
        ),
    )


def save_plan(plan: Plan, files: Files) -> bool:
    """Add a file with the plan's new parts; False when another run planned first and planning must be repeated."""
    if not plan.unsaved.num_rows:
        return True
    first = min(part[:7] for part in plan.unsaved["part"].to_pylist())
    sink = pa.BufferOutputStream()
    table = plan.unsaved.replace_schema_metadata({DIGEST: _rows_digest(plan.unsaved)})
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return files.create(f"{PLAN}/{first}.parquet", sink.getvalue().to_pybytes())


def unused_files(files: Files, plans: Iterable[Plan]) -> list[str]:
    """The files without a slot of the given plans. A slot's first part counts in samples even when it is dissolved."""
    slots = {slot for plan in plans for slot in plan.slots}
    return [file for file in _files(files) if slots.isdisjoint(slot for _, slot, _ in _parts_of(files, file))]


def _new_parts(
    videos: Sequence[str], last_slot: dict[str, int], taken: set[int], per_part: int, seed: int
) -> list[tuple[int, tuple[str, ...]]]:
    """Slot and videos of the new parts: the remaining videos of a dissolved part keep its slot, others are drawn.

    `last_slot` has free slots only: a slot that another part has taken meanwhile is not shared.
    """
    left: dict[int, list[str]] = defaultdict(list)
    fresh = []
    for video in videos:
        if video in last_slot:
            left[last_slot[video]].append(video)
        else:
            fresh.append(video)
    fresh.sort(key=lambda video: (drawn(video, seed), video))
    following = max(taken, default=-1) + 1
    parts = [(slot, tuple(members)) for slot, members in sorted(left.items())]
    return parts + [(following + number, tuple(members)) for number, members in enumerate(_cut(fresh, per_part))]


def drawn(video: str, seed: int) -> float:
    """The number from 0 to 1 that a video draws, by its key and the seed alone."""
    found = hashlib.sha256(f"{seed} {video}".encode()).digest()[:DRAW_BYTES]
    return int.from_bytes(found) / 2.0 ** (8 * DRAW_BYTES)


def _cut(videos: Sequence[str], size: int) -> list[Sequence[str]]:
    return [videos[start : start + size] for start in range(0, len(videos), size)]


def _files(files: Files) -> list[str]:
    return [one.name for one in files.entries(PLAN) if one.name.endswith(".parquet")]


def _parts_of(files: Files, file: str) -> list[tuple[str, int, tuple[str, ...]]]:
    """Id, slot and videos of the parts in a file.

    Raises:
        UsageError: The file is damaged.
    """
    (content,) = files.read_all([file])
    try:
        if content is None:
            raise pa.ArrowInvalid("there is nothing behind its name")
        table = pq.read_table(pa.BufferReader(content), page_checksum_verification=True)
        if not table.schema.equals(COLUMNS) or (table.schema.metadata or {}).get(DIGEST) != _rows_digest(table):
            raise pa.ArrowInvalid("its rows are not those that were written")
        if not all(PART.fullmatch(part) for part in pc.unique(table["part"]).to_pylist()):
            raise pa.ArrowInvalid("it names parts as storyloom never does")
    except (pa.ArrowException, OSError) as reason:
        raise UsageError(
            f"{files.address}/{file}, a file of the plan, is damaged ({str(reason).strip()}); remove it: its videos are"
            " planned again, and what was done of them is done again"
        ) from reason
    runs = pc.run_end_encode(table["part"].combine_chunks())
    ends = runs.run_ends.to_pylist()
    slots, videos = table["slot"].to_pylist(), table["video"].to_pylist()
    starts = [0, *ends[:-1]]
    return [
        (part, slots[start], tuple(videos[start:end]))
        for part, start, end in zip(runs.values.to_pylist(), starts, ends, strict=True)
    ]


def _rows_digest(table: pa.Table) -> bytes:
    lines = "\n".join(f"{part} {slot} {video}" for part, slot, video in zip(*table.to_pydict().values(), strict=True))
    return hashlib.sha256(lines.encode()).hexdigest().encode()


def digest(*texts: str) -> str:
    """SHA-256 over some texts, in hexadecimal."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
