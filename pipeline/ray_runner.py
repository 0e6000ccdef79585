"""The Ray runner: Ray Data streams part ids through one pool of workers per stage; the data stays in files.

A row is a part id and the `problem` that kept a stage from doing it, empty when none did.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.errors import RunFailed
from pipeline.execute import Job, run_part
from pipeline.groups import done_mark, write_group
from pipeline.registry import WRITE
from pipeline.runner import OnDone
from schemas.config import Resources
from schemas.sample import FormatError
from stages.base import Stage, StageSetupError

if TYPE_CHECKING:
    import ray.data

ATTEMPTS = 3
"""Datasets started over what is missing, as long as each brings something (our choice)."""

Missing = dict[str, set[str]]
"""Ids of the parts or groups that are not done, by stage."""

SETUP_ATTEMPTS = 3
"""Workers of a stage that may fail in `setup` one after the other before the dataset ends."""

CANNOT_START = "cannot start: "
"""Begins the problem that no further attempt would mend."""

POLL_SECONDS = 1.0
"""How often the store is listed for progress."""


class StageWorker:
    """A stage in a Ray actor: set up once, then called with one part id after the other.

    What goes wrong travels in the row. Ray would answer an exception by starting workers for ever, and print each one.
    """

    def __init__(self, job: Job, name: str) -> None:
        self._job = job
        self._name = name
        self._stage: Stage[Any, Any] | None = None
        self._broken = ""
        try:
            self._stage = job.ready_stage(name)
        except StageSetupError as reason:
            self._broken = f"{CANNOT_START}{reason}"

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        (part,), (problem,) = batch["part"], batch["problem"]
        return {"part": [part], "problem": [problem or self._broken or self._attempt(str(part))]}

    def _attempt(self, part: str) -> str:
        assert self._stage is not None
        try:
            run_part(self._job, self._stage, part)
        except Exception as reason:  # noqa: BLE001 - whatever it is, the driver tells it and tries again
            return f"{self._name}, part {part}: {type(reason).__name__}: {reason}"
        return ""


class GroupWriter:
    """`write` in a Ray actor."""

    def __init__(self, job: Job, groups: dict[str, tuple[str, ...]]) -> None:
        self._job = job
        self._groups = groups

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        (group,) = batch["part"]
        problem = ""
        try:
            write_group(self._job, str(group), self._groups[str(group)])
        except FormatError as reason:
            problem = f"{CANNOT_START}{reason}"
        except Exception as reason:  # noqa: BLE001 - as above
            problem = f"write, group {group}: {type(reason).__name__}: {reason}"
        return {"part": [group], "problem": [problem]}


@contextlib.contextmanager
def ray_session(address: str) -> Iterator[None]:
    """Join or start a Ray cluster; its log goes to its own files.

    Raises:
        RunFailed: No cluster answers at the address.
    """
    # Under `uv run`, Ray would start each worker with `uv run` in a copy of this folder, where no environment is.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    # Ray's core logs to the terminal past Python; the setting itself is announced there too.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    with _stderr_held_back():
        import ray
        import ray.data

        try:
            ray.init(
                address=address or None,
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                ignore_reinit_error=True,
            )
        except (ConnectionError, RuntimeError, ValueError) as reason:
            raise RunFailed(f"no Ray cluster at {address!r}: {reason}") from reason
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.actor_init_retry_on_errors = True
    context.max_consecutive_actor_init_deaths = SETUP_ATTEMPTS
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _stderr_held_back() -> Iterator[None]:
    """Keep what a block writes to standard error, from any language, off the terminal."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(terminal, 2)
        os.close(terminal)


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
        failure = "workers ended without a word"
        with _progress(missing, to_do, on_done):
            try:
                for row in start(to_do).iter_rows():
                    failure = row["problem"] or failure
                    if failure.startswith(CANNOT_START):
                        raise RunFailed(failure.removeprefix(CANNOT_START))
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

    rows = [{"part": unit, "problem": ""} for unit in units]
    return ray.data.from_items(rows, override_num_blocks=max(1, len(units)))


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
