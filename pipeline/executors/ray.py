"""The Ray runner: Ray Data streams part ids through one pool of workers per stage; the data stays in files.

A row is a part id and the `problem` that kept a stage from doing it, empty when none did.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.execute import Job, run_part
from pipeline.executors.executor import OnDone
from pipeline.executors.metrics import StageMetrics
from pipeline.executors.pools import Pool, pools
from pipeline.groups import done_mark, write_group
from pipeline.profile import Clock
from pipeline.waves import media_seconds
from stages.base import Stage, StageSetupError
from stages.registry import STAGE_NAMES, WRITE
from storyloom.errors import RunFailed
from storyloom.format.sample import FormatError

ATTEMPTS = 3
"""Datasets started over what is missing, as long as each brings something (our choice)."""

Missing = dict[str, set[str]]
"""Ids of the parts or groups that are not done, by stage."""

CANNOT_START = "cannot start: "
"""Begins the problem that no further attempt would mend."""

SETUP_ATTEMPTS = 3
"""Workers of a stage that may die in their start one after the other before a Dataset ends."""

ROUNDING = 1e-6
"""CPUs by which a sum may be off."""

POLL_SECONDS = 1.0
"""Between two listings of the store for progress, at least."""

POLL_SHARE = 0.05
"""Share of the driver's time that listings take at most: large folders are listed less often."""

SHRUNK_SECONDS = 20.0
"""For which a cluster may be too small for its workers, since a lost node may come back (our choice)."""

CANCEL_SECONDS = 60.0
"""Within which a Dataset that is ended has let go of its workers (our choice)."""


class StageWorker:
    """A stage in a Ray actor: set up once, then called with one part id after the other.

    What goes wrong travels in the row. Ray would answer an exception by starting workers for ever, and print each one.
    """

    def __init__(self, job: Job, name: str) -> None:
        self._job = job
        self._name = name
        self._stage: Stage[Any, Any] | None = None
        self._broken = ""
        self._metrics = StageMetrics(name)
        self._clock = Clock()
        try:
            with self._clock.setting_up():
                self._stage = job.ready_stage(name)
        except StageSetupError as reason:
            self._broken = f"{CANNOT_START}{reason}"

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        (part,), (problem,) = batch["part"], batch["problem"]
        return {"part": [part], "problem": [problem or self._broken or self._attempt(str(part))]}

    def _attempt(self, part: str) -> str:
        assert self._stage is not None
        try:
            with self._metrics.timed():
                done = run_part(self._job, self._stage, part, self._clock)
            self._metrics.count(done, media_seconds(self._job, part))
        except Exception as reason:  # noqa: BLE001 - whatever it is, the driver tells it and tries again
            return f"{self._name}, part {part}: {type(reason).__name__}: {reason}"
        return ""


class GroupWriter:
    """`write` in a Ray actor."""

    def __init__(self, job: Job, groups: dict[str, tuple[str, ...]]) -> None:
        self._job = job
        self._groups = groups
        self._clock = Clock()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        (group,) = batch["part"]
        problem = ""
        try:
            write_group(self._job, str(group), self._groups[str(group)], self._clock)
        except FormatError as reason:
            problem = f"{CANNOT_START}{reason}"
        except Exception as reason:  # noqa: BLE001 - as above
            problem = f"write, group {group}: {type(reason).__name__}: {reason}"
        return {"part": [group], "problem": [problem]}


@dataclass(frozen=True)
class Step:
    """A pool of workers: their class, and what it is made with."""

    worker: type
    arguments: dict[str, Any]
    pool: Pool


@dataclass(frozen=True)
class Flow:
    """One Dataset: units that go through one pool of workers after the other.

    Attributes:
        units: Ids of parts or groups.
        steps: What they go through, in order.
        cpus: Logical CPUs that the run's pools take at the least, those of other Datasets included.
    """

    units: list[str]
    steps: list[Step]
    cpus: float

    def run(self) -> str:
        """Bring every unit through; returns the last problem that a worker told, empty without one."""
        import ray.data

        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.actor_init_retry_on_errors = True
        context.max_consecutive_actor_init_deaths = SETUP_ATTEMPTS
        context.execution_no_progress_timeout_s = -1  # `_watched` knows better: it sees finished parts
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        rows = [{"part": unit, "problem": ""} for unit in self.units]
        dataset: ray.data.Dataset = ray.data.from_items(rows, override_num_blocks=max(1, len(rows)))
        for step in self.steps:
            dataset = dataset.map_batches(
                step.worker,
                fn_constructor_kwargs=step.arguments,
                batch_size=1,
                num_cpus=step.pool.cpus,
                num_gpus=step.pool.gpus or None,
                memory=step.pool.memory or None,
                compute=step.pool.strategy(),
            )
        problem = ""
        for row in dataset.iter_rows():
            problem = row["problem"] or problem
            if problem.startswith(CANNOT_START):
                break
        return problem


