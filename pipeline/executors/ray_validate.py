"""The shards of a finished dataset checked as tasks of a Ray cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from pipeline.executors.ray_session import ray_session
from storyloom.errors import RunFailed
from storyloom.validate.result import ShardResult, ShardTask
from storyloom.validate.shard import validate_shard
from storyloom.validate.spread import AHEAD, crashed


def over_ray(tasks: Sequence[ShardTask], workers: int | None, address: str) -> Iterator[ShardResult]:
    """Check shards as tasks of a Ray cluster, whose nodes must see the dataset's folder under the same path.

    Args:
        tasks: The shards.
        workers: Most tasks at a time; None for as many as the cluster has CPUs.
        address: Of the cluster, e.g. ``ray://head:10001``; ``local`` starts one on this machine.

    Raises:
        RunFailed: No cluster answers, or it cannot run the tasks.
    """
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
                yield crashed(task)
            except ray.exceptions.RayError as reason:
                raise RunFailed(f"Ray could not check {task.file}: {str(reason).strip().splitlines()[-1]}") from reason
