"""assign: which sentence a frame goes with, by the clock and by what it looks like."""

from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.calibration import Calibration
from schemas.rows import AlignedRow
from stages.align.stage import FloatArray
from stages.filter.assign import (
    ELSEWHERE,
    ON_THE_CLOCK,
    UNPAIRED,
    Assignment,
    assign_by_clip,
    ordered_choice,
    worth_by_null,
    worth_by_threshold,
)
from stages.filter.assign import assign_by_time as given_by_time
from stages.filter.candidates import candidates
from tests.stages.rows import aligned, scored

COST = 0.5
WINDOW = 10.0
NULL = Calibration.pool(np.random.default_rng(0).normal(0.0, 0.1, 20_000))
RATE = 0.05


def spans(count: int, every: float = 5.0, length: float = 4.0) -> list[tuple[float, float, str]]:
    return [(every * i, every * i + length, f"This is sentence number {i} here.") for i in range(count)]


def similarity(row: AlignedRow, own: Sequence[int], matched: float = 0.4) -> list[float]:
    """Of all pairs, 0.0 for those that do not belong together; `own` is the true sentence of each frame."""
    return [matched if own[pair.frame] == pair.sentence else 0.0 for pair in row.pairs]


def by_clip(row: AlignedRow, values: Sequence[float], cost: float = COST, lag: float = 0.0) -> Assignment:
    pairs = candidates(row, scored(row, list(values)))
    worth = worth_by_null(pairs.similarity, NULL.quantiles, RATE)
    return assign_by_clip(pairs, worth, cost, np.full(len(row.frame_times), lag))


def assign_by_time(row: AlignedRow, values: Sequence[float] | float, threshold: float = -1.0) -> Assignment:
    return given_by_time(len(row.frame_times), candidates(row, scored(row, values)), threshold)


def at_share(share: float) -> float:
    """A similarity that this share of unrelated pairs just fails to reach."""
    return NULL.threshold(share) + 0.005


def test_by_time_a_frame_goes_with_the_trusted_sentence_that_holds_it() -> None:
    said = [(0.0, 4.0, "This is a proper sentence."), (5.0, 7.0, "Thanks for watching!")]
    row = aligned(said, [0.0, 2.0, 4.0, 6.0])
    found = assign_by_time(row, 0.5)
    assert found.sentence.tolist() == [0, 0, UNPAIRED, UNPAIRED]
    assert found.similarity.tolist() == [0.5, 0.5, -1.0, -1.0]
    assert found.shift.tolist() == [0.0] * 4
    assert found.accepted.tolist() == [True] * 4
    assert assign_by_time(row, 0.5, threshold=0.6).accepted.tolist() == [False, False, True, True]


@pytest.mark.parametrize(("lag", "shift"), [(4.0, -2.0), (-4.0, 2.0)])
def test_the_shift_says_how_the_sentence_was_moved_to_reach_the_frame(lag: float, shift: float) -> None:
    told = [(start + lag + 20.0, end + lag + 20.0, text) for start, end, text in spans(20)]
    row = aligned(told, [20.0 + 5.0 * i + 2.0 for i in range(20)])
    found = by_clip(row, similarity(row, range(20)), lag=lag)
    assert found.sentence.tolist() == list(range(20))
    assert set(found.shift.tolist()) == {shift}


def test_a_frame_in_a_pause_takes_the_sentence_that_looks_right() -> None:
    row = aligned(spans(2, every=8.0), [5.0])
    found = by_clip(row, similarity(row, [1]))
    assert (found.sentence.tolist(), found.shift.tolist()) == ([1], [-3.0])
    assert by_clip(row, [0.0, 0.0]).sentence.tolist() == [UNPAIRED]


def test_the_sentence_of_the_clock_is_accepted_at_its_share_of_the_rate() -> None:
    row = aligned(spans(1), [2.0])
    assert by_clip(row, [at_share(RATE * ON_THE_CLOCK)]).accepted.tolist() == [True]
    just_under = by_clip(row, [NULL.threshold(RATE * ON_THE_CLOCK) - 0.005])
    assert (just_under.sentence.tolist(), just_under.accepted.tolist()) == ([0], [False])


