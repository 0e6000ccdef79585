"""Shards distributed over the processes of a machine. Results come in the order of the shards."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np

from storyloom.validate.result import PLACE, ShardResult, ShardTask
from storyloom.validate.shard import validate_shard
from storyloom.validate.violation import Violations

AHEAD = 4
"""Shards submitted per worker ahead of the oldest unfinished one: finished results wait in memory (our choice)."""


Spread = Callable[[Sequence[ShardTask]], Iterator[ShardResult]]
"""Checks shards in any process, and yields the results in the order of the shards."""


def in_this_process(tasks: Sequence[ShardTask]) -> Iterator[ShardResult]:
    """Check one shard after another."""
    return map(validate_shard, tasks)


def over_processes(tasks: Sequence[ShardTask], workers: int | None = None) -> Iterator[ShardResult]:
    """Check shards in processes of this machine. A process that dies fails its own shard only.

    Args:
        tasks: The shards.
        workers: Processes at a time; None for as many as there are CPUs.
    """
    workers = workers or os.cpu_count() or 1
    waiting = deque(tasks)
    while waiting:
        running: deque[tuple[ShardTask, Future[ShardResult]]] = deque()
        pool = _pool(min(workers, len(waiting)))
        try:
            while waiting or running:
                while waiting and len(running) < AHEAD * workers:
                    running.append((waiting[0], pool.submit(validate_shard, waiting[0])))
                    waiting.popleft()
                result = running[0][1].result()
                running.popleft()
                yield result
        except BrokenProcessPool:  # one of the running tasks crashed its process, which broke the pool
            pool.shutdown()
            for task, _ in running:
                yield _alone(task)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _alone(task: ShardTask) -> ShardResult:
    with _pool(1) as pool:
        try:
            return pool.submit(validate_shard, task).result()
        except BrokenProcessPool:
            return crashed(task)


def crashed(task: ShardTask) -> ShardResult:
    """The result of a shard whose process died."""
    violations = Violations()
    violations.add(task.file, "crashed", "the process that read it died: a decoder failed, or memory ran out")
    nothing = np.array([], dtype=PLACE)
    return ShardResult(task.file, violations, None, nothing, nothing)


def _pool(workers: int) -> ProcessPoolExecutor:
    # "spawn": a fork of a process with threads, as a notebook is, may hang. The parent handles Ctrl-C.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(
        workers, mp_context=context, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)
    )
