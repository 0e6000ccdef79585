"""The lag and the drift of a track."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.transcribe.subtitle_clock import SLACK, Clock, estimated

Talk = list[tuple[str, float]]


def talk(seconds: float, seed: int = 0) -> Talk:
    """Words of a talk: a few common ones, many rare ones, pauses."""
    draw = random.Random(seed)
    time, words = 0.0, []
    while time < seconds:
        words.append((f"w{min(3000, int(draw.paretovariate(0.8)))}", time))
        time += 0.35 + 2.0 * (draw.random() < 0.05)
    return words


def written(said: Talk, lag: float, stretch: float, wrong: float = 0.25) -> Talk:
    """The talk as a track with a lag and a drift, some words otherwise, each at a place that is a guess."""
    draw = random.Random(1)
    return [
        (word if draw.random() > wrong else f"x{draw.random()}", (time + lag) / stretch + draw.gauss(0, 0.5))
        for word, time in said
    ]


def worst(clock: Clock, said: Talk, lag: float, stretch: float) -> float:
    """Seconds by which the clock is wrong at most."""
    return max(abs(clock((time + lag) / stretch) - time) for _, time in said)


@pytest.mark.parametrize("seconds", [15, 60, 600])
@pytest.mark.parametrize("lag", [0.0, 2.0, -2.0, 30.0, -30.0, 300.0])
def test_a_lag_is_found(seconds: float, lag: float) -> None:
    said = talk(seconds)
    clock = estimated(written(said, lag, 1.0), said)
    assert (clock.known, clock.stretch) == (True, 1.0)
    assert clock.lag == pytest.approx(lag, abs=0.6)


@pytest.mark.parametrize(
    "stretch", [25 / (24000 / 1001), (24000 / 1001) / 25, 25 / 24, 30 / (30000 / 1001), 1.1, 0.93, 1.003]
)
def test_a_drift_is_found_with_a_lag(stretch: float) -> None:
    said = talk(3600)
    clock = estimated(written(said, 7.0, stretch), said)
    assert worst(clock, said, 7.0, stretch) < 0.5


def test_the_rates_of_films_are_given_exactly() -> None:
    said = talk(1800)
    assert estimated(written(said, 0.0, 0.96), said).stretch == 0.96


@settings(deadline=None, max_examples=25)
@given(st.floats(-600, 600), st.floats(0.8, 1.25))
def test_a_track_that_was_moved_and_stretched_is_moved_back(lag: float, stretch: float) -> None:
    said = talk(900)
    assert worst(estimated(written(said, lag, stretch), said), said, lag, stretch) < 2 * SLACK


def test_a_drift_is_found_where_everything_is_said_again_and_again() -> None:
    once = talk(27)
    said = [(word, time + 27 * turn) for turn in range(12) for word, time in once]
    assert worst(estimated(written(said, 3.0, 25 / 24, wrong=0.0), said), said, 3.0, 25 / 24) < 2.0


@pytest.mark.parametrize("lag", [0.5, -1.0])
def test_a_small_lag_is_none(lag: float) -> None:
    said = talk(300)
    assert estimated(written(said, lag, 1.0), said).lag == 0.0


def test_half_a_track_and_a_track_of_more_than_the_video_have_their_lag() -> None:
    said = talk(600)
    half = written(said[: len(said) // 2], 30.0, 1.0)
    assert estimated(half, said).lag == pytest.approx(30.0, abs=0.6)
    more = [*written(talk(300, seed=5), 0.0, 1.0), *written(said, 310.0, 1.0)]
    assert estimated(more, said).lag == pytest.approx(310.0, abs=0.6)


def test_other_speech_and_too_few_words_have_no_clock() -> None:
    said = talk(600)
    other = [(f"{word}x" if int(word[1:]) > 3 else word, time) for word, time in talk(600, seed=9)]
    assert estimated(other, said) == Clock()
    assert estimated(said[:3], said) == Clock()
    assert estimated([], []) == Clock()
