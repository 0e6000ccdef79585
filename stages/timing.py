"""Where a part's time goes: read, decode, model, write, wait. Measured only while a profile asks for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Literal, TypeVar, get_args

On = Literal["read", "decode", "model", "write", "wait", "other"]
"""Reading rows, decoding media, the model with its pre- and postprocessing, writing rows or shards, waiting for others;
all that has no such name is other."""

KINDS: tuple[On, ...] = get_args(On)

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

_seconds: ContextVar[dict[On, float] | None] = ContextVar("_seconds", default=None)
"""What was spent so far, in seconds of wall time; None while nobody asks. Each thread has its own."""


@contextmanager
def measured() -> Iterator[dict[On, float]]:
    """Count the time of a block by kind, from nothing, in this thread; what lies in no `spent` block is ``other``.

    The counts add up to the block's wall time and are complete when it ends.
    """
    so_far: dict[On, float] = {}
    token = _seconds.set(so_far)
    try:
        with spent("other"):
            yield so_far
    finally:
        _seconds.reset(token)


@contextmanager
def spent(on: On) -> Iterator[None]:
    """Count the time of a block; one inside another block counts for the inner one only.

    No `yield` of a generator may lie in the block: it would count its consumer's time too. See `spent_on_each`.
    """
    so_far = _seconds.get()
    if so_far is None:
        yield
        return
    before, began = sum(so_far.values()), time.perf_counter()
    try:
        yield
    finally:
        inner = sum(so_far.values()) - before
        so_far[on] = so_far.get(on, 0.0) + time.perf_counter() - began - inner


def spent_on_each(on: On, items: Iterable[ItemT]) -> Iterator[ItemT]:
    """The same items; the time that a generator takes to make each of them counts, its consumer's does not."""
    iterator = iter(items)
    while True:
        with spent(on):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


def mapped(pool: Executor, work: Callable[[ItemT], ResultT], items: Iterable[ItemT]) -> Iterator[ResultT]:
    """`pool.map`; the time for which a result is waited is divided as its thread divided its own."""

    def in_thread(item: ItemT) -> tuple[ResultT, dict[On, float]]:
        with measured() as of_thread:
            result = work(item)
        return result, of_thread

    so_far = _seconds.get()
    if so_far is None:
        yield from pool.map(work, items)
        return
    results = pool.map(in_thread, items)
    while True:
        began = time.perf_counter()
        try:
            result, of_thread = next(results)
        except StopIteration:
            return
        waited, in_all = time.perf_counter() - began, sum(of_thread.values()) or 1.0
        for on, seconds in of_thread.items():
            so_far[on] = so_far.get(on, 0.0) + waited * seconds / in_all
        yield result


class Timings:
    """Seconds of wall time by kind, added up over all threads: threads that work at once add up to more than passed."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def on(self, kind: str) -> Iterator[None]:
        """Add the time of a block, also when it raises.

        No `yield` of a generator may lie in the block: it would add its consumer's time too.
        """
        began = time.perf_counter()
        try:
            yield
        finally:
            passed = time.perf_counter() - began
            with self._lock:
                self._seconds[kind] = self._seconds.get(kind, 0.0) + passed

    def take(self) -> dict[str, float]:
        """The seconds since the last call, by kind; kinds on which nothing was spent are left out."""
        with self._lock:
            taken, self._seconds = self._seconds, {}
        return taken
