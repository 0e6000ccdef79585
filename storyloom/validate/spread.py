"""Shards over processes or a Ray cluster. Results come in the order of the shards, whoever is done first."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np

from storyloom.errors import RunFailed
from storyloom.validate.result import PLACE, ShardResult, ShardTask
from storyloom.validate.shard import validate_shard
from storyloom.validate.violation import Violations

AHEAD = 4
"""Shards handed out per worker before the first of them is done: results wait for their turn in memory (our choice)."""


def over_processes(tasks: Sequence[ShardTask], workers: int) -> Iterator[ShardResult]:
    """Check shards in so many processes of this machine. One that dies takes no other shard along."""
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
        except BrokenProcessPool:  # one of those running killed its process, which ended the others
            pool.shutdown()
            for task, _ in running:
                yield _alone(task)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def over_ray(tasks: Sequence[ShardTask], workers: int | None, address: str) -> Iterator[ShardResult]:
    """Check shards as tasks of a Ray cluster, where the dataset's folder has to be seen under the same path.

    Args:
        tasks: The shards.
        workers: Most tasks at a time; None for as many as the cluster has CPUs.
        address: Of the cluster, e.g. ``ray://head:10001``; ``local`` starts one on this machine.

    Raises:
        RunFailed: No cluster answers, or it cannot run the tasks.
    """
    from pipeline.executors.ray_session import ray_session

    with ray_session(address):
        import ray
        import ray.exceptions

        check = ray.remote(num_cpus=1, max_retries=1)(validate_shard)
        limit = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        ahead = limit if workers else AHEAD * limit
        running: deque[tuple[ShardTask, ray.ObjectRef[ShardResult]]] = deque()
        waiting = deque(tasks)
        while waiting or running:
            while waiting and len(running) < ahead:
                task = waiting.popleft()
                running.append((task, check.remote(task)))
            task, reference = running.popleft()
            try:
                yield ray.get(reference)
            except ray.exceptions.WorkerCrashedError:
                yield _crashed(task)
            except ray.exceptions.RayError as reason:
                raise RunFailed(f"Ray could not check {task.file}: {str(reason).strip().splitlines()[-1]}") from reason


def _alone(task: ShardTask) -> ShardResult:
    with _pool(1) as pool:
        try:
            return pool.submit(validate_shard, task).result()
        except BrokenProcessPool:
            return _crashed(task)


def _crashed(task: ShardTask) -> ShardResult:
    violations = Violations()
    violations.add(task.file, "crashed", "the process that read it died: a decoder failed, or memory ran out")
    nothing = np.array([], dtype=PLACE)
    return ShardResult(task.file, violations, None, nothing, nothing)


def _pool(workers: int) -> ProcessPoolExecutor:
    # "spawn": a fork of a process with threads, as a notebook is, may hang. Ctrl-C is the parent's to answer.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(
        workers, mp_context=context, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)
    )
