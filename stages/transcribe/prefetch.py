"""Work on the next item while the result before it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def prefetched(work: Callable[[ItemT], ResultT], items: Iterable[ItemT]) -> Iterator[ResultT]:
    """The results of `work` in the order of the items, made by a thread one ahead of what is used.

    Items are taken only as they are due. What `work` raises is raised where its result would come.
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
