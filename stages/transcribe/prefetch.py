"""Prefetching: the next item is processed while the previous result is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def prefetched(work: Callable[[ItemT], ResultT], items: Iterable[ItemT]) -> Iterator[ResultT]:
    """Yield the results of `work` in the order of the items, computed by a thread one item ahead.

    Items are taken lazily. An exception of `work` is raised in place of its result.
    """
    pool = ThreadPoolExecutor(1)
    due: Future[ResultT] | None = None
    try:
        for item in items:
            following = pool.submit(work, item)
            if due is not None:
                yield due.result()
            due = following
        if due is not None:
            yield due.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
