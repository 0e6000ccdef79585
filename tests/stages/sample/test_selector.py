from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.sample.selector import Candidate, FrameSelector, SelectedFrame

INTERVAL = 4.0
MIN_SCENE = 0.5


def candidate(time: float, *, cut: bool = False) -> Candidate[None]:
    return Candidate(time=time, cut=cut, picture=None)


def picks(candidates: list[Candidate[None]], end: float) -> list[SelectedFrame[None]]:
    selector: FrameSelector[None] = FrameSelector(INTERVAL, MIN_SCENE)
    return [pick for each in candidates for pick in selector.add(each)] + selector.finish(end)


def times(candidates: list[Candidate[None]], end: float) -> list[float]:
    return [pick.candidate.time for pick in picks(candidates, end)]


def grid(start: float, end: float) -> list[Candidate[None]]:
    count = int((end - start) / 0.5)
    return [candidate(start + 0.5 * i, cut=start > 0 and i == 0) for i in range(count)]


def test_a_scene_shorter_than_the_interval_gives_its_middle_frame() -> None:
    assert times(grid(0, 3), end=3) == [1.5]


def test_a_longer_scene_gives_the_middle_of_each_whole_interval() -> None:
    assert times(grid(0, 8), end=8) == [2.0, 6.0]


@pytest.mark.parametrize(("end", "expected"), [(9.5, [2.0, 6.0]), (10.0, [2.0, 6.0, 9.0]), (11.0, [2.0, 6.0, 9.5])])
def test_the_rest_of_a_scene_counts_from_half_an_interval_on(end: float, expected: list[float]) -> None:
    assert times(grid(0, end), end=end) == expected


def test_intervals_are_counted_from_the_start_of_each_scene() -> None:
    assert [(p.candidate.time, p.scene) for p in picks(grid(0, 3) + grid(3, 11), end=11)] == [
        (1.5, 0),
        (5.0, 1),
        (9.0, 1),
    ]


def test_a_cut_right_after_another_is_a_flash_and_no_scene() -> None:
    flash = [candidate(0), candidate(2, cut=True), candidate(2.04, cut=True), candidate(3)]
    assert {pick.scene for pick in picks(flash, end=3.5)} == {0, 1}


def test_intervals_in_which_no_new_picture_came_give_none() -> None:
    assert times([candidate(0), candidate(21), candidate(30)], end=30) == [0, 21, 30]


def test_a_frame_that_is_not_later_than_the_one_before_is_passed_over() -> None:
    assert times([candidate(1), candidate(0.5), candidate(1)], end=1) == [1]


def test_a_scene_that_begins_with_a_late_frame_is_not_lost() -> None:
    late = [candidate(0), candidate(2.9), candidate(2.8, cut=True), candidate(3.4)]
    assert [(pick.candidate.time, pick.scene) for pick in picks(late, end=6)] == [(2.9, 0), (3.4, 1)]


def test_a_video_without_frames_gives_none() -> None:
    assert times([], end=0) == []


streams = st.lists(st.tuples(st.integers(1, 3000), st.booleans()), min_size=1, max_size=200).map(
    lambda steps: [
        candidate(sum(step for step, _ in steps[: i + 1]) / 1000, cut=cut) for i, (_, cut) in enumerate(steps)
    ]
)


def scenes(stream: list[Candidate[None]]) -> list[float]:
    """Where scenes begin: the rule, said another way."""
    starts = [stream[0].time]
    for each in stream[1:]:
        if each.cut and each.time - starts[-1] >= MIN_SCENE - 1e-6:
            starts.append(each.time)
    return starts


@given(streams)
def test_times_rise_strictly_and_are_times_of_candidates(stream: list[Candidate[None]]) -> None:
    found = times(stream, stream[-1].time)
    assert all(later > earlier for earlier, later in pairwise(found))
    assert set(found) <= {each.time for each in stream}


@given(streams)
def test_every_scene_gets_a_frame_of_its_own(stream: list[Candidate[None]]) -> None:
    starts = scenes(stream)
    for number, (start, after) in enumerate(zip(starts, [*starts[1:], float("inf")], strict=True)):
        assert any(
            pick.scene == number and start <= pick.candidate.time < after for pick in picks(stream, stream[-1].time)
        )


@given(streams)
def test_no_interval_gives_more_than_one_frame(stream: list[Candidate[None]]) -> None:
    starts = scenes(stream)
    windows = [
        (pick.scene, int((pick.candidate.time - starts[pick.scene] + 1e-6) / INTERVAL))
        for pick in picks(stream, stream[-1].time)
    ]
    assert len(set(windows)) == len(windows)


def test_a_frame_knows_since_when_its_scene_or_its_interval_of_one_is_shown() -> None:
    assert [(p.candidate.time, p.start) for p in picks(grid(0, 3) + grid(3, 11), end=11)] == [
        (1.5, 0.0),
        (5.0, 3.0),
        (9.0, 7.0),
    ]
