"""Plans and lines by columns and by a sort on the disk are what plain Python makes of the same, byte for byte."""

from __future__ import annotations

import hashlib
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import lines as lines_by_part
from pipeline import plan as plans
from pipeline.lines import Lines
from pipeline.manifest import SCHEMA, Rows, list_manifest, read_manifest
from pipeline.manifest import rows as manifest_rows
from pipeline.parts import MOST_SHORT, keys_of, part_code, part_id
from pipeline.plan import COLUMNS, DIGEST, Plan, make_plan, save_plan
from pipeline.store import PLAN
from schemas.config import PartsConfig
from schemas.manifest import ManifestRow
from schemas.row import video_key
from storyloom.errors import UsageError
from storyloom.fs.files import files_at
from tests.manifests import table


@dataclass
class Reference:
    """The plan's rules, one video after the other."""

    rows: list[list[tuple[str, int, str]]] = field(default_factory=list)

    def plan(self, videos: Sequence[str], size: int, seed: int) -> list[tuple[int, str, tuple[str, ...], bool]]:
        """Slot, id and videos of each part, and whether it is the first in its slot; new ones become a file."""
        wanted, placed, occupied, taken = set(videos), set[str](), set[int](), set[int]()
        last: dict[str, int] = {}
        standing: list[tuple[int, str, tuple[str, ...], bool]] = []
        for file in self.rows:
            for part in dict.fromkeys(part for part, _, _ in file):
                members = tuple(video for one, _, video in file if one == part)
                slot = next(slot for one, slot, _ in file if one == part)
                first = slot not in taken
                taken.add(slot)
                last |= dict.fromkeys(members, slot)
                if slot not in occupied and wanted >= set(members) and not placed & set(members):
                    occupied.add(slot)
                    placed |= set(members)
                    standing.append((slot, part, members, first))
        rest = sorted(wanted - placed)
        left = sorted({last[video] for video in rest if video in last and last[video] not in occupied})
        new = [(slot, tuple(video for video in rest if last.get(video) == slot)) for slot in left]
        fresh = [video for video in rest if last.get(video, -1) not in left]
        fresh.sort(key=lambda video: (drawn(video, seed), video))
        following = max(taken, default=-1) + 1
        cut = [tuple(fresh[start : start + size]) for start in range(0, len(fresh), size)]
        new += [(following + number, members) for number, members in enumerate(cut)]
        known = max((int(part[:7]) + 1 for file in self.rows for part, _, _ in file), default=0)
        made = [
            (slot, f"{known + number:07d}-{sha256(chr(0).join(members))[:8]}", members, slot not in taken)
            for number, (slot, members) in enumerate(new)
        ]
        if made:
            self.rows.append([(part, slot, video) for slot, part, members, _ in sorted(made) for video in members])
        return sorted(standing + made)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def drawn(video: str, seed: int) -> float:
    return int(sha256(f"{seed} {video}")[:16], 16) / 2.0**64


def file_of(rows: list[tuple[str, int, str]]) -> bytes:
    columns = zip(zip(*rows, strict=True), COLUMNS, strict=True)
    found = pa.table([pa.array(column, one.type) for column, one in columns], COLUMNS)
    digest = sha256("\n".join(f"{part} {slot} {video}" for part, slot, video in rows))
    sink = pa.BufferOutputStream()
    found = found.replace_schema_metadata({DIGEST: digest.encode()})
    pq.write_table(found, sink, compression="zstd", write_page_checksum=True)
    content: bytes = sink.getvalue().to_pybytes()
    return content


histories = st.lists(st.sets(st.integers(0, 24), min_size=1), min_size=1, max_size=7)


@settings(max_examples=40)
@given(steps=histories, size=st.integers(1, 5), seed=st.integers(0, 3), lost=st.integers(0, 9))
def test_a_plan_is_what_its_rules_say_whatever_became_of_the_manifest(
    tmp_path_factory: pytest.TempPathFactory, steps: list[set[int]], size: int, seed: int, lost: int
) -> None:
    folder = tmp_path_factory.mktemp("plan")
    files, reference = files_at(folder), Reference()
    for step in steps:
        videos = [video_key(str(number)) for number in step]
        plan, expected = make_plan(videos, files, PartsConfig(videos=size), seed), reference.plan(videos, size, seed)
        assert list(zip(plan.slots, plan.parts, plan.videos, plan.first_in_slot, strict=True)) == expected
        assert plan.videos_sha256 == sha256("".join(f"{video}\n" for video in sorted(videos)))
        assert dict(plan.members) == {part: members for _, part, members, _ in expected}
        assert save_plan(plan, files)
        assert [files.read(one.name) for one in files.entries(PLAN)] == [file_of(rows) for rows in reference.rows]
        if lost < len(reference.rows):  # somebody removed a file; those that come have other names
            files.remove(files.entries(PLAN)[lost].name)
            reference.rows.pop(lost)
            lost = 10


