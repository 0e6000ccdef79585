"""narration_lag: what is known about how late the speech of a video is, at each time, and how sure that is."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from schemas.calibration import Calibration
from schemas.rows import LEAST_LAG_CONFIDENCE, AlignedRow
from stages.align.stage import FloatArray
from stages.filter.assign import worth_by_null
from stages.filter.candidates import candidates
from stages.filter.lag import Chain, NarrationLag, narration_lag, overlaps, probabilities
from tests.stages.rows import aligned, scored

NULL = Calibration.pool(np.random.default_rng(0).normal(0.0, 0.1, 20_000))
RATE = 0.05
EVERY = 5.0
"""Seconds of a picture; its frame is taken 2 s after its start, as of scenes longer than the interval of frames."""


def lag_of(row: AlignedRow, values: Sequence[float]) -> NarrationLag:
    pairs = candidates(row, scored(row, list(values)))
    times = np.array(row.frame_times)
    shown = np.stack([times - 2.0, times + EVERY - 2.0], axis=1)
    return narration_lag(pairs, worth_by_null(pairs.similarity, NULL.quantiles, RATE), times, shown)


def told(
    rng: np.random.Generator, late: Callable[[float], float], pictures: int = 40, off_topic: float = 0.15
) -> tuple[AlignedRow, list[float]]:
    """Pictures of 5 s, each talked about for 4 s as late as `late` says for its start; some are talked past."""
    spoken = []
    for i in range(pictures):
        start = EVERY * i + late(EVERY * i) + 0.5
        if start >= 0:
            spoken.append((start, start + 4.0, f"This is sentence number {i} here."))
    row = aligned(spoken, [EVERY * i + 2.0 for i in range(pictures)])
    first = pictures - len(row.sentences)
    on_topic = rng.random(pictures) >= off_topic
    matched = [pair.frame == pair.sentence + first and on_topic[pair.frame] for pair in row.pairs]
    values = np.where(matched, rng.normal(0.28, 0.12, len(matched)), rng.normal(0.0, 0.1, len(matched)))
    return row, values.clip(-1, 1).round(4).tolist()


@pytest.mark.parametrize("lag", [-8.0, -4.0, -1.0, 1.0, 2.5, 4.0, 8.0])
def test_a_lag_is_found_without_bias(lag: float) -> None:
    found = [lag_of(*told(np.random.default_rng([seed, 7]), lambda _: lag)) for seed in range(6)]
    assert [one.median for one in found] == pytest.approx([lag] * 6, abs=0.3)
    assert np.mean([one.median for one in found]) == pytest.approx(lag, abs=0.15)
    assert min(one.confidence for one in found) > 0.8


def test_narration_in_time_has_no_lag_and_that_is_known() -> None:
    for seed in range(10):
        found = lag_of(*told(np.random.default_rng([seed, 8]), lambda _: 0.0))
        assert found.seconds.tolist() == [0.0] * 40
        assert found.confidence > 0.8


def test_a_drift_is_followed() -> None:
    row, values = told(np.random.default_rng(1), lambda time: 0.02 * time)
    assert np.abs(lag_of(row, values).seconds - 0.02 * np.array(row.frame_times)).mean() < 0.3


def test_sections_have_lags_of_their_own() -> None:
    row, values = told(np.random.default_rng(2), lambda time: 0.0 if time < 100 else 4.0, off_topic=0.0)
    found = lag_of(row, values).seconds
    assert np.median(found[:18]) == pytest.approx(0.0, abs=0.3)
    assert np.median(found[22:]) == pytest.approx(4.0, abs=0.3)


@pytest.mark.parametrize("pictures", [2, 4, 8, 16, 100])
def test_similarities_that_say_nothing_seldom_make_a_lag(pictures: int) -> None:
    invented = 0
    for seed in range(20):
        row, values = told(np.random.default_rng([seed, pictures]), lambda _: 0.0, pictures, off_topic=1.0)
        found = lag_of(row, values)
        invented += abs(found.median) > 0.5
        assert found.confidence >= LEAST_LAG_CONFIDENCE or not found.seconds.any()
    assert invented <= 4


def test_few_pictures_in_time_have_no_lag() -> None:
    for seed in range(20):
        for pictures in (1, 2, 3):
            row, values = told(np.random.default_rng([seed, 9]), lambda _: 0.0, pictures, off_topic=0.0)
            assert abs(lag_of(row, values).median) <= 0.5


def test_pictures_that_go_with_everything_say_nothing_about_the_lag() -> None:
    row, _ = told(np.random.default_rng(0), lambda _: 0.0, 20)
    found = lag_of(row, [0.5] * len(row.pairs))
    assert found.seconds.tolist() == [0.0] * 20


def test_without_pairs_nothing_is_known() -> None:
    found = lag_of(aligned([], [2.0, 7.0]), [])
    assert (found.seconds.tolist(), found.confidence, found.median) == ([0.0, 0.0], 0.0, 0.0)
    assert lag_of(aligned([], []), []).median == 0.0


@given(
    shown=st.tuples(st.floats(0, 50), st.floats(0.2, 30)),
    heard=st.tuples(st.floats(0, 50), st.floats(0.2, 12)),
    vote=st.floats(-3, 3),
)
def test_a_vote_counts_by_the_overlap_under_each_lag(
    shown: tuple[float, float], heard: tuple[float, float], vote: float
) -> None:
    picture, sentence = (np.array([[start, start + length]]) for start, length in (shown, heard))
    found = overlaps(np.array([vote]), np.array([0]), 1, picture, sentence)
    lags = np.linspace(-10, 10, 201)
    ends = np.minimum(picture[0, 1], sentence[0, 1] - lags)
    together = np.maximum(ends - np.maximum(picture[0, 0], sentence[0, 0] - lags), 0.0)
    assert found[0] == pytest.approx(vote * together / min(shown[1], heard[1]), abs=1e-6)


@given(seed=st.integers(0, 2**32))
def test_looking_back_over_a_stretch_is_the_transpose_of_going_on(seed: int) -> None:
    chain = Chain(201)
    before, after = np.random.default_rng(seed).random((2, len(chain.first)))
    assert chain.onward(before) @ after == pytest.approx(before @ chain.back(after))


@given(seen=arrays(np.float64, st.tuples(st.integers(1, 6), st.just(201)), elements=st.floats(-20, 20)))
@settings(deadline=None, max_examples=25)
def test_the_probabilities_of_a_stretch_add_up(seen: FloatArray) -> None:
    found = probabilities(seen)
    assert found.shape == (len(seen), 202)
    assert found.sum(axis=1) == pytest.approx(np.ones(len(seen)))
    assert (found >= 0).all()