def test_a_sentence_must_be_more_similar_the_further_it_is_away() -> None:
    just_enough = at_share(RATE * ELSEWHERE * np.exp(-COST * 0.1))
    near, far = aligned(spans(1), [4.1]), aligned(spans(1), [8.0])
    assert by_clip(near, [just_enough]).sentence.tolist() == [0]
    assert by_clip(far, [just_enough]).sentence.tolist() == [UNPAIRED]
    assert by_clip(far, [just_enough], cost=0.0).sentence.tolist() == [0]


def test_a_sentence_must_be_more_similar_where_there_are_more_to_choose_from() -> None:
    enough_for_one = at_share(RATE * ELSEWHERE)
    alone, between = aligned(spans(1), [4.5]), aligned(spans(2), [4.5])
    assert by_clip(alone, [enough_for_one], cost=0.0).sentence.tolist() == [0]
    assert by_clip(between, [enough_for_one, 0.0], cost=0.0).sentence.tolist() == [UNPAIRED]
    assert by_clip(between, [0.4, 0.0], cost=0.0).sentence.tolist() == [0]


def test_unrelated_sentences_pass_with_no_more_frames_than_the_rate_however_many_there_are() -> None:
    rate, frames = 0.25, 4000
    row = aligned(spans(frames), [5.0 * i + (2.0 if i % 4 else 4.5) for i in range(frames)])
    generator = np.random.default_rng(3)
    pairs = candidates(row, scored(row, generator.normal(0.0, 0.1, len(row.pairs)).clip(-1, 1).round(4).tolist()))
    found = assign_by_clip(pairs, worth_by_null(pairs.similarity, NULL.quantiles, rate), COST, np.zeros(frames))
    assigned = found.sentence != UNPAIRED
    assert 0.15 < (assigned & found.accepted).sum() / assigned.sum() < rate


def test_frames_do_not_cross_even_where_that_would_look_better() -> None:
    row = aligned(spans(2), [2.0, 7.0])
    values = similarity(row, [1, 0], matched=0.3)
    found = by_clip(row, values).sentence
    assert found[0] <= found[1]


def test_a_flagged_sentence_is_never_taken() -> None:
    said = [(0.0, 4.0, "This is a proper sentence."), (5.0, 7.0, "Thanks for watching!")]
    row = aligned(said, [6.0])
    assert by_clip(row, similarity(row, [1])).sentence.tolist() == [UNPAIRED]


@pytest.mark.parametrize(("said", "times"), [([], [1.0, 2.0]), (spans(3), []), (spans(2), [60.0]), ([], [])])
def test_where_nothing_can_be_paired_every_frame_stays_without(
    said: list[tuple[float, float, str]], times: list[float]
) -> None:
    row = aligned(said, times)
    found = by_clip(row, [])
    assert found.sentence.tolist() == assign_by_time(row, []).sentence.tolist() == [UNPAIRED] * len(times)
    assert found.accepted.all()


def test_worth_is_nothing_at_the_threshold_and_grows_with_rarity() -> None:
    threshold = NULL.threshold(RATE)
    worth = worth_by_null(np.array([-1.0, 0.0, threshold, 0.25, 0.9, 1.0]), NULL.quantiles, RATE)
    assert worth[2] == pytest.approx(0.0, abs=0.05)
    assert worth[0] == pytest.approx(np.log(RATE))
    assert worth[-2:] == pytest.approx(np.log(RATE / 0.001))
    assert (np.diff(worth) >= 0).all()
    assert worth_by_threshold(np.array([0.2, 0.25]), 0.2) == pytest.approx([0.0, 1.0])


def test_a_null_distribution_of_one_value_is_beaten_by_what_exceeds_it() -> None:
    worth = worth_by_null(np.array([-0.1, 0.0, 0.1]), [0.0] * 1001, RATE)
    assert worth == pytest.approx([np.log(RATE), np.log(RATE), np.log(RATE / 0.001)])