@given(count=st.integers(1, 40), size=st.integers(1, 5), limit=st.integers(0, 45), share=st.floats(0.001, 1.0))
def test_a_plan_within_bounds_has_the_parts_that_counting_gives(
    tmp_path_factory: pytest.TempPathFactory, count: int, size: int, limit: int, share: float
) -> None:
    folder = tmp_path_factory.mktemp("plan")
    plan = make_plan([video_key(str(n)) for n in range(count)], files_at(folder), PartsConfig(videos=size), 0)
    kept: list[str] = []
    videos = 0
    for part, members in zip(plan.parts, plan.videos, strict=True):
        if limit and videos >= limit:
            break
        if share == 1.0 or any(drawn(video, 0) < share for video in members):
            kept.append(part)
            videos += len(members)
    some = plan.within(limit, share, 0)
    assert list(some.parts) == (kept or [plan.parts[0]])
    assert dict(some.left_out) == {part: plan.members[part] for part in plan.parts if part not in set(some.parts)}


def test_a_file_of_the_plan_in_many_row_groups_is_read_as_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "ROW_GROUP", 7)
    monkeypatch.setattr("pipeline.parts.AT_ONCE", 3)
    videos = [video_key(str(number)) for number in range(100)]
    plan = make_plan(videos, files_at(tmp_path), PartsConfig(videos=3), 0)
    assert save_plan(plan, files_at(tmp_path))
    (file,) = files_at(tmp_path).entries(PLAN)
    assert pq.ParquetFile(tmp_path / file.name).num_row_groups == 15
    again = make_plan(videos, files_at(tmp_path), PartsConfig(videos=3), 0)
    assert (dict(again.members), again.new_parts) == (dict(plan.members), 0)


def test_ids_of_more_than_ten_million_parts_sort_as_their_numbers() -> None:
    numbers = [0, 12, MOST_SHORT - 1, MOST_SHORT, MOST_SHORT + 1, 250_000_000]
    ids = [part_id(number << 32 | 0xDEADBEEF - place) for place, number in enumerate(numbers)]
    assert (ids[0], ids[3]) == ("0000000-deadbeef", "a010000000-deadbeec")
    assert sorted(ids) == ids
    assert [part_code(one) >> 32 for one in ids] == numbers
    for other in (
        "0000000-deadbee",
        "10000000-deadbeef",
        "a000000012-deadbeef",
        "0000000_deadbeef",
        "",
        "0000000-DEADBEEF",
    ):
        with pytest.raises(KeyError):
            part_code(other)


