"""The plan: append-only parts that a growing or changing manifest does not disturb."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import plan as planning
from pipeline.plan import make_plan, part_rows
from schemas.config import PartsConfig
from schemas.rows import ManifestRow
from tests.manifests import table

TWO = PartsConfig(videos=2)


def manifest(*numbers: int, title: str = "", folder: str = "") -> pa.Table:
    return table(
        [
            ManifestRow(video=f"{n:020x}", url=f"/{n}.mp4", source_id=f"{n}.mp4", title=title, folder=folder)
            for n in numbers
        ]
    )


def videos(folder: Path, parts: tuple[str, ...]) -> list[str]:
    return [row.source_id for part in parts for row in part_rows(folder, part)]


def test_the_same_manifest_gives_the_same_parts_whatever_its_order(tmp_path: Path) -> None:
    forward = make_plan(manifest(*range(9)), tmp_path / "a", TWO, seed=1)
    backward = make_plan(manifest(*reversed(range(9))), tmp_path / "b", TWO, seed=1)
    assert forward.parts == backward.parts


def test_videos_share_a_part_whatever_folder_they_lie_in(tmp_path: Path) -> None:
    def parts(base: str) -> list[str]:
        plan = make_plan(manifest(*range(20), folder=base), tmp_path / base, TWO, seed=1)
        return videos(tmp_path / base, plan.parts)

    assert parts("here") == parts("there")


def test_another_seed_gives_another_order(tmp_path: Path) -> None:
    one = make_plan(manifest(*range(20)), tmp_path / "a", TWO, seed=1)
    two = make_plan(manifest(*range(20)), tmp_path / "b", TWO, seed=2)
    assert videos(tmp_path / "a", one.parts) != videos(tmp_path / "b", two.parts)


def test_planning_again_adds_nothing(tmp_path: Path) -> None:
    first = make_plan(manifest(*range(5)), tmp_path, TWO, seed=0)
    again = make_plan(manifest(*range(5)), tmp_path, TWO, seed=0)
    assert (first.new_parts, again.new_parts, again.parts) == (3, 0, first.parts)


def test_a_manifest_that_grew_keeps_its_parts_and_adds_new_ones(tmp_path: Path) -> None:
    before = make_plan(manifest(*range(4)), tmp_path, TWO, seed=0)
    after = make_plan(manifest(*range(7)), tmp_path, TWO, seed=0)
    assert after.parts[: len(before.parts)] == before.parts
    assert after.new_parts == 2


def test_a_video_that_left_dissolves_only_its_own_part(tmp_path: Path) -> None:
    before = make_plan(manifest(*range(6)), tmp_path, TWO, seed=0)
    after = make_plan(manifest(*range(5)), tmp_path, TWO, seed=0)
    assert len(set(before.parts) & set(after.parts)) == 2
    assert sorted(videos(tmp_path, after.parts)) == [f"{n}.mp4" for n in range(5)]


def test_a_manifest_that_comes_back_finds_its_old_parts(tmp_path: Path) -> None:
    before = make_plan(manifest(*range(6)), tmp_path, TWO, seed=0)
    make_plan(manifest(*range(6), title="renamed"), tmp_path, TWO, seed=0)
    assert make_plan(manifest(*range(6)), tmp_path, TWO, seed=0).parts == before.parts


def test_a_changed_line_is_another_part(tmp_path: Path) -> None:
    before = make_plan(manifest(1, 2), tmp_path, TWO, seed=0)
    after = make_plan(manifest(1, 2, title="renamed"), tmp_path, TWO, seed=0)
    assert not set(before.parts) & set(after.parts)


def test_a_part_that_was_never_planned_is_named(tmp_path: Path) -> None:
    make_plan(manifest(1), tmp_path, TWO, seed=0)
    for part in ("0", "0000000-00000000", "0000001-00000000", "nowhere"):
        with pytest.raises(KeyError, match=part):
            part_rows(tmp_path, part)


def test_every_video_of_a_part_lies_in_one_row_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "ROW_GROUP", 7)
    plan = make_plan(manifest(*range(100)), tmp_path, PartsConfig(videos=3), seed=0)
    (file,) = tmp_path.iterdir()
    assert pq.ParquetFile(file).num_row_groups == 17
    rows = [row for part in plan.parts for row in part_rows(tmp_path, part)]
    assert sorted(row.source_id for row in rows) == sorted(f"{n}.mp4" for n in range(100))
    assert {len(part_rows(tmp_path, part)) for part in plan.parts[:-1]} == {3}


def test_a_part_holds_the_lines_of_its_videos_unchanged(tmp_path: Path) -> None:
    line = ManifestRow(
        video="0" * 20,
        url="v.mp4",
        folder="/f",
        source_id="x",
        subtitles="v.vtt",
        title="T",
        language="en",
        license="CC0",
    )
    (part,) = make_plan(table([line]), tmp_path, TWO, seed=0).parts
    assert part_rows(tmp_path, part) == [line]


def test_a_group_takes_another_id_when_its_parts_change(tmp_path: Path) -> None:
    before = make_plan(manifest(*range(6)), tmp_path, TWO, seed=0).groups(2)
    after = make_plan(manifest(*range(8)), tmp_path, TWO, seed=0).groups(2)
    assert next(iter(before)) == next(iter(after))
    assert list(before)[1] != list(after)[1]


lines = st.dictionaries(st.integers(0, 12), st.sampled_from(["", "renamed"]), min_size=1)


@given(steps=st.lists(lines, min_size=1, max_size=5), size=st.integers(1, 5))
def test_every_video_is_in_exactly_one_part_as_it_stands_however_the_manifest_changes(
    tmp_path_factory: pytest.TempPathFactory, steps: list[dict[int, str]], size: int
) -> None:
    folder = tmp_path_factory.mktemp("plan")
    known: set[str] = set()
    for step in steps:
        lines = pa.concat_tables([manifest(number, title=title) for number, title in step.items()])
        plan = make_plan(lines, folder, PartsConfig(videos=size), seed=3)
        rows = [row for part in plan.parts for row in part_rows(folder, part)]
        assert {row.source_id: row.title for row in rows} == {f"{n}.mp4": title for n, title in step.items()}
        assert len(rows) == len(step) == plan.videos
        assert list(plan.parts) == sorted(set(plan.parts))
        assert plan.new_parts == len(set(plan.parts) - known)
        known |= set(plan.parts)
