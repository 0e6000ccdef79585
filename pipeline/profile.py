"""Profile of a run's time: each worker writes a small file per unit, and `stage_profiles` sums them up.

Times differ from run to run, so the files are separate from the output, at ``WORK/profile/<stage>/<unit>.json``. They
are valid for one key of the stage; a unit that is done again replaces its file.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from threading import Lock
from typing import Literal, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from pipeline.store import PROFILE, Store

Kind = Literal["read", "process", "write", "wait"]
"""Reading rows and the plan; the stage's work; writing rows, files and marks; waiting for the next unit."""

KINDS: tuple[Kind, ...] = get_args(Kind)

DECIMALS = 6
"""Decimals of seconds in the files."""

ItemT = TypeVar("ItemT")


class UnitTimer:
    """Splits the wall time of a unit by kind: time inside nested blocks counts for the innermost one alone."""

    def __init__(self) -> None:
        self.seconds: dict[Kind, float] = defaultdict(float)
        self._inner = [0.0]

    @contextmanager
    def on(self, kind: Kind) -> Iterator[None]:
        """Measure a block. It must not contain a generator's `yield`: see `each`."""
        began = time.perf_counter()
        self._inner.append(0.0)
        try:
            yield
        finally:
            took = time.perf_counter() - began
            self.seconds[kind] += took - self._inner.pop()
            self._inner[-1] += took

    def each(self, kind: Kind, items: Iterable[ItemT]) -> Iterator[ItemT]:
        """Yield the same items; the time of producing each is measured, the consumer's is not."""
        iterator = iter(items)
        while True:
            with self.on(kind):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item


class WorkerClock:
    """The busy time of a worker, shared out evenly among the units that it has in hand at once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._in_hand = 0
        self._each = 0.0
        self._last = 0.0

    @contextmanager
    def unit(self) -> Iterator[Callable[[], float]]:
        """Have a unit in hand during a block; what it yields gives the seconds that have fallen to the unit."""
        began = self._moved(1)
        try:
            yield lambda: self._moved(0) - began
        finally:
            self._moved(-1)

    def _moved(self, units: int) -> float:
        """The seconds that have fallen to one that was always in hand; `units` begin or, if negative, end now."""
        with self._lock:
            now = time.perf_counter()
            if self._in_hand:
                self._each += (now - self._last) / self._in_hand
            self._last = now
            self._in_hand += units
            return self._each


class UnitProfile(BaseModel):
    """The time of one unit in one stage.

    Attributes:
        key: Key of the stage.
        worker: Host and process.
        parts: Parts in the unit: one, or those of a group.
        share: Seconds of the worker, `WorkerClock`: those of all units of a stage add up to what its workers worked.
        seconds: Wall time by kind.
        within: Seconds that the stage itself measured by kind, e.g. ``decode`` and ``model``, summed over its threads;
            the sum may exceed the time of ``process``.
        setup: Seconds of the worker's start-up, models included, if this was its first unit; otherwise 0.
    """

    key: str
    worker: str
    parts: int
    share: float
    seconds: dict[Kind, float]
    within: dict[str, float] = {}
    setup: float = 0.0


class StageProfile(BaseModel):
    """The sums of a stage's units.

    Attributes:
        stage: Its name.
        units: Number of measured units.
        workers: Number of workers that did them.
        wall: Seconds, the sum of `seconds`.
        seconds: As in `UnitProfile`, every kind.
        within: As in `UnitProfile`.
        setup: As in `UnitProfile`.
    """

    stage: str
    units: int
    workers: int
    wall: float
    seconds: dict[Kind, float]
    within: dict[str, float]
    setup: float


def keep_profile(store: Store, stage: str, unit: str, profile: UnitProfile) -> None:
    """Write the profile of a unit."""
    store.files.replace(f"{PROFILE}/{stage}/{unit}.json", profile.model_dump_json(indent=1).encode() + b"\n")


def stage_profiles(store: Store, keys: Mapping[str, str]) -> list[StageProfile]:
    """The profiles of the stages under the current config, in the pipeline's order; empty without measurements."""
    found = ((stage, list(unit_profiles(store, stage, key))) for stage, key in keys.items())
    return [_sums(stage, units) for stage, units in found if units]


def print_profiles(profiles: list[StageProfile], console: Console) -> None:
    """Print a line per stage: seconds of wall time, the share of each kind in them, and the setup beside them."""
    table = Table("stage", "units", "workers", "wall s", *KINDS, "of the stage's own", "setup s", box=SIMPLE, padding=0)
    for column in table.columns[1:]:
        column.justify = "right"
    for one in profiles:
        shares = (f"{100 * one.seconds[kind] / one.wall:.1f}" if one.seconds[kind] else "" for kind in KINDS)
        within = ", ".join(f"{what} {seconds:.2f} s" for what, seconds in one.within.items())
        table.add_row(
            one.stage, str(one.units), str(one.workers), f"{one.wall:.2f}", *shares, within, f"{one.setup:.2f}"
        )
    console.print("\nwhere the time went, in % of each stage's wall time")
    console.print(table)


def unit_profiles(store: Store, stage: str, key: str, most: int | None = None) -> Iterator[UnitProfile]:
    """The profiles of a stage's units under a key, of the first ones by name alone where there are `most`."""
    names = [one.name for one in islice(store.files.entries(f"{PROFILE}/{stage}"), most)]
    for content in store.files.read_all(names):
        try:
            unit = UnitProfile.model_validate_json(content or b"")
        except ValidationError:  # of another version
            continue
        if unit.key == key:
            yield unit


def _sums(stage: str, units: list[UnitProfile]) -> StageProfile:
    seconds: dict[Kind, float] = {
        kind: round(sum(one.seconds.get(kind, 0.0) for one in units), DECIMALS) for kind in KINDS
    }
    within: dict[str, float] = defaultdict(float)
    for one in units:
        for what, took in one.within.items():
            within[what] += took
    return StageProfile(
        stage=stage,
        units=len(units),
        workers=len({one.worker for one in units}),
        wall=round(sum(seconds.values()), DECIMALS),
        seconds=seconds,
        within={what: round(took, DECIMALS) for what, took in sorted(within.items())},
        setup=round(sum(one.setup for one in units), DECIMALS),
    )
