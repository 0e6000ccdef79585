"""Output of a run: colours and progress bars on a terminal, plain lines off one."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from pipeline.failures import Failure
from pipeline.funnel import funnel
from pipeline.lineage import CORPUS
from pipeline.plan import Plan
from pipeline.progress import Advance
from pipeline.remedies import remedy, retry_option
from pipeline.status import StageStatus
from schemas.calibration import ENOUGH, Calibration
from schemas.duplicates import Duplicates
from storyloom.format.model import Model
from storyloom.view.counts import count_of
from storyloom.view.text import shown

LINE_SECONDS = 60.0
"""Seconds between two lines of progress off a terminal."""


@dataclass
class _StageProgress:
    """The progress of one stage."""

    units: int
    done: int = 0
    videos: int = 0
    failed: int = 0
    seconds: float = 0.0

    def add(self, done: Advance) -> None:
        self.done += 1
        self.videos += done.videos
        self.failed += done.failed
        self.seconds += done.seconds

    def rest(self, seconds: float) -> str:
        """Videos, speed and failures as text, after this many seconds of the run."""
        parts = [count_of(self.videos, "videos")] if self.videos else []
        parts += [f"{self.seconds / seconds:.1f} media h/h"] if self.seconds and seconds >= 1.0 else []
        return ", ".join([*parts, f"{self.failed} failed"] if self.failed else parts)


@dataclass(frozen=True)
class Commands:
    """Commands over the run's config, as they can be pasted."""

    run: str = "storyloom run CONFIG"
    failures: str = "storyloom failures CONFIG"


class TerminalListener:
    """Prints the progress of a run.

    Args:
        console: Where to.
        commands: Named where they help.
    """

    def __init__(self, console: Console, commands: Commands = Commands()) -> None:
        self._console = console
        self._commands = commands
        self._stages: dict[str, _StageProgress] = {}
        self._bars: dict[str, TaskID] = {}
        self._progress: Progress | None = None
        self._began = time.monotonic()
        self._over = threading.Event()
        self._lock = threading.Lock()

    def planned(self, before: Sequence[StageStatus], plan: Plan, told: Sequence[str], executor: str) -> None:
        """Print the size of the plan, the work to do, and why earlier output is stale."""
        say = self._console.print
        say(_size(plan), highlight=False)
        for sentence in told:
            say(f"  {sentence}", highlight=False, markup=False)
        to_do = [one for one in before if one.to_do]
        if not to_do:
            say(_nothing_to_do(before))
            return
        say(f"to do (runner: {executor}):")
        for one in to_do:
            why = f"  ({shown(one.why)})" if one.why else ""
            say(
                f"  {one.stage:<10} {_to_do(one)}{why}",
                highlight=False,
                markup=False,
            )
            self._stages[one.stage] = _StageProgress(one.to_do)

    def started(self, logs: str) -> None:
        """Print the location of the executor's logs, and start to show progress."""
        if logs:
            self._console.print(f"Ray's logs: {logs}", highlight=False, markup=False)
        self._began = time.monotonic()
        if not self._stages:
            return
        if self._console.is_terminal:
            self._start_bars()
        else:
            threading.Thread(target=self._lines, daemon=True).start()

    def advanced(self, done: Advance) -> None:
        """Advance a stage's bar; off a terminal, print a line when the stage is done."""
        with self._lock:
            state = self._stages.setdefault(done.stage, _StageProgress(1))
            if done.unit == CORPUS and state.done == state.units:
                return  # the result over the stage's parts
            state.add(done)
            if self._progress is not None and done.stage in self._bars:
                self._progress.update(self._bars[done.stage], completed=state.done, rest=state.rest(self._elapsed()))
            elif state.done == state.units:
                self._line(done.stage)

    def finished(self, after: Sequence[StageStatus], results: Mapping[str, Model]) -> None:
        """Print the funnel and warnings."""
        self.stop()
        say = self._console.print
        if any(row.found for row in funnel(after)):
            say(funnel_table(after))
        warnings = Counter[str]()
        for one in after:
            warnings |= Counter(one.warnings)  # later stages repeat the warnings of their inputs
        if warnings:
            say(Text("warnings: " + shown(", ".join(f"{code} {n}" for code, n in sorted(warnings.items())))))
        for result in results.values():
            if isinstance(result, Calibration) and result.samples < ENOUGH:
                say(f"the threshold rests on {result.samples} null scores only; set filter.threshold instead")
            if isinstance(result, Duplicates) and result.same_as:
                say(_duplicates(result), highlight=False, markup=False)

    def noted(self, sentence: str) -> None:
        """Print a sentence."""
        self._console.print(sentence, highlight=False, markup=False)

    def failed(self, first: Sequence[Failure], total: int) -> None:
        """Print the first failures, and how many more there are."""
        self.stop()
        if not first:
            return

        def say(text: str) -> None:
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)  # so that it can be pasted

        say(f"{count_of(total, 'failures')}:")
        advised = set[tuple[str, bool]]()
        for one in first:
            again = " (to be done again)" if one.pending else ""
            say(f"  {one.name}: {one.stage}.{one.code}{again}: {one.message}")
            kind = one.code, one.retryable
            if kind not in advised:
                say(f"    {remedy(one.code, retryable=one.retryable)}")
                advised.add(kind)
        if total > len(first):
            say(f"  and {total - len(first):,} more")
        say(f"all of them: {self._commands.failures}")
        say(f"to try again: {self._commands.run} {retry_option((one.code, one.retryable) for one in first)}")

    def stop(self) -> None:
        """Stop the bars, also when the run fails."""
        self._over.set()
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _start_bars(self) -> None:
        columns = (
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[rest]}"),
        )
        self._progress = Progress(*columns, console=self._console)
        self._bars = {
            stage: self._progress.add_task(stage, total=state.units, rest="") for stage, state in self._stages.items()
        }
        self._progress.start()

    def _lines(self) -> None:
        """Print a line per running stage every `LINE_SECONDS`."""
        while not self._over.wait(LINE_SECONDS):
            with self._lock:
                for stage, state in self._stages.items():
                    if 0 < state.done < state.units:
                        self._line(stage)

    def _line(self, stage: str) -> None:
        state = self._stages[stage]
        rest = state.rest(self._elapsed())
        line = f"{stage}: {state.done} of {state.units}{', ' + rest if rest else ''}"
        self._console.print(line, highlight=False, markup=False)


