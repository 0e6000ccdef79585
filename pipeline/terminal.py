"""What a run prints: with colours and bars on a terminal, plain lines off one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipeline.funnel import funnel
from pipeline.plan import Plan
from pipeline.registry import WRITE
from pipeline.status import StageStatus
from schemas.calibration import ENOUGH, Calibration

LINES_PER_STAGE = 10
"""Lines of progress per stage where there is no terminal to draw bars on."""


class TerminalListener:
    """Tells a person how a run goes."""

    def __init__(self, console: Console, selected: frozenset[str]) -> None:
        self._console = console
        self._selected = selected
        self._units: dict[str, int] = {}
        self._done = Counter[str]()
        self._bars: dict[str, TaskID] = {}
        self._progress: Progress | None = None

    def planned(self, before: Sequence[StageStatus], plan: Plan, duplicates: int, runner: str) -> None:
        """Say what there is, what is to be done, and why it is to be done again."""
        say = self._console.print
        new = f", {plan.new_parts} new" if plan.new_parts else ""
        say(f"{_count(plan.videos, 'video')} in {_count(len(plan.parts), 'part')}{new}")
        if duplicates:
            say(f"  left out of the manifest, since they repeat an earlier id: {_count(duplicates, 'line')}")
        to_do = [one for one in before if one.to_do and one.stage in self._selected]
        if not to_do:
            say("everything is up to date")
            return
        say(f"to do (runner: {runner}):")
        for one in to_do:
            why = f"  ({one.why})" if one.why else ""
            units = _count(one.units, "group" if one.stage == WRITE else "part")
            say(f"  {one.stage:<10} {one.to_do} of {units}{why}", highlight=False, markup=False)
            self._units[one.stage] = one.to_do
        if self._console.is_terminal:
            self._start_bars()

    def advanced(self, stage: str, unit: str) -> None:
        """Move a stage's bar, or print a line now and then."""
        del unit
        self._done[stage] += 1
        if self._progress is not None:
            self._progress.update(self._bars[stage], completed=self._done[stage])
            return
        done, units = self._done[stage], self._units[stage]
        if done == units or done * LINES_PER_STAGE // units > (done - 1) * LINES_PER_STAGE // units:
            self._console.print(f"{stage}: {done} of {units}", highlight=False)

    def finished(self, after: Sequence[StageStatus], calibration: Calibration | None) -> None:
        """Print the funnel and what a person should know about it."""
        self.stop()
        say = self._console.print
        if any(one.stage == "filter" and one.done for one in after):
            say(funnel_table(after))
        warnings = Counter[str]()
        for one in after:
            warnings |= Counter(one.warnings)  # later stages repeat those of the rows that they read
        if warnings:
            say("warnings: " + ", ".join(f"{code} {n}" for code, n in sorted(warnings.items())), highlight=False)
        if calibration is not None and calibration.samples < ENOUGH:
            say(f"the threshold rests on {calibration.samples} null scores only; set filter.threshold instead")

    def stop(self) -> None:
        """End the bars, also when the run fails."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _start_bars(self) -> None:
        columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=self._console)
        self._bars = {stage: self._progress.add_task(stage, total=units) for stage, units in self._units.items()}
        self._progress.start()


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def funnel_table(stages: Sequence[StageStatus]) -> Table:
    """The funnel as a table: a line per kind of thing."""
    table = Table("", "found", "kept", "left out")
    for row in funnel(stages):
        reasons = [f"{reason} {n}" for reason, n in row.dropped.items()]
        reasons += [f"[red]{code} {n}[/red]" for code, n in row.failed.items()]
        table.add_row(row.what, str(row.found), str(row.kept), ", ".join(reasons))
    return table


def status_table(stages: Sequence[StageStatus]) -> Table:
    """Where every stage stands, as a table."""
    table = Table("stage", "done", "to do", "failed here", "left out here", "why")
    for one in stages:
        here = f"{one.stage}."
        failed = ", ".join(f"{k.removeprefix(here)} {n}" for k, n in one.failed.items() if k.startswith(here))
        dropped = ", ".join(f"{k.removeprefix(here)} {n}" for k, n in one.dropped.items() if k.startswith(here))
        table.add_row(one.stage, str(one.done), str(one.to_do), failed, dropped, one.why)
    return table
