"""A forecast in words: a table of the stages, and lines for the whole."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import SIMPLE
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from pipeline.config import RunConfig
from pipeline.forecast.forecast import HOUR, Forecast, StageForecast
from pipeline.progress.pace import FEW, about
from storyloom.view.counts import count_of


def print_forecast(found: Forecast, config: RunConfig, console: Console, measuring: str) -> None:
    """Print what a list takes.

    Args:
        found: The forecast.
        config: Whose prices are named.
        console: Where to.
        measuring: The command that measures a share of the list.
    """
    size = f"{count_of(found.videos, 'videos')} in {count_of(found.parts, 'parts')}, {count_of(found.groups, 'groups')}"
    media = f"; {about(found.media_hours * HOUR)} of media" if found.media_hours else ""
    console.print(f"{size}{media}", highlight=False)
    if any(one.measured or one.seen for one in found.stages):
        console.print(_table(found))
    for line in [*_lines(found, config), *_unknown(found, measuring)]:
        console.print(line, highlight=False, markup=False)


def _table(found: Forecast) -> Table:
    priced = any(one.compute is not None or one.requests is not None for one in found.stages)
    stored = any(one.storage is not None for one in found.stages)
    columns = ["parts", "measured", "s a part", "from, to", "± %", "a worker", "worker h", "bytes", "objects"]
    columns += ["price"] * priced + ["a month"] * stored
    table = Table("stage", *columns, box=SIMPLE, padding=0)
    for column in table.columns[1:]:
        column.justify = "right"
    for one in found.stages:
        prices = [_price(_sum(one.compute, one.requests))] * priced + [_price(one.storage)] * stored
        table.add_row(one.stage, *_cells(one), *prices)
    return table


def _cells(one: StageForecast) -> Iterator[str]:
    yield f"{one.parts:,}"
    yield f"{one.measured:,}"
    yield "" if one.seconds is None else f"{one.seconds:.3g}"
    yield "" if one.least is None or one.most is None else f"{one.least:.3g}, {one.most:.3g}"
    yield "" if one.error is None else f"{100 * one.error:.0f}"
    yield f"{one.cpus:g} CPU" + (f", {one.gpus:g} GPU" if one.gpus else "")
    yield "" if one.worker_hours is None else _amount(one.worker_hours)
    yield "" if one.bytes is None else decimal(one.bytes)
    yield "" if one.objects is None else f"{one.objects:,}"


def _lines(found: Forecast, config: RunConfig) -> Iterator[str]:
    """What all of it takes: time, bytes, price."""
    if found.hours is not None:
        each = _of(found.machines.cpus, "CPU") + (
            f" and {_of(found.machines.gpus, 'GPU')}" if found.machines.gpus else ""
        )
        where = f"{count_of(found.machines.number, 'machines')} of {each}"
        one_by_one = ", one unit after the other" if found.one_by_one else ""
        without = f", without {', '.join(found.unmeasured)}" if found.unmeasured else ""
        used = f"{_amount(found.cpu_hours)} CPU hours, {_amount(found.gpu_hours)} GPU hours"
        yield f"time: {about(found.hours * HOUR)} on {where}{one_by_one}{without}; {used}"
    kinds = {"media": found.media_bytes, "work": found.work_bytes, "shards": found.output_bytes}
    if sizes := [f"{decimal(size)} of {kind}" for kind, size in kinds.items() if size]:
        yield f"bytes: {', '.join(sizes)}; {count_of(found.objects, 'objects')} in the work folder"
    prices = config.prices
    told = [
        (found.compute, f"the machines, at {config.runner.price_per_hour:g} an hour for all of them"),
        (found.requests, f"requests that write, at {prices.requests:g} a thousand, one an object"),
        (found.egress, f"media that leave their store, at {prices.egress:g} a GB, once"),
        (found.storage, f"a month of media, work and shards, at {prices.storage:g} a GB"),
    ]
    for amount, what in told:
        if amount is not None:
            yield f"price: {_price(amount)} for {what}"


def _unknown(found: Forecast, measuring: str) -> Iterator[str]:
    """What is not known, and how it comes to be."""
    if not any(one.measured or one.seen for one in found.stages):
        yield f"nothing is finished yet: {measuring} does and measures a hundredth"
        return
    if found.unmeasured:
        yield f"no time was measured of {', '.join(found.unmeasured)}: {measuring}, with --force also of what is done"
    few = [one.stage for one in found.stages if 0 < one.measured < FEW]
    if few:
        yield f"hardly a part was measured of {', '.join(few)}: what they take may be quite another"
    if unseen := [one.stage for one in found.stages if not one.seen]:
        yield f"no files are there of {', '.join(unseen)}: they are not in the bytes"


def _sum(*amounts: float | None) -> float | None:
    """The sum of what is known."""
    known = [one for one in amounts if one is not None]
    return sum(known) if known else None


def _of(number: float, what: str) -> str:
    return f"{number:g} {what}" + ("s" if number != 1 else "")


def _price(amount: float | None) -> str:
    return "" if amount is None else _amount(amount)


def _amount(amount: float) -> str:
    """A number with three figures, and all those before the point."""
    return f"{amount:,.0f}" if amount >= 100 else f"{amount:.3g}"  # noqa: PLR2004
