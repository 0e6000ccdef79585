"""The Ray executor: Ray Data streams unit ids through one pool of workers per stage; the data stays in files.

A row is a unit's id and the `problem` that made a stage fail on it, empty without one.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.execute import Job
from pipeline.executors.executor import ATTEMPTS, OnDone, UnitsMissing
from pipeline.executors.metrics import StageMetrics
from pipeline.executors.pools import Pool, pools
from pipeline.notice import given, on_sigterm
from pipeline.worker import Problem, Severity, Worker
from pipeline.workspace import Work, Workspace
from stages.turns import Turns
from storyloom.errors import RunFailed
from storyloom.view.counts import count_of

Missing = dict[str, set[str]]
"""Ids of the units that are not done, by stage."""

SETUP_ATTEMPTS = 3
"""Consecutive workers of a stage that may die during start-up before a Dataset fails."""

ROUNDING = 1e-6
"""CPUs by which a sum may be off."""

POLL_SECONDS = 1.0
"""Least seconds between two listings of the store for progress."""

POLL_SHARE = 0.05
"""Largest share of the driver's time for listings: large folders are listed less often."""

SHRUNK_SECONDS = 20.0
"""Seconds for which a cluster may be too small for its workers, since a lost node may come back (our choice)."""

CANCEL_SECONDS = 60.0
"""Seconds within which a cancelled Dataset must release its workers (our choice)."""

BALLAST = bytes(128 * 1024)
"""What makes Ray keep a row on the node where it was made (over 100 KB, its `max_direct_call_object_size`), and prefer
a free worker there for the next stage: that node's cache has the part's media."""

WEIGHT: dict[Severity, int] = {"final": 4, "machine": 3, "narrowed": 2, "upstream": 1, "again": 0}
"""Precedence of a round's problems: the most informative one is reported."""


class StageWorker:
    """A `Worker` in a Ray actor, called with one unit's id at a time.

    Problems are returned in the row: on an exception, Ray would restart workers for ever and print each traceback.

    Args:
        job: The run.
        name: The stage's name.
        units: Ids of the units to do; others pass through.
    """

    def __init__(self, job: Job, name: str, units: frozenset[str]) -> None:
        self._worker = Worker(job, name)
        self._units = units
        self._metrics = StageMetrics(name)
        on_sigterm(self._leave)
        self._heavy = {"ballast": [BALLAST]} if job.store.files.cached else {}
        self._broken = self._worker.set_up()
        self._poisoned = False

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        (unit,), (problem,), (severity,) = batch["unit"], batch["problem"], batch["severity"]
        if not problem and str(unit) in self._units:
            if self._poisoned or given.is_set():
                os._exit(1)  # a device failed here, or here is no time left: Ray starts another process for this unit
            found = self._broken or self._attempt(str(unit))
            if found is not None:
                problem, severity = found.text, found.severity
                self._poisoned = found.poisoned
        return {"unit": [unit], "problem": [problem], "severity": [severity], **self._heavy}

    def _attempt(self, unit: str) -> Problem | None:
        with self._metrics.timed():
            outcome = self._worker.do(unit)
        if isinstance(outcome, Problem):
            return outcome
        self._metrics.count(outcome, self._worker.job.media_seconds(unit))
        return None

    def _leave(self) -> None:
        """End the process once no unit is in hand, at the latest when the grace is over."""
        until = time.monotonic() + self._worker.job.config.runner.grace_seconds
        threading.Thread(target=self._worker.withdraw, daemon=True).start()  # a store may take its time
        while self._worker.busy and time.monotonic() < until:
            time.sleep(0.1)
        os._exit(1)


@dataclass(frozen=True)
class Step:
    """A pool of workers, and the arguments of each."""

    arguments: dict[str, Any]
    pool: Pool


@dataclass(frozen=True)
class Flow:
    """One Dataset: units that go through one pool of workers after the other.

    Attributes:
        units: Ids of parts or groups.
        steps: What they go through, in order.
        cpus: Least logical CPUs of all the run's pools, those of other Datasets included.
    """

    units: list[str]
    steps: list[Step]
    cpus: float

    def run(self) -> Problem | None:
        """Bring every unit through the steps; returns the most informative problem, None without one."""
        import ray.data

        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.actor_init_retry_on_errors = True
        context.max_consecutive_actor_init_deaths = SETUP_ATTEMPTS
        context.execution_no_progress_timeout_s = -1  # `_watched` replaces it: it sees finished units
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        rows = [{"unit": unit, "problem": "", "severity": ""} for unit in self.units]
        dataset: ray.data.Dataset = ray.data.from_items(rows, override_num_blocks=max(1, len(rows)))
        for step in self.steps:
            dataset = dataset.map_batches(
                StageWorker,
                fn_constructor_kwargs=step.arguments,
                batch_size=1,
                num_cpus=step.pool.cpus,
                num_gpus=step.pool.gpus or None,
                memory=step.pool.memory or None,
                compute=step.pool.strategy(),
            )
        worst: Problem | None = None
        for row in dataset.iter_rows():
            if row["problem"] and (worst is None or WEIGHT[row["severity"]] >= WEIGHT[worst.severity]):
                worst = Problem(row["problem"], row["severity"])
            if worst is not None and worst.severity == "final":
                break
        return worst


