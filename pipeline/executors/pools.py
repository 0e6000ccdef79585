"""The number of workers of each stage and their resources, for a given cluster."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.config import RunConfig
from storyloom.errors import UsageError

if TYPE_CHECKING:
    from ray.data import ActorPoolStrategy


@dataclass(frozen=True)
class Pool:
    """The workers of one stage; see `schemas.config.Resources`."""

    cpus: float
    gpus: float
    memory: int
    min_workers: int
    max_workers: int
    parts_at_once: int
    tasks_in_flight: int

    def strategy(self) -> ActorPoolStrategy:
        """The pool as Ray Data's strategy."""
        from ray.data import ActorPoolStrategy

        return ActorPoolStrategy(
            min_size=self.min_workers,
            max_size=self.max_workers,
            max_tasks_in_flight_per_actor=self.tasks_in_flight,
            max_concurrent_calls_per_actor=self.parts_at_once,
            enable_true_multi_threading=self.parts_at_once > 1,
        )


def pools(config: RunConfig, stages: Sequence[str], cluster: Mapping[str, float]) -> dict[str, Pool]:
    """One pool per stage, so that one worker of each fits beside those of all others.

    CPUs are logical: where there are too few, every stage requests fewer, since Ray would wait for ever. Memory and
    GPUs are physical and are not scaled.

    Args:
        config: The run's config.
        stages: Those that run at the same time.
        cluster: The cluster's resources by Ray: ``CPU``, ``GPU``, ``memory`` in bytes.

    Raises:
        UsageError: The cluster has too little memory or too few GPUs for one worker of each stage. A stage with
            `max_workers` is not checked: its cluster may grow.
    """
    asked = {name: config.stage(name).resources for name in stages}
    sharing = sum(_shares_a_gpu(config, name) for name in stages)
    gpus = {name: _gpus(config, name, cluster, sharing) for name in stages}
    fixed = [name for name in stages if not asked[name].max_workers]
    _check_fits("GPU", {name: gpus[name] * asked[name].min_workers for name in fixed}, cluster)
    _check_fits("memory", {name: asked[name].memory * asked[name].min_workers for name in fixed}, cluster)
    cpus = cluster.get("CPU", 1.0)
    demand = sum(one.cpus * one.min_workers for one in asked.values())
    share = min(1.0, cpus / demand) if demand else 1.0
    found = {}
    for name, one in asked.items():
        fitting = [cpus / one.cpus if share == 1.0 else one.min_workers]
        fitting += [cluster.get("GPU", 0.0) / gpus[name]] if gpus[name] else []
        fitting += [cluster.get("memory", 0.0) / one.memory] if one.memory else []
        at_once = one.parts_at_once if one.parts_at_once != "auto" else 2 if gpus[name] else 1
        found[name] = Pool(
            # Ray counts CPUs in ten-thousandths: a share rounded up would not fit.
            cpus=one.cpus if share == 1.0 else math.floor(10_000 * one.cpus * share) / 10_000,
            gpus=gpus[name],
            memory=one.memory,
            min_workers=one.min_workers,
            max_workers=one.max_workers or max(one.min_workers, int(min(fitting))),
            parts_at_once=at_once,
            tasks_in_flight=max(at_once, one.tasks_in_flight or 2 * at_once),
        )
    return found


def _shares_a_gpu(config: RunConfig, name: str) -> bool:
    section = config.stage(name)
    return section.uses_gpu and section.resources.gpus == "auto"


def _gpus(config: RunConfig, name: str, cluster: Mapping[str, float], sharing: int) -> float:
    """GPUs of a worker: as configured, or an equal share, so that a worker of each stage with a model fits on one."""
    asked = config.stage(name).resources.gpus
    if asked != "auto":
        return asked
    return 1 / sharing if _shares_a_gpu(config, name) and cluster.get("GPU", 0.0) >= 1.0 else 0.0


def _check_fits(what: str, wanted: Mapping[str, float], cluster: Mapping[str, float]) -> None:
    total, there = sum(wanted.values()), cluster.get(what, 0.0)
    if total > there:
        key = {"GPU": "gpus", "memory": "memory"}[what]
        each = ", ".join(f"{name}.resources.{key} {amount:g}" for name, amount in wanted.items() if amount)
        raise UsageError(
            f"the cluster has {there:g} {what} but one worker of each stage takes {total:g} ({each});"
            " ask for less, or set resources.max_workers where the cluster grows by itself"
        )