class RayRunner:
    """Runs on the cluster of the session, one pool of workers per stage.

    Args:
        stages: All stages of the run; their pools have to fit the cluster together.
    """

    overlaps = True

    def __init__(self, stages: Sequence[str] = STAGE_NAMES) -> None:
        self._stages = tuple(stages)

    def rows(self, job: Job, stages: Sequence[str], parts: Sequence[str], on_done: OnDone) -> None:
        """See `Runner.rows`.

        Raises:
            RunFailed: Parts are missing after several attempts; what is done is kept.
        """

        def missing() -> Missing:
            return {name: set(parts) - job.store.done(name, job.digests[name]) for name in stages}

        def flow(to_do: Missing) -> Flow:
            waiting, sizes = set().union(*to_do.values()), self._pools(job)
            active = [name for name in stages if to_do[name]]
            steps = [Step(StageWorker, {"job": job, "name": name}, sizes[name]) for name in active]
            return Flow([part for part in parts if part in waiting], steps, _least_cpus(sizes))

        _until_done(flow, missing, on_done, job.config.runner.stall_seconds)

    def write(self, job: Job, groups: dict[str, tuple[str, ...]], on_done: OnDone) -> None:
        """See `Runner.write`.

        Raises:
            RunFailed: Groups are missing after several attempts.
        """

        def missing() -> Missing:
            return {WRITE: {group for group in groups if not done_mark(job, group).exists()}}

        def flow(to_do: Missing) -> Flow:
            sizes = self._pools(job)
            step = Step(GroupWriter, {"job": job, "groups": groups}, sizes[WRITE])
            return Flow(sorted(to_do[WRITE]), [step], _least_cpus(sizes))

        _until_done(flow, missing, on_done, job.config.runner.stall_seconds)

    def _pools(self, job: Job) -> dict[str, Pool]:
        """Sized anew for each Dataset, since nodes come and go."""
        import ray

        return pools(job.config, self._stages, ray.cluster_resources())


def _least_cpus(sizes: dict[str, Pool]) -> float:
    return sum(pool.cpus * pool.min_workers for pool in sizes.values())


def _until_done(
    flow: Callable[[Missing], Flow], missing: Callable[[], Missing], on_done: OnDone, stall_seconds: float
) -> None:
    """Run a flow over what is missing; when it fails, is ended or leaves something, run another over the rest."""
    import ray.exceptions

    to_do = missing()
    attempts = 0
    while any(to_do.values()):
        progress = Progress(missing, to_do, on_done)
        try:
            problem = _watched(flow(to_do), progress, stall_seconds)
        except (ray.exceptions.RayError, RuntimeError, ValueError) as reason:
            problem = _innermost(reason)
        progress.look()
        if problem.startswith(CANNOT_START):
            raise RunFailed(problem.removeprefix(CANNOT_START))
        before, to_do = to_do, missing()
        attempts = 0 if sum(map(len, to_do.values())) < sum(map(len, before.values())) else attempts + 1
        if any(to_do.values()) and attempts >= ATTEMPTS:
            waiting = ", ".join(f"{name}: {len(units)} parts" for name, units in to_do.items() if units)
            raise RunFailed(f"{waiting} are missing after {ATTEMPTS} attempts that brought nothing. Last: {problem}")


@dataclass
class Progress:
    """What has become done, by listing the store: that is true whatever happens to workers."""

    missing: Callable[[], Missing]
    to_do: Missing
    on_done: OnDone
    reported: set[tuple[str, str]] = field(default_factory=set)

    def look(self) -> bool:
        """Report what is newly done; whether there was something."""
        now = self.missing()
        done = {(name, unit) for name, units in self.to_do.items() for unit in units - now[name]} - self.reported
        self.reported |= done
        for name, unit in sorted(done):
            self.on_done(name, unit)
        return bool(done)


def _watched(flow: Flow, progress: Progress, stall_seconds: float) -> str:
    """Run a flow as a task of the cluster, and end it when it cannot go on; the last problem that was told.

    The task owns the workers: Ray kills them with it, even one that hangs. And Ray Data has no client mode.
    """
    import ray

    task = ray.remote(num_cpus=0, max_retries=0)(Flow.run).remote(flow)
    moved = fitted = time.monotonic()
    pause = POLL_SECONDS
    while not ray.wait([task], timeout=pause)[0]:
        began = time.monotonic()
        moved = began if progress.look() else moved
        fitted = began if ray.cluster_resources().get("CPU", 0.0) > flow.cpus - ROUNDING else fitted
        problem = ""
        if began - moved > stall_seconds:
            problem = f"no part was finished for {stall_seconds:g} s (runner.stall_seconds)"
        elif began - fitted > SHRUNK_SECONDS:
            problem = f"the cluster has become too small for workers that take {flow.cpus:g} CPUs"
        if problem:
            ray.cancel(task, force=True)
            ray.wait([task], timeout=CANCEL_SECONDS)
            return problem
        pause = max(POLL_SECONDS, (time.monotonic() - began) / POLL_SHARE)
    return str(ray.get(task)) or "workers ended without a word"


def _innermost(reason: BaseException) -> str:
    cause = reason
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return f"{type(cause).__name__}: {str(cause).strip().splitlines()[-1] if str(cause).strip() else ''}"