class RayExecutor:
    """Runs on the cluster of the session, one pool of workers per stage.

    Args:
        stages: All stages of the run; their pools have to fit the cluster together.
        turns: The budgets of hosts for all workers; None for each machine's own.
    """

    overlaps = True

    def __init__(self, stages: Sequence[str], turns: Turns | None = None) -> None:
        self._stages = tuple(stages)
        self._turns = turns

    def run(self, workspace: Workspace, work: Work, on_done: OnDone) -> None:
        """See `Executor.run`."""
        job = replace(workspace.job, turns=self._turns or workspace.job.turns)

        def missing() -> Missing:
            return workspace.missing(work)

        def flow(to_do: Missing) -> Flow:
            waiting, sizes = set().union(*to_do.values()), self._pools(job)
            steps = [
                Step({"job": job, "name": name, "units": frozenset(units)}, sizes[name])
                for name, units in to_do.items()
                if units
            ]
            units = [unit for unit in dict.fromkeys(unit for some in work.values() for unit in some) if unit in waiting]
            return Flow(units, steps, _least_cpus(sizes))

        _until_done(flow, missing, on_done, workspace.config.runner.stall_seconds)

    def _pools(self, job: Job) -> dict[str, Pool]:
        """The pools, sized for each Dataset, since nodes join and leave."""
        import ray

        return pools(job.config, self._stages, ray.cluster_resources())


def _least_cpus(sizes: dict[str, Pool]) -> float:
    return sum(pool.cpus * pool.min_workers for pool in sizes.values())


def _until_done(
    flow: Callable[[Missing], Flow], missing: Callable[[], Missing], on_done: OnDone, stall_seconds: float
) -> None:
    """Run a flow over the missing units; when it fails, is cancelled or leaves units, run another over the rest."""
    import ray.exceptions

    to_do = missing()
    barren = 0
    while any(to_do.values()):
        progress = DoneUnits(missing, to_do, on_done)
        try:
            problem = _watched(flow(to_do), progress, stall_seconds)
        except (ray.exceptions.RayError, RuntimeError, ValueError) as reason:
            problem = Problem(_innermost(reason), "again")
        progress.poll()
        if problem.severity == "final":
            raise RunFailed(problem.text)
        before, to_do = to_do, missing()
        went_on = sum(map(len, to_do.values())) < sum(map(len, before.values())) or problem.severity == "narrowed"
        barren = 0 if went_on else barren + 1
        if any(to_do.values()) and barren >= ATTEMPTS:
            waiting = ", ".join(f"{name}: {count_of(len(units), 'parts')}" for name, units in to_do.items() if units)
            message = f"{waiting} are missing after {ATTEMPTS} attempts that brought nothing. Last: {problem.text}"
            raise UnitsMissing(message, upstream=problem.severity == "upstream")


@dataclass
class DoneUnits:
    """Finds newly finished units by listing the store, which is correct even when workers die."""

    missing: Callable[[], Missing]
    to_do: Missing
    on_done: OnDone
    reported: set[tuple[str, str]] = field(default_factory=set)

    def poll(self) -> bool:
        """Report newly finished units; returns whether there were any."""
        now = self.missing()
        done = {(name, unit) for name, units in self.to_do.items() for unit in units - now[name]} - self.reported
        self.reported |= done
        for name, unit in sorted(done):
            self.on_done(name, unit)
        return bool(done)


def _watched(flow: Flow, progress: DoneUnits, stall_seconds: float) -> Problem:
    """Run a flow as a task of the cluster, and cancel it when it stalls; returns the most informative problem.

    The task owns the workers: Ray kills them with it, even one that hangs. Also, Ray Data has no client mode.
    """
    import ray

    task = ray.remote(num_cpus=0, max_retries=0)(Flow.run).remote(flow)
    moved = fitted = time.monotonic()
    pause = POLL_SECONDS
    while not ray.wait([task], timeout=pause)[0]:
        began = time.monotonic()
        moved = began if progress.poll() else moved
        fitted = began if ray.cluster_resources().get("CPU", 0.0) > flow.cpus - ROUNDING else fitted
        problem = ""
        if began - moved > stall_seconds:
            problem = f"no part was finished for {stall_seconds:g} s (runner.stall_seconds)"
        elif began - fitted > SHRUNK_SECONDS:
            problem = f"the cluster has become too small for workers that take {flow.cpus:g} CPUs"
        if problem:
            ray.cancel(task, force=True)
            ray.wait([task], timeout=CANCEL_SECONDS)
            return Problem(problem, "again")
        pause = max(POLL_SECONDS, (time.monotonic() - began) / POLL_SHARE)
    return ray.get(task) or Problem("workers ended without a word", "again")


def _innermost(reason: BaseException) -> str:
    cause = reason
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return f"{type(cause).__name__}: {str(cause).strip().splitlines()[-1] if str(cause).strip() else ''}"
