"""The Ray runner: Ray Data streams part ids through one pool of workers per stage; the data stays in files."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.errors import RunFailed
from pipeline.execute import Job, run_part
from pipeline.groups import done_mark, write_group
from pipeline.registry import WRITE
from pipeline.runner import OnDone
from schemas.config import Resources

if TYPE_CHECKING:
    import ray.data

ATTEMPTS = 3
"""Datasets started over what is missing, as long as each brings something (our choice)."""

Missing = dict[str, set[str]]
"""Ids of the parts or groups that are not done, by stage."""

POLL_SECONDS = 1.0
"""How often the store is listed for progress."""


class StageWorker:
    """A stage in a Ray actor: set up once, then called with one part id after the other."""

    def __init__(self, job: Job, name: str) -> None:
        self._job = job
        self._stage = job.ready_stage(name)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        for part in batch["part"]:
            run_part(self._job, self._stage, str(part))
        return batch


class GroupWriter:
    """`write` in a Ray actor."""

    def __init__(self, job: Job, groups: dict[str, tuple[str, ...]]) -> None:
        self._job = job
        self._groups = groups

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        for group in batch["part"]:
            write_group(self._job, str(group), self._groups[str(group)])
        return batch


@contextlib.contextmanager
def ray_session(address: str) -> Iterator[None]:
    """Join or start a Ray cluster; its log goes to its own files.

    Raises:
        RunFailed: No cluster answers at the address.
    """
    import ray
    import ray.data

    try:
        ray.init(
            address=address or None,
            include_dashboard=False if not address else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
            ignore_reinit_error=True,
        )
    except (ConnectionError, RuntimeError, ValueError) as reason:
        raise RunFailed(f"no Ray cluster at {address!r}: {reason}") from reason
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.actor_init_retry_on_errors = True
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


class RayRunner:
    """Runs on the cluster of the session. While one part is transcribed, the next one is decoded."""

    def rows(self, job: Job, stages: Sequence[str], parts: Sequence[str], on_done: OnDone) -> None:
        """See `Runner.rows`.

        Raises:
            RunFailed: Parts are missing after several attempts; what is done is kept.
        """

        def missing() -> Missing:
            return {name: set(parts) - job.store.done(name, job.digests[name]) for name in stages}

        def start(to_do: Missing) -> ray.data.Dataset:
            active = [name for name in stages if to_do[name]]
            share = _share([job.config.stage(name).resources for name in active])
            waiting = set().union(*to_do.values())
            dataset = _dataset([part for part in parts if part in waiting])
            for name in active:
                resources = job.config.stage(name).resources
                dataset = _through(dataset, StageWorker, {"job": job, "name": name}, resources, share)
            return dataset

        _until_done(start, missing, on_done)

    def write(self, job: Job, groups: dict[str, tuple[str, ...]], on_done: OnDone) -> None:
        """See `Runner.write`.

        Raises:
            RunFailed: Groups are missing after several attempts.
        """

        def missing() -> Missing:
            return {WRITE: {group for group in groups if not done_mark(job, group).exists()}}

        def start(to_do: Missing) -> ray.data.Dataset:
            dataset = _dataset(sorted(to_do[WRITE]))
            return _through(dataset, GroupWriter, {"job": job, "groups": groups}, job.config.write.resources, 1.0)

        _until_done(start, missing, on_done)


def _until_done(start: Callable[[Missing], ray.data.Dataset], missing: Callable[[], Missing], on_done: OnDone) -> None:
    """Run a dataset over what is missing; when it raises but brought something, run another over the rest."""
    import ray.exceptions

    to_do = missing()
    attempts = 0
    while any(to_do.values()):
        failure = "a worker ended without a word"
        with _progress(missing, to_do, on_done):
            try:
                for _ in start(to_do).iter_batches(batch_size=1):
                    pass
            except (ray.exceptions.RayError, RuntimeError, ValueError) as reason:
                failure = _innermost(reason)
        before, to_do = to_do, missing()
        attempts = 0 if sum(map(len, to_do.values())) < sum(map(len, before.values())) else attempts + 1
        if any(to_do.values()) and attempts >= ATTEMPTS:
            waiting = ", ".join(f"{name}: {len(units)} parts" for name, units in to_do.items() if units)
            raise RunFailed(f"{waiting} are missing after {ATTEMPTS} attempts that brought nothing. Last: {failure}")


@contextlib.contextmanager
def _progress(missing: Callable[[], Missing], to_do: Missing, on_done: OnDone) -> Iterator[None]:
    """Tell what becomes done, by listing the store: that is true whatever happens to workers."""
    over = threading.Event()
    reported: Missing = {name: set() for name in to_do}

    def look() -> None:
        now = missing()
        for name, units in to_do.items():
            for unit in sorted(units - now[name] - reported[name]):
                reported[name].add(unit)
                on_done(name, unit)

    def watch() -> None:
        while not over.wait(POLL_SECONDS):
            look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        look()


def _dataset(units: Sequence[str]) -> ray.data.Dataset:
    import ray.data

    return ray.data.from_items([{"part": unit} for unit in units], override_num_blocks=max(1, len(units)))


def _through(
    dataset: ray.data.Dataset, worker: type, arguments: dict[str, Any], resources: Resources, share: float
) -> ray.data.Dataset:
    from ray.data import ActorPoolStrategy

    return dataset.map_batches(
        worker,
        fn_constructor_kwargs=arguments,
        batch_size=1,
        num_cpus=resources.cpus * share,
        num_gpus=resources.gpus or None,
        compute=ActorPoolStrategy(
            min_size=resources.min_workers, max_size=resources.max_workers or _fitting(resources, share)
        ),
    )


def _share(wanted: Sequence[Resources]) -> float:
    """By how much CPU requests shrink so that one pool per stage fits the cluster: Ray would wait for ever."""
    import ray

    demand = sum(resources.cpus * resources.min_workers for resources in wanted)
    return min(1.0, ray.cluster_resources().get("CPU", 1.0) / demand) if demand else 1.0


def _fitting(resources: Resources, share: float) -> int:
    """How many workers of a stage the cluster could hold, were they alone on it."""
    import ray

    cluster = ray.cluster_resources()
    by_cpu = cluster.get("CPU", 1.0) / (resources.cpus * share) if share == 1.0 else resources.min_workers
    by_gpu = cluster.get("GPU", 0.0) / resources.gpus if resources.gpus else by_cpu
    return max(resources.min_workers, int(min(by_cpu, by_gpu)))


def _innermost(reason: BaseException) -> str:
    cause = reason
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return f"{type(cause).__name__}: {str(cause).strip().splitlines()[-1] if str(cause).strip() else ''}"