def _size(plan: Plan) -> str:
    """The size of a plan, and of what is asked for of it."""
    videos, parts = sum(map(len, plan.videos)), len(plan.parts)
    if plan.left_out:
        of_all = f"{videos + plan.videos_left_out:,} videos in {parts} of {parts + len(plan.left_out):,} parts"
        return f"{videos:,} of {of_all} (parts.limit, parts.sample; whole parts)"
    new = f", {plan.new_parts} new" if plan.new_parts else ""
    return f"{count_of(videos, 'videos')} in {count_of(parts, 'parts')}{new}"


def _nothing_to_do(stages: Sequence[StageStatus]) -> str:
    """What a run says that has nothing to do; the failures themselves are named at its end."""
    failed = sum(n for one in stages for code, n in one.failed.items() if code.startswith(f"{one.stage}."))
    if not failed:
        return "every stage is up to date"
    may_pass = sum(one.retryable for one in stages)
    again = f"; {may_pass:,} may pass with --retry" if may_pass else ""
    return f"nothing to do but what failed: {count_of(failed, 'videos')} failed{again}"


def _to_do(one: StageStatus) -> str:
    """What a stage has to do."""
    if one.units == one.done:
        return f"the result over {count_of(one.units, 'parts')}"
    return f"{one.to_do:,} of {count_of(one.units, one.unit + 's')}"


def _duplicates(found: Duplicates) -> str:
    """A line about videos with the same content."""
    example = min(found.same_as.values())
    videos = count_of(len(found.same_as), "videos")
    return f"{videos} with the content of another one, e.g. of {example}; `filter.duplicates: drop` uses one of them"


def funnel_table(stages: Sequence[StageStatus]) -> Table:
    """The funnel as a table: a line per kind of item."""
    table = Table("", "found", "kept", "left out")
    for row in funnel(stages):
        reasons = [Text(shown(f"{reason} {n}")) for reason, n in row.dropped.items()]
        reasons += [Text(shown(f"{code} {n}"), "red") for code, n in row.failed.items()]
        table.add_row(row.what, str(row.found), str(row.kept), Text(", ").join(reasons))
    return table


def status_table(stages: Sequence[StageStatus]) -> Table:
    """The status of every stage, as a table."""
    table = Table("stage", "done", "to do", "failed here", "left out here", "why")
    for one in stages:
        here = f"{one.stage}."
        failed = ", ".join(f"{k.removeprefix(here)} {n}" for k, n in one.failed.items() if k.startswith(here))
        dropped = ", ".join(f"{k.removeprefix(here)} {n}" for k, n in one.dropped.items() if k.startswith(here))
        said = (Text(shown(cell)) for cell in (failed, dropped, one.why))
        table.add_row(one.stage, str(one.done), str(one.to_do), *said)
    return table
