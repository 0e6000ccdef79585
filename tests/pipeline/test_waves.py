"""The order of the work."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.waves import MOST_GROUPS, longest_first, waves
from tests.runs import Finished


@given(st.integers(0, 3000), st.integers(1, 8))
def test_every_part_is_in_one_wave_and_no_group_is_cut(parts: int, group: int) -> None:
    names = [str(number) for number in range(parts)]
    found = list(waves(names, group))
    assert [name for wave in found for name in wave] == names
    assert all(len(wave) % group == 0 for wave in found[:-1])
    assert all(len(wave) <= MOST_GROUPS * group for wave in found)


def test_waves_begin_small_and_double() -> None:
    assert [len(wave) for wave in waves([str(n) for n in range(30)], 2)] == [2, 4, 8, 16]


def test_the_part_with_the_longest_media_comes_first(demo_run: Finished) -> None:
    situation = demo_run.situation
    assert longest_first(situation.job, ["not-downloaded", *situation.plan.parts]) == [
        *situation.plan.parts,
        "not-downloaded",
    ]
