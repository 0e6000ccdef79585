"""The plan: append-only parts and slots that a growing or changing manifest does not disturb."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.plan import Plan, make_plan, save_plan
from pipeline.store import PLAN
from schemas.config import PartsConfig
from storyloom.errors import UsageError
from storyloom.fs.files import files_at


def keys(numbers: Iterable[int]) -> list[str]:
    return [f"{n:020x}" for n in numbers]


def planned(numbers: Iterable[int], folder: Path, size: int = 2, seed: int = 0) -> Plan:
    """The plan as a run makes it: saved."""
    plan = make_plan(keys(numbers), files_at(folder), PartsConfig(videos=size), seed)
    assert save_plan(plan, files_at(folder))
    return plan


def numbers_of(plan: Plan) -> list[int]:
    return [int(video, 16) for members in plan.videos for video in members]


def slot_of(plan: Plan, number: int) -> int:
    (video,) = keys([number])
    (slot,) = (slot for slot, members in zip(plan.slots, plan.videos, strict=True) if video in members)
    return slot


def test_the_same_videos_give_the_same_parts_whatever_their_order(tmp_path: Path) -> None:
    forward, backward = planned(range(9), tmp_path / "a"), planned(reversed(range(9)), tmp_path / "b")
    assert (forward.parts, forward.videos) == (backward.parts, backward.videos)


def test_another_seed_gives_another_order(tmp_path: Path) -> None:
    one, two = planned(range(20), tmp_path / "a", seed=1), planned(range(20), tmp_path / "b", seed=2)
    assert numbers_of(one) != numbers_of(two)


def test_planning_alone_writes_nothing(tmp_path: Path) -> None:
    plan = make_plan(keys(range(5)), files_at(tmp_path / "work"), PartsConfig(videos=2), 0)
    assert (plan.new_parts, plan.unsaved.count) == (3, 5)
    assert not (tmp_path / "work").exists()


def test_planning_again_adds_nothing(tmp_path: Path) -> None:
    first, again = planned(range(5), tmp_path), planned(range(5), tmp_path)
    assert (first.new_parts, again.new_parts, again.parts) == (3, 0, first.parts)
    assert len(list((tmp_path / PLAN).iterdir())) == 1


def test_a_manifest_that_grew_keeps_its_parts_and_slots_and_adds_new_ones(tmp_path: Path) -> None:
    before, after = planned(range(4), tmp_path), planned(range(7), tmp_path)
    assert (after.parts[:2], after.slots[:]) == (before.parts[:], (0, 1, 2, 3))
    assert after.new_parts == 2


def test_a_video_that_left_dissolves_its_own_part_whose_other_videos_keep_the_slot(tmp_path: Path) -> None:
    before, after = planned(range(6), tmp_path), planned(range(5), tmp_path)
    assert len(set(before.parts) & set(after.parts)) == 2
    assert sorted(numbers_of(after)) == list(range(5))
    assert {n: slot_of(after, n) for n in range(5)} == {n: slot_of(before, n) for n in range(5)}


def test_a_slot_whose_videos_all_left_stays_empty(tmp_path: Path) -> None:
    before = planned(range(6), tmp_path)
    gone = {int(video, 16) for video in before.videos[1]}
    after = planned([*sorted(set(range(6)) - gone), 6, 7], tmp_path)
    assert after.slots == (0, 2, 3)
    assert list(after.groups(1)) == ["00000", "00002", "00003"]


def test_a_video_that_is_put_back_finds_its_old_part(tmp_path: Path) -> None:
    before = planned(range(6), tmp_path)
    planned(range(5), tmp_path)
    after = planned(range(6), tmp_path)
    assert (after.parts, after.slots, after.new_parts) == (before.parts, before.slots, 0)


def test_two_videos_that_leave_one_part_and_come_back_apart_take_no_slot_twice(tmp_path: Path) -> None:
    before = planned(range(3), tmp_path, size=3)
    one, two, three = numbers_of(before)
    planned([one, two], tmp_path, size=3)
    planned([one], tmp_path, size=3)
    after = planned([one, three], tmp_path, size=3)
    assert sorted(numbers_of(after)) == sorted([one, three])
    assert after.slots == (0, 1)


def test_groups_are_slots_side_by_side(tmp_path: Path) -> None:
    plan = planned(range(10), tmp_path)
    assert plan.groups(2) == {"00000": plan.parts[:2], "00001": plan.parts[2:4], "00002": plan.parts[4:]}


def test_the_sample_is_the_first_group_as_it_was_planned_at_first(tmp_path: Path) -> None:
    before = planned(range(10), tmp_path)
    assert before.sample(2) == before.parts[:2]
    leaving = int(before.videos[0][0], 16)
    after = planned(set(range(10)) - {leaving}, tmp_path)
    assert after.sample(2) == (before.parts[1],)
    assert planned(range(10), tmp_path).sample(2) == before.sample(2)


def test_where_nothing_is_left_of_the_sample_what_took_its_place_stands_for_it(tmp_path: Path) -> None:
    before = planned(range(4), tmp_path)
    kept = [int(members[1], 16) for members in before.videos]
    after = planned(kept, tmp_path)
    assert after.sample(2) == after.parts
    gone = planned([*range(4, 8)], tmp_path)
    assert (gone.slots[:], gone.sample(2)) == ((2, 3), gone.parts[:])


def test_who_planned_first_wins_and_the_other_plans_again(tmp_path: Path) -> None:
    mine = make_plan(keys(range(4)), files_at(tmp_path), PartsConfig(videos=2), 0)
    theirs = planned(range(6), tmp_path)
    assert not save_plan(mine, files_at(tmp_path))
    again = planned(range(6), tmp_path)
    assert (again.parts, again.new_parts) == (theirs.parts, 0)


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flipped(content: bytes) -> bytes:
    place = content.index(b"-") + 1  # in a part's id, which stands in the file as it is
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize("damage", [_cut, _flipped, lambda _: b""], ids=["cut", "flipped byte", "empty"])
def test_a_damaged_file_of_the_plan_is_named_with_the_way_out(tmp_path: Path, damage: object) -> None:
    before = planned(range(6), tmp_path)
    (file,) = (tmp_path / PLAN).iterdir()
    assert callable(damage)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(UsageError, match=rf"{file.name}, a file of the plan, is damaged .*; remove it"):
        planned(range(6), tmp_path)
    file.unlink()
    assert planned(range(6), tmp_path).parts == before.parts


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_the_videos_of_a_file_of_the_plan_that_is_gone_are_planned_anew(tmp_path: Path, lost: int) -> None:
    for count in (4, 8, 12):
        before = planned(range(count), tmp_path)
    sorted((tmp_path / PLAN).iterdir())[lost].unlink()
    after = planned(range(12), tmp_path)
    assert (sorted(numbers_of(after)), after.new_parts) == (list(range(12)), 2)
    assert len(set(before.parts) & set(after.parts)) >= 4
    assert len(set(after.parts)) == len(after.parts)
    assert planned(range(12), tmp_path).parts == after.parts
    grown = planned(range(14), tmp_path)
    assert set(after.parts) < set(grown.parts)


@given(steps=st.lists(st.sets(st.integers(0, 12), min_size=1), min_size=1, max_size=6), size=st.integers(1, 5))
def test_every_video_is_in_exactly_one_part_however_the_manifest_changes(
    tmp_path_factory: pytest.TempPathFactory, steps: list[set[int]], size: int
) -> None:
    folder = tmp_path_factory.mktemp("plan")
    known: dict[str, tuple[int, tuple[str, ...]]] = {}
    for step in steps:
        plan = planned(step, folder, size)
        assert sorted(numbers_of(plan)) == sorted(step)
        assert list(plan.slots) == sorted(set(plan.slots))
        assert len(set(plan.parts)) == len(plan.parts)
        now = dict(zip(plan.parts, zip(plan.slots, plan.videos, strict=True), strict=True))
        assert plan.new_parts == len(now.keys() - known.keys())
        assert {part: now[part] for part in now.keys() & known.keys()} == {
            part: known[part] for part in now.keys() & known.keys()
        }
        known |= now
        again = planned(step, folder, size)
        assert (again.parts, again.slots, again.new_parts) == (plan.parts, plan.slots, 0)