def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Manifests of a few lines are sorted on the disk, in small pieces."""
    monkeypatch.setattr(manifest_rows, "IN_MEMORY", 10)
    monkeypatch.setattr(manifest_rows, "READ_AT_ONCE", 50)
    monkeypatch.setattr("pipeline.manifest.batch.BATCH", 32)


def test_lines_sorted_on_the_disk_are_those_sorted_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_by_part, "ROW_GROUP", 16)
    lines = [
        ManifestRow(
            video=video_key(str(n)),
            url=f"https://h{n % 3}.example.org/{n}.mp4",
            source_id=f"v{n}",
            title="é" * (n % 5),
            other_subtitles=[f"{n}.{one}.vtt" for one in range(n % 3)],
            start=n / 7 if n % 2 else -1.0,
            offset=n,
        )
        for n in range(300)
    ]
    few = Rows(SCHEMA, [table(lines)])
    plan = make_plan(few.keys, files_at(tmp_path), PartsConfig(videos=3), 0).within(200, 1.0, 0)
    in_memory = Lines(few, plan)
    many(monkeypatch)
    on_disk = Lines(Rows(SCHEMA, [table(lines[n : n + 32]) for n in range(0, 300, 32)]), plan)
    assert in_memory.name == on_disk.name
    assert on_disk.save(files_at(tmp_path / "a")) == in_memory.save(files_at(tmp_path / "b"))
    assert (tmp_path / "a" / on_disk.name).read_bytes() == (tmp_path / "b" / on_disk.name).read_bytes()
    assert (tmp_path / "a" / on_disk.name).stat().st_mode & 0o077 == 0
    known = {line.video: line for line in lines}
    for part in plan.parts:
        assert on_disk[part] == [known[video] for video in plan.members[part]] == in_memory[part]
    assert on_disk.of(plan.parts) == {part: in_memory[part] for part in plan.parts}
    assert on_disk.group_digests(4) == in_memory.group_digests(4)
    clips = {line.video for line in lines if line.is_clip} & {video for members in plan.videos for video in members}
    assert {line.video for line in on_disk.clips()} == clips
    assert on_disk.parts_with(["v7", "v250"]) == in_memory.parts_with(["v7", "v250"])


def test_a_changed_line_changes_the_digest_of_its_group_alone(tmp_path: Path) -> None:
    lines = [ManifestRow(video=video_key(str(n)), url=f"{n}", source_id=f"{n}") for n in range(60)]
    plan = make_plan([line.video for line in lines], files_at(tmp_path), PartsConfig(videos=3), 0)
    before = Lines(Rows(SCHEMA, [table(lines)]), plan).group_digests(4)
    fields = {"title": "a", "other_subtitles": ["a"], "start": 1.0, "extra": "{1}", "url": "17:", "member": ":"}
    seen = set(before)
    at = next(place for place, part in enumerate(plan.parts) if lines[17].video in plan.members[part]) // 4
    for name, value in fields.items():
        changed = [*lines[:17], lines[17].model_copy(update={name: value}), *lines[18:]]
        after = Lines(Rows(SCHEMA, [table(changed)]), plan).group_digests(4)
        assert [place for place, (one, two) in enumerate(zip(before, after, strict=True)) if one != two] == [at]
        assert after[at] not in seen
        seen.add(after[at])


def test_a_long_list_is_read_as_a_short_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"https://e.org/{n % 90}.mp4?v={n}" if n % 2 else f"https://e.org/{n % 70}.mp4" for n in range(200)]
    lines[150:160] = ["https://e.org/\x07"] * 10
    list_ = tmp_path / "list.txt"
    list_.write_text("\n".join(lines) + "\n")
    short = read_manifest(str(list_))
    many(monkeypatch)
    long = list_manifest(str(list_))
    assert long.rows.many
    assert long.rows.table(SCHEMA.names).to_pylist() == short.rows.to_pylist()
    assert long.told == short.told
    assert np.array_equal(long.rows.keys, keys_of(short.rows["video"]))


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file may grow beyond some bytes, which to a program looks like a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_disk_that_is_full_while_rows_are_added_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    many(monkeypatch)
    lines = table([ManifestRow(video=video_key(str(n)), url=f"{n}", source_id=f"{n}") for n in range(60)])
    with full_disk(1000), pytest.raises(UsageError, match=rf"sorted in {tmp_path}, which has no room .*in TMPDIR"):
        list(Rows(SCHEMA, [lines]).tables(["url"]))


def test_a_disk_that_is_full_while_rows_are_sorted_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(manifest_rows, "SORT_MEMORY", "16MB")
    many(monkeypatch)
    videos = pa.array([video_key(str(n)) for n in range(200_000)])
    rows = Rows(pa.schema({"video": pa.string()}), [pa.table({"video": videos})])
    list(rows.tables(["video"]))
    back = np.arange(len(rows))[::-1]
    with full_disk(1000), pytest.raises(UsageError, match=rf"sorted in {tmp_path}, which has no room .*in TMPDIR"):
        list(rows.ordered(back, ["video"]))


def test_a_disk_that_is_full_while_lines_are_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    many(monkeypatch)
    lines = table([ManifestRow(video=video_key(str(n)), url=f"{n}", source_id=f"{n}") for n in range(60)])
    rows = Rows(SCHEMA, [lines])
    plan = make_plan(rows.keys, files_at(tmp_path / "work"), PartsConfig(videos=3), 0)
    list(rows.tables(["url"]))
    with full_disk(1000), pytest.raises(UsageError, match=rf"sorted in {tmp_path}, which has no room .*in TMPDIR"):
        Lines(rows, plan)


def test_what_is_sorted_on_the_disk_goes_with_its_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    many(monkeypatch)
    lines = [ManifestRow(video=video_key(str(n)), url=f"{n}", source_id=f"{n}") for n in range(60)]
    rows = Rows(SCHEMA, [table(lines)])
    plan: Plan = make_plan(rows.keys, files_at(tmp_path / "work"), PartsConfig(videos=3), 0)
    found = Lines(rows, plan)
    assert len(list(tmp_path.iterdir())) == 2
    del rows, found
    assert list(tmp_path.iterdir()) == []
