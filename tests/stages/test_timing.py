"""Seconds by kind, whatever thread spent them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from types import SimpleNamespace

import pytest

import stages.timing
from stages.timing import Timings


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


def test_blocks_of_a_kind_are_added_up(clock: Clock) -> None:
    timings = Timings()
    for seconds in (1, 2):
        with timings.on("decode"):
            clock.work(seconds)
        clock.work(100)
    with timings.on("model"):
        clock.work(8)
    assert timings.take() == {"decode": 3, "model": 8}


def test_what_was_taken_is_not_counted_again(clock: Clock) -> None:
    timings = Timings()
    with timings.on("fetch"):
        clock.work(1)
    assert timings.take() == {"fetch": 1}
    assert timings.take() == {}


def test_a_block_that_raises_counts_and_lets_the_error_through(clock: Clock) -> None:
    timings = Timings()

    def break_off() -> None:
        with timings.on("decode"):
            clock.work(3)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        break_off()
    assert timings.take() == {"decode": 3}


def test_threads_that_work_at_once_each_count(clock: Clock) -> None:
    timings, together = Timings(), Barrier(3)

    def work() -> None:
        with timings.on("model"):
            together.wait()
            together.wait()

    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(work) for _ in range(2)]
        together.wait()
        clock.work(5)
        together.wait()
        for one in running:
            one.result()
    assert timings.take() == {"model": 10}
