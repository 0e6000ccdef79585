"""Where time goes: every second counts once, for the innermost block, in the thread that spent it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stages.timing
from stages.timing import KINDS, On, mapped, measured, spent, spent_on_each


@dataclass
class Clock:
    """A clock that moves when it is told to."""

    now: float = 0.0

    def work(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(stages.timing, "time", SimpleNamespace(perf_counter=lambda: made.now))
    return made


def test_a_block_inside_another_counts_for_the_inner_one_only(clock: Clock) -> None:
    with measured() as seconds:
        clock.work(1)
        with spent("write"):
            clock.work(2)
            with spent("read"):
                clock.work(4)
            clock.work(8)
    assert seconds == {"other": 1, "write": 10, "read": 4}


def test_a_generator_counts_for_itself_and_its_consumer_for_itself(clock: Clock) -> None:
    def rows() -> Iterator[int]:
        for row in range(3):
            clock.work(1)
            yield row
        clock.work(16)

    with measured() as seconds, spent("write"):
        for _ in spent_on_each("read", rows()):
            clock.work(100)
    assert seconds == {"read": 19, "write": 300, "other": 0}


def test_a_block_that_raises_counts_and_lets_the_error_through(clock: Clock) -> None:
    def break_off() -> None:
        with spent("decode"):
            clock.work(3)
            raise ValueError("broken")

    with measured() as seconds, pytest.raises(ValueError, match="broken"):
        break_off()
    assert seconds == {"decode": 3, "other": 0}


def test_what_is_spent_before_somebody_asks_is_not_counted(clock: Clock) -> None:
    with spent("model"):
        clock.work(5)
    with measured() as seconds:
        clock.work(1)
    with spent("model"):
        clock.work(5)
    assert seconds == {"other": 1}


Step = tuple[On, int, list["Step"]]
STEPS: st.SearchStrategy[Step] = st.recursive(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 9), st.just([])),
    lambda inner: st.tuples(st.sampled_from(KINDS), st.integers(0, 9), st.lists(inner, max_size=4)),
    max_leaves=20,
)


@given(step=STEPS)
def test_kinds_add_up_to_the_whole_however_blocks_nest(step: Step) -> None:
    clock, expected = Clock(), Counter[On]()

    def take(on: On, seconds: int, inner: list[Step]) -> None:
        with spent(on):
            clock.work(seconds)
            expected[on] += seconds
            for one in inner:
                take(*one)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages.timing, "time", SimpleNamespace(perf_counter=lambda: clock.now))
        with measured() as seconds:
            take(*step)
    assert +Counter(seconds) == +expected
    assert sum(seconds.values()) == clock.now


def test_two_threads_do_not_count_each_others_time() -> None:
    together = threading.Barrier(2)

    def part(on: On) -> dict[On, float]:
        with measured() as seconds:
            together.wait()
            with spent(on):
                together.wait()
        return seconds

    with ThreadPoolExecutor(2) as pool:
        of_decode, of_model = pool.map(part, ["decode", "model"])
    assert (set(of_decode), set(of_model)) == ({"decode", "other"}, {"model", "other"})


def test_waiting_for_a_pool_is_divided_as_its_threads_divide_their_time() -> None:
    def fetched(number: int) -> int:
        with spent("wait"):
            time.sleep(0.02)
        return 10 * number

    began = time.perf_counter()
    with ThreadPoolExecutor(2) as pool, measured() as seconds:
        inside = time.perf_counter()
        results = list(mapped(pool, fetched, range(4)))
        least = time.perf_counter() - inside
    assert results == [0, 10, 20, 30]
    assert seconds["wait"] > 0
    assert set(seconds) == {"wait", "other"}
    assert least <= sum(seconds.values()) <= time.perf_counter() - began


def test_a_pool_gives_the_same_when_nobody_asks() -> None:
    with ThreadPoolExecutor(2) as pool:
        assert list(mapped(pool, str, range(3))) == ["0", "1", "2"]
