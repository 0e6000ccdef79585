"""What a whole list takes, by what was measured of its finished parts: time, bytes, objects and cost of each stage."""

from __future__ import annotations

import math
import os
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel

from pipeline.executors.pools import Pool, pools
from pipeline.profile import UnitProfile, unit_profiles
from pipeline.progress.estimate import estimate
from pipeline.run import executor_kind
from pipeline.store import MEDIA, Address
from pipeline.workspace import Workspace
from stages.base import GroupStage

MOST = 10_000
"""Finished units of a stage that are looked at: the mean of more is hardly another (our choice)."""

ERRORS = 2.0
"""Standard errors of a mean within which, on either side of it, the true one most often lies."""

GB, HOUR = 1e9, 3600.0


class Machines(BaseModel):
    """The machines that are to do it.

    Attributes:
        number: How many there are.
        cpus: Logical CPUs of each.
        gpus: GPUs of each.
    """

    number: int = 1
    cpus: float
    gpus: float = 0.0


class StageForecast(BaseModel):
    """What a stage takes for the whole list.

    Attributes:
        stage: Its name.
        parts: Parts that it does, by themselves or in groups.
        cpus: Logical CPUs that a worker asks for.
        gpus: GPUs that it asks for.
        workers: Most workers on the machines.
        measured: Parts whose time was measured.
        seconds: Of a worker for a part, the mean; None where nothing was measured.
        least: Fewest for a part, or for each part of a group.
        most: Most.
        error: Share of `seconds` by which the mean may be wrong on either side; None under two measured units.
        worker_hours: For all parts.
        seen: Parts whose files were looked at.
        bytes: Of all its files in the work folder; None where there are none yet.
        objects: Number of these files.
        compute: Its share of the machines' price; None where that or its time is not known.
        requests: Price of writing the objects.
        storage: Price of the files for a month.
    """

    stage: str
    parts: int
    cpus: float
    gpus: float
    workers: int
    measured: int
    seconds: float | None = None
    least: float | None = None
    most: float | None = None
    error: float | None = None
    worker_hours: float | None = None
    seen: int
    bytes: int | None = None
    objects: int | None = None
    compute: float | None = None
    requests: float | None = None
    storage: float | None = None


class Forecast(BaseModel):
    """What the whole list takes, if all of it is like the finished parts.

    Attributes:
        videos: Number of videos.
        parts: Number of parts.
        groups: Number of groups.
        media_hours: None where nothing is known of the media.
        stages: In the pipeline's order.
        machines: The machines that it was asked for.
        one_by_one: Whether one process does one unit after the other.
        cpu_hours: Of logical CPUs, over the measured stages.
        gpu_hours: Of GPUs.
        hours: That the machines take; None where nothing was measured.
        unmeasured: Stages whose time is not in these.
        media_bytes: Of the media in the work folder; None where there are none.
        work_bytes: Of the files of all stages.
        output_bytes: Of the shards in `output`; None before a group is written.
        objects: Number of the stages' files.
        compute: Price of the machines for the hours; None without `runner.price_per_hour`.
        requests: Price of writing the objects; None without its price, as below.
        egress: Price of reading the media out of their store once.
        storage: Price of media, work and output for a month.
    """

    videos: int
    parts: int
    groups: int
    media_hours: float | None
    stages: list[StageForecast]
    machines: Machines
    one_by_one: bool
    cpu_hours: float
    gpu_hours: float
    hours: float | None
    unmeasured: list[str]
    media_bytes: int | None
    work_bytes: int
    output_bytes: int | None
    objects: int
    compute: float | None
    requests: float | None
    egress: float | None
    storage: float | None


def machines_for(workspace: Workspace, number: int, cpus: float | None, gpus: float | None) -> Machines:
    """Machines as they were asked for; else with the CPUs of this one, and GPUs for one worker of each stage."""
    config = workspace.config
    asked = [config.stage(name).resources for name in workspace.graph.names]
    needed = sum(one.gpus * one.min_workers for one in asked if one.gpus != "auto")
    return Machines(
        number=number,
        cpus=float(os.cpu_count() or 1) if cpus is None else cpus,
        gpus=float(math.ceil(needed / number)) if gpus is None else gpus,
    )


def forecast(workspace: Workspace, machines: Machines) -> Forecast:
    """What the whole list takes on some machines.

    Raises:
        UsageError: They have too few GPUs for one worker of each stage.
    """
    config, graph = workspace.config, workspace.graph
    one_by_one = machines.number == 1 and executor_kind(config, workspace.plan, 1) == "inline"
    there = {"CPU": machines.cpus * machines.number, "GPU": machines.gpus * machines.number, "memory": math.inf}
    workers = pools(config, graph.names, there)
    stages = [_stage(workspace, name, workers[name], one_by_one=one_by_one) for name in graph.names]
    hours = _hours(stages, there["CPU"], there["GPU"], one_by_one=one_by_one)
    compute = config.runner.price_per_hour * hours if config.runner.price_per_hour and hours is not None else None
    found, media = estimate(workspace), _media(workspace)
    work = sum(one.bytes or 0 for one in stages)
    output = sum(one.bytes or 0 for one in stages if issubclass(graph.stages[one.stage], GroupStage))
    objects = sum(one.objects or 0 for one in stages)
    prices = config.prices
    return Forecast(
        videos=workspace.plan.members.count,
        parts=len(workspace.plan.parts),
        groups=len(workspace.job.groups),
        media_hours=found.hours if found else None,
        stages=_with_compute(stages, machines, compute),
        machines=machines,
        one_by_one=one_by_one,
        cpu_hours=sum(one.cpus * (one.worker_hours or 0.0) for one in stages),
        gpu_hours=sum(one.gpus * (one.worker_hours or 0.0) for one in stages),
        hours=hours,
        unmeasured=[one.stage for one in stages if one.worker_hours is None],
        media_bytes=media,
        work_bytes=work,
        output_bytes=output or None,
        objects=objects,
        compute=compute,
        requests=_price(prices.requests, objects, 1000),
        egress=_price(prices.egress, media, GB),
        storage=_price(prices.storage, (media or 0) + work + output, GB),
    )


