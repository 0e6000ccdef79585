"""Where a run's time goes: each worker writes a small file per part that it did, `stage_profiles` adds them up.

Times differ from run to run, so the files lie apart from the output, at ``WORK/profile/<stage>/part-<id>.json``. They
count as long as the stage's fingerprint is theirs; a part that is done and measured again replaces its file.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

from pydantic import BaseModel
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from stages.registry import STAGE_NAMES
from stages.timing import KINDS, Kind, Timings
from storyloom.fs.atomic import write_atomically

if TYPE_CHECKING:
    from pipeline.execute import Job

Edge = Literal["read", "process", "write", "wait"]
"""Reading rows, the stage's own work, writing rows or shards, waiting for a part: what a worker sees of its stage."""

EDGES: tuple[Edge, ...] = get_args(Edge)

ItemT = TypeVar("ItemT")

DECIMALS = 6
"""Of seconds in the files."""


class PartProfile(BaseModel):
    """Where the time of one part went in one stage.

    Attributes:
        fingerprint: Of the stage that did it.
        worker: Host and process.
        wall: Seconds for which a worker, or one of its threads, had the part in hand or waited for it; the sum of
            `seconds`.
        seconds: Of each edge.
        inside: Seconds by kind of work that the stage measured itself; its threads add up to more than passed, and
            parts that are in hand at once are not told apart.
        setup: Seconds that the worker took to start, models included, when this was its first part; otherwise 0.
    """

    fingerprint: str
    worker: str
    wall: float
    seconds: dict[Edge, float]
    inside: dict[Kind, float]
    setup: float


class StageProfile(BaseModel):
    """The sums of a stage's parts.

    Attributes:
        stage: Its name.
        parts: That were measured; groups, for `write`.
        workers: That did them.
        wall: As in `PartProfile`.
        seconds: Of each edge, every edge.
        inside: As in `PartProfile`.
        setup: As in `PartProfile`.
    """

    stage: str
    parts: int
    workers: int
    wall: float
    seconds: dict[Edge, float]
    inside: dict[Kind, float]
    setup: float


class Meter:
    """The edges of one part; what is read is read while rows are made, and rows are made while they are written."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._spent: dict[Edge, float] = {"read": 0.0, "process": 0.0}

    @contextmanager
    def on(self, edge: Edge) -> Iterator[None]:
        """Add the time of a block."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._spent[edge] += time.perf_counter() - began

    def each(self, edge: Edge, items: Iterable[ItemT]) -> Iterator[ItemT]:
        """The same items; the time that each takes to be made is added, its consumer's is not."""
        iterator = iter(items)
        while True:
            with self.on(edge):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def seconds(self) -> dict[Edge, float]:
        """So far; they add up to the wall time."""
        read, rows = self._spent["read"], self._spent["process"]
        wall = time.perf_counter() - self._began
        return {"read": read, "process": max(0.0, rows - read), "write": wall - max(read, rows)}


class Clock:
    """A worker's time: how long it took to set up, and since when it has had nothing in hand."""

    def __init__(self) -> None:
        self._ready = time.perf_counter()
        self._setup = 0.0
        self._free: list[float] = []
        """When each thread that has done a part came to its end and found no other yet."""

    @contextmanager
    def setting_up(self) -> Iterator[None]:
        """Measure the start of the worker, or of the stage that it does next."""
        began = time.perf_counter()
        yield
        self._ready = time.perf_counter()
        self._setup += self._ready - began
        self._free.clear()

    @contextmanager
    def on_part(self, job: Job, stage: str, part: str, timings: Timings | None = None) -> Iterator[Meter]:
        """Measure a part, or a group of `write`, and keep what came out, when the job's config asks for it.

        A block that raises leaves no file.
        """
        meter = Meter()
        if not job.config.runner.profile:
            yield meter
            return
        idle = time.perf_counter() - self._free_since()
        try:
            yield meter
            setup, self._setup = self._setup, 0.0
            _keep(job, stage, part, meter.seconds() | {"wait": idle}, timings.take() if timings else {}, setup)
        finally:
            self._free.append(time.perf_counter())

    def _free_since(self) -> float:
        """For the next part: since its thread's last one, or since the worker was ready, where it is its first."""
        try:
            return self._free.pop()
        except IndexError:
            return self._ready


def stage_profiles(job: Job) -> list[StageProfile]:
    """What was measured of the stages as they are configured now, in the pipeline's order; none without a profile."""
    found = ((stage, list(_parts(job, stage))) for stage in STAGE_NAMES if stage in job.digests)
    return [_sums(stage, parts) for stage, parts in found if parts]


def print_profiles(profiles: list[StageProfile], console: Console) -> None:
    """Print a line per stage: seconds of wall time, shares of edges and kinds in them, the setup beside them."""
    table = Table("stage", "parts", "wall s", *EDGES, *KINDS, "setup s", box=SIMPLE, padding=0)  # fits 80 characters
    for column in table.columns[1:]:
        column.justify = "right"
    for one in profiles:
        seconds = [*(one.seconds[edge] for edge in EDGES), *(one.inside[kind] for kind in KINDS)]
        shares = (f"{100 * spent / one.wall:.1f}" if spent else "" for spent in seconds)
        table.add_row(one.stage, str(one.parts), f"{one.wall:.2f}", *shares, f"{one.setup:.2f}")
    console.print("\nwhere the time went, in % of each stage's wall time")
    console.print(table)


def _keep(job: Job, stage: str, part: str, seconds: dict[Edge, float], inside: dict[Kind, float], setup: float) -> None:
    profile = PartProfile(
        fingerprint=job.digests[stage],
        worker=f"{socket.gethostname()}.{os.getpid()}",
        wall=round(sum(seconds.values()), DECIMALS),
        seconds={edge: round(seconds[edge], DECIMALS) for edge in EDGES},
        inside={kind: round(inside[kind], DECIMALS) for kind in KINDS if kind in inside},
        setup=round(setup, DECIMALS),
    )
    folder = _folder(job, stage)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / f"part-{part}.json", profile.model_dump_json(indent=1).encode() + b"\n")


def _parts(job: Job, stage: str) -> Iterator[PartProfile]:
    for file in sorted(_folder(job, stage).glob("part-*.json")):
        part = PartProfile.model_validate_json(file.read_bytes())
        if part.fingerprint == job.digests[stage]:
            yield part


def _folder(job: Job, stage: str) -> Path:
    return job.store.work / "profile" / stage


def _sums(stage: str, parts: list[PartProfile]) -> StageProfile:
    return StageProfile(
        stage=stage,
        parts=len(parts),
        workers=len({part.worker for part in parts}),
        wall=round(sum(part.wall for part in parts), DECIMALS),
        seconds={edge: round(sum(part.seconds[edge] for part in parts), DECIMALS) for edge in EDGES},
        inside={kind: round(sum(part.inside.get(kind, 0.0) for part in parts), DECIMALS) for kind in KINDS},
        setup=round(sum(part.setup for part in parts), DECIMALS),
    )