@st.composite
def rows(draw: st.DrawFn) -> tuple[AlignedRow, list[float]]:
    gaps = draw(st.lists(st.floats(0.0, 12.0), max_size=10))
    said, clock = [], draw(st.floats(0.0, 10.0))
    for i, gap in enumerate(gaps):
        text = "Thanks for watching!" if draw(st.integers(0, 5)) == 0 else f"This is sentence number {i} here."
        said.append((round(clock, 3), round(clock + 3.0, 3), text))
        clock += 4.1 + gap
    times = draw(st.lists(st.floats(0.0, 100.0), max_size=12, unique_by=lambda time: round(time, 3)))
    row = aligned(said, sorted(round(time, 3) for time in times))
    values = draw(st.lists(st.integers(-30, 60), min_size=len(row.pairs), max_size=len(row.pairs)))
    return row, [value / 100 for value in values]


@settings(deadline=None)
@given(made=rows(), cost=st.floats(0.0, 2.0))
def test_sentences_keep_their_order_and_stay_inside_the_window(
    made: tuple[AlignedRow, list[float]], cost: float
) -> None:
    row, values = made
    found = by_clip(row, values, cost)
    scores = {(pair.frame, pair.sentence): value for pair, value in zip(row.pairs, values, strict=True)}
    paired = [sentence for sentence in found.sentence.tolist() if sentence != UNPAIRED]
    assert all(earlier <= later for earlier, later in pairwise(paired))
    assert np.abs(found.shift).max(initial=0.0) <= WINDOW
    for frame, (time, sentence) in enumerate(zip(row.frame_times, found.sentence.tolist(), strict=True)):
        if sentence == UNPAIRED:
            assert (found.similarity[frame], found.shift[frame]) == (-1.0, 0.0)
            continue
        said = row.sentences[sentence]
        assert not said.flag
        assert found.similarity[frame] == scores[(frame, sentence)]
        moved = said.start + found.shift[frame], said.end + found.shift[frame]
        assert moved[0] - 1e-9 <= time <= moved[1] + 1e-9


@settings(deadline=None)
@given(made=rows())
def test_perfect_similarity_without_lag_gives_the_assignment_by_time(made: tuple[AlignedRow, list[float]]) -> None:
    row, _ = made
    on_the_clock = assign_by_time(row, 0.0).sentence.tolist()
    values = similarity(row, on_the_clock, matched=1.0)
    expected, found = assign_by_time(row, values), by_clip(row, values)
    assert found.sentence.tolist() == expected.sentence.tolist()
    assert found.similarity.tolist() == expected.similarity.tolist()
    assert found.shift.tolist() == expected.shift.tolist()


@st.composite
def bands(draw: st.DrawFn) -> tuple[list[int], list[int], list[float]]:
    frame, sentence, first, last = [], [], 0, 0
    for index in range(draw(st.integers(0, 5))):
        first = draw(st.integers(first, 4))
        last = draw(st.integers(max(first, last), 5))
        frame += [index] * (last - first)
        sentence += list(range(first, last))
    gains = st.one_of(st.integers(-8, 12).map(float), st.just(-np.inf))
    return frame, sentence, draw(st.lists(gains, min_size=len(frame), max_size=len(frame)))


@settings(deadline=None)
@given(made=bands())
def test_the_ordered_choice_has_the_largest_sum_of_all(made: tuple[list[int], list[int], list[float]]) -> None:
    frame, sentence, gain = (np.array(part) for part in made)
    chosen = ordered_choice(frame.astype(np.int64), sentence.astype(np.int64), gain.astype(np.float64))
    assert np.isfinite(gain[chosen]).all()
    assert len(set(frame[chosen])) == len(chosen)
    assert list(chosen) == sorted(chosen)
    assert all(earlier <= later for earlier, later in pairwise(sentence[chosen]))
    assert gain[chosen].sum() == largest_sum(*made)


def largest_sum(frame: list[int], sentence: list[int], gain: list[float]) -> float:
    """Over all ways to give each frame one of its pairs or none."""
    options = [[None, *(i for i, f in enumerate(frame) if f == index)] for index in sorted(set(frame))]
    sums: FloatArray = np.array([0.0])
    for way in product(*options):
        taken = [pair for pair in way if pair is not None]
        if all(sentence[earlier] <= sentence[later] for earlier, later in pairwise(taken)):
            sums = np.append(sums, sum(gain[pair] for pair in taken))
    return float(sums.max())