def _stage(workspace: Workspace, name: str, pool: Pool, *, one_by_one: bool) -> StageForecast:
    """What a stage takes, without its share of the machines' price."""
    store, key, prices = workspace.job.store, workspace.job.keys[name].key, workspace.config.prices
    grouped = issubclass(workspace.graph.stages[name], GroupStage)
    parts = len(workspace.plan.parts if grouped else workspace.units(name))
    profiles = list(unit_profiles(store, name, key, MOST))
    time = _time(profiles)
    seen, sizes = _files(workspace, name)
    scale = parts / seen if seen else 0.0
    size, objects = (round(sum(sizes) * scale), round(len(sizes) * scale)) if seen else (None, None)
    return StageForecast(
        stage=name,
        parts=parts,
        cpus=workspace.config.stage(name).resources.cpus,
        gpus=pool.gpus,
        workers=1 if one_by_one else pool.max_workers,
        measured=sum(one.parts for one in profiles),
        **time,
        worker_hours=time["seconds"] * parts / HOUR if time else None,
        seen=seen,
        bytes=size,
        objects=objects,
        requests=_price(prices.requests, objects, 1000),
        storage=_price(prices.storage, size, GB),
    )


def _time(units: Sequence[UnitProfile]) -> dict[str, Any]:
    """A worker's seconds for a part, as fields of a `StageForecast`; a group weighs as much as its parts."""
    if not units:
        return {}
    mean = sum(one.share for one in units) / sum(one.parts for one in units)
    each = [one.share / one.parts for one in units]
    known = len(each) > 1 and mean > 0
    error = ERRORS * statistics.stdev(each) / math.sqrt(len(each)) / mean if known else None
    return {"seconds": mean, "least": min(each), "most": max(each), "error": error}


def _files(workspace: Workspace, name: str) -> tuple[int, list[int]]:
    """The parts in a stage's finished units, whichever plan they were of, and the sizes of these units' files."""
    store, key = workspace.job.store, workspace.job.keys[name].key
    folder = store.folder(name, key)
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for entry in store.files.tree(folder):
        unit, unit_key, *rest = entry.name.removeprefix(f"{folder}/").split(".", maxsplit=2)
        if rest and ((unit, unit_key) in found or len(found) < MOST):  # not the description
            found[unit, unit_key].append(entry.size)
    parts, sizes = 0, list[int]()
    for (unit, unit_key), of_unit in found.items():
        if unit.startswith("part-"):
            parts += 1
            sizes += of_unit
        elif unit.startswith("group-") and (mark := store.mark(Address(name, key, unit, unit_key))) is not None:
            parts += len({source.partition("/")[0] for source in mark.inputs})
            sizes += of_unit
    return parts, sizes


def _hours(stages: Iterable[StageForecast], cpus: float, gpus: float, *, one_by_one: bool) -> float | None:
    """Hours of the machines: of their CPUs or GPUs, whichever are too few, or of the stage with too few workers."""
    timed = [(one, one.worker_hours) for one in stages if one.worker_hours is not None]
    if not timed:
        return None
    if one_by_one:
        return sum(hours for _, hours in timed)
    bounds = [hours / one.workers for one, hours in timed]
    bounds += [sum(hours * one.cpus for one, hours in timed) / cpus]
    bounds += [sum(hours * one.gpus for one, hours in timed) / gpus] if gpus else []
    return max(bounds)


def _with_compute(stages: list[StageForecast], machines: Machines, price: float | None) -> list[StageForecast]:
    """The stages with their shares of the machines' price, by what their workers take of a machine's CPUs or GPUs."""
    if price is None:
        return stages
    taken = [
        (one.worker_hours or 0.0) * max(one.cpus / machines.cpus, one.gpus / machines.gpus if machines.gpus else 0.0)
        for one in stages
    ]
    return [
        one.model_copy(update={"compute": price * share / sum(taken)}) if one.worker_hours is not None else one
        for one, share in zip(stages, taken, strict=True)
    ]


def _media(workspace: Workspace) -> int | None:
    """Bytes of the media of all parts, by those that are in the work folder."""
    total = sum(one.size for one in workspace.job.store.files.tree(MEDIA))
    source = next(name for name in workspace.graph.names if not workspace.graph.upstream(name))
    fetched = len(workspace.done(source))
    return round(total * len(workspace.plan.parts) / fetched) if total and fetched else None


def _price(price: float, amount: float | None, of: float) -> float | None:
    """The price of an amount, for `of` of which the price is; None where either is not known."""
    return price * amount / of if price and amount else None
