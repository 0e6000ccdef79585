"""Output of a run: colours and progress bars on a terminal, plain lines off one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from pipeline.attempts import Doing
from pipeline.failures import Failure
from pipeline.funnel import funnel
from pipeline.plan import Plan
from pipeline.progress.estimate import Estimate
from pipeline.progress.listener import Advance
from pipeline.progress.pace import FEW, Pace, about
from pipeline.remedies import remedy, retry_option, with_retry
from pipeline.status import StageStatus
from schemas.duplicates import Duplicates
from storyloom.format.model import Model
from storyloom.view.counts import count_of
from storyloom.view.text import shown

LINE_SECONDS = 60.0
"""Seconds between two lines of progress off a terminal."""

LOADING, STARTING = "loading the model", "starting"
"""What is said of a stage that is set up, with a model and without one."""

OF_FRAMES = "_failed."
"""In the name of a count of frames that have no answer of a model."""

WHOLE = "all"
"""Name of the bar of the whole run."""

HOUR = 3600.0
"""Seconds of an hour, for which a price is."""

BAR = 20
"""Characters of a bar, so that a line fits 80 columns."""


@dataclass(frozen=True)
class Commands:
    """Commands over the run's config, as they can be pasted."""

    run: str = "storyloom run CONFIG"
    failures: str = "storyloom failures CONFIG"

    def option(self, code: str) -> str:
        """What tries again what failed with a code; with none, what may pass."""
        return with_retry(code)

    def with_option(self, option: str) -> str:
        """The run with an option."""
        return f"{self.run} {option}"


class TerminalListener:
    """Prints the progress of a run.

    Args:
        console: Where to.
        commands: Named where they help.
        price: Of an hour of the run, 0 for none.
        models: Names of the stages that have a model.
    """

    def __init__(
        self,
        console: Console,
        commands: Commands = Commands(),
        price: float = 0.0,
        models: Collection[str] = (),
    ) -> None:
        self._console = console
        self._commands = commands
        self._price = price
        self._models = models
        self._pace: Pace | None = None
        self._works: Mapping[str, Doing] = {}
        self._told = set[str]()
        self._bars: dict[str, TaskID] = {}
        self._progress: Progress | None = None
        self._next_lines = LINE_SECONDS
        self._lock = threading.Lock()

    def planned(self, before: Sequence[StageStatus], plan: Plan, told: Sequence[str], executor: str) -> None:
        """Print the size of the plan, the work to do, and why earlier output is stale."""
        say = self._console.print
        say(plan_size(plan), highlight=False)
        for sentence in told:
            say(f"  {sentence}", highlight=False, markup=False)
        to_do = [one for one in before if one.to_do]
        if not to_do:
            say(_nothing_to_do(before, self._commands))
            return
        say(f"to do (runner: {executor}):")
        for one in to_do:
            why = f"  ({shown(one.why)})" if one.why else ""
            say(
                f"  {one.stage:<10} {_to_do(one)}{why}",
                highlight=False,
                markup=False,
            )

    def started(self, logs: str, pace: Pace) -> None:
        """Print the location of the executor's logs, and start to show progress."""
        if logs:
            self._console.print(f"Ray's logs: {logs}", highlight=False, markup=False)
        self._pace = pace
        if pace.stages and self._console.is_terminal:
            self._start_bars(pace)

    def advanced(self, done: Advance) -> None:
        """Advance a stage's bar; off a terminal, print a line when the stage is done."""
        with self._lock:
            assert self._pace is not None
            if self._progress is not None:
                self._show(self._pace)
            elif not self._pace.stages[done.stage].left and done.stage not in self._told:
                self._told.add(done.stage)
                self._line(done.stage, self._pace)

    def works(self, now: Mapping[str, Doing]) -> None:
        """Show which stages work; off a terminal, print a line when one is set up, and lines now and then."""
        with self._lock:
            before, self._works = self._works, now
            if self._pace is None:
                return
            if self._progress is not None:
                self._show(self._pace)
                return
            for stage in sorted(name for name, what in now.items() if what == "setup" != before.get(name)):
                self._timed(f"{stage}: {self._setup(stage)}")
            if self._pace.elapsed >= self._next_lines:
                self._next_lines += LINE_SECONDS
                for stage in (
                    name for name, one in self._pace.stages.items() if one.left and (one.done or name in now)
                ):
                    self._line(stage, self._pace)
                if left := _time_left(self._pace):
                    self._timed(left)

    def estimated(self, found: Estimate) -> None:
        """Print what all parts will come to."""
        said = [f"after {found.parts:,} of {count_of(found.of, 'parts')}"]
        said += [f"all will be {about(found.hours * HOUR)} of media, {decimal(found.work)} of work"]
        said[-1] += f", {decimal(found.shards)} of shards" if found.shards else ""
        if found.documents is not None and found.frames is not None:
            said += [f"so far {_plain(found.documents)} documents and {_plain(found.frames)} frames an hour of media"]
        with self._lock:
            pace = self._pace
            if pace is not None and (left := _time_left(pace)):
                said += [left]
                total = self._price * (pace.elapsed + pace.left()[0]) / HOUR
                said += [f"this run costs about {total:.3g} at {self._price:g} an hour"] if self._price else []
            self._timed("; ".join(said))

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
            if isinstance(result, Duplicates) and result.same_as:
                say(_duplicates(result), highlight=False, markup=False)
        unanswered = [one.stage for one in after if one.retryable and any(OF_FRAMES in name for name in one.counts)]
        if unanswered:
            again = self._commands.with_option(with_retry(""))
            said = f"{' and '.join(unanswered)}: some frames have no answer that may still come; to ask again: {again}"
            say(said, highlight=False, markup=False, soft_wrap=True)

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

        option = self._commands.option
        say(f"{count_of(total, 'failures')}:")
        advised = set[tuple[str, bool]]()
        for one in first:
            again = " (to be done again)" if one.pending else ""
            say(f"  {one.name}: {one.stage}.{one.code}{again}: {one.message}")
            kind = one.code, one.retryable
            if kind not in advised:
                say(f"    {remedy(one.code, retryable=one.retryable, option=option)}")
                advised.add(kind)
        if total > len(first):
            say(f"  and {total - len(first):,} more")
        say(f"all of them: {self._commands.failures}")
        again = retry_option(((one.code, one.retryable) for one in first), option)
        say(f"to try again: {self._commands.with_option(again)}")

    def stop(self) -> None:
        """Stop the bars, also when the run fails."""
        with self._lock:
            if self._progress is not None:
                self._progress.stop()
                self._progress = None

    def _start_bars(self, pace: Pace) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(BAR),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rest]}"),
        )
        self._progress = Progress(*columns, console=self._console)
        width = max(len(name) for name in [*pace.stages, WHOLE])
        for name in [*pace.stages, WHOLE]:
            total = sum(one.units for one in pace.stages.values()) if name == WHOLE else pace.stages[name].units
            self._bars[name] = self._progress.add_task(f"  {name:<{width}}", total=total, rest="")
        self._progress.start()

    def _show(self, pace: Pace) -> None:
        """Bring the bars up to date."""
        assert self._progress is not None
        width = max(len(name) for name in [*pace.stages, WHOLE])
        for name, bar in self._bars.items():
            if name == WHOLE:
                done = sum(one.done for one in pace.stages.values())
                rest = ", ".join(filter(None, [_clock(pace.elapsed), _time_left(pace)]))
                self._progress.update(bar, completed=done, rest=rest)
                continue
            one = pace.stages[name]
            sign = ">" if name in self._works and one.left else " "
            rest = self._rest(name, pace)
            self._progress.update(bar, completed=one.done, rest=rest, description=f"{sign} {name:<{width}}")

    def _setup(self, stage: str) -> str:
        return LOADING if stage in self._models else STARTING

    def _rest(self, stage: str, pace: Pace) -> str:
        """What a stage does, its speed and failures."""
        one = pace.stages[stage]
        speed = one.speed(pace.clock())
        parts = [self._setup(stage)] if self._works.get(stage) == "setup" and one.left else []
        parts += [f"{speed:.1f} media h/h"] if speed else []
        return ", ".join([*parts, f"{one.failed:,} failed"] if one.failed else parts)

    def _line(self, stage: str, pace: Pace) -> None:
        one = pace.stages[stage]
        said = [f"{stage}: {one.done:,} of {one.units:,}", count_of(one.videos, "videos") if one.videos else ""]
        self._timed(", ".join(filter(None, [*said, self._rest(stage, pace)])))

    def _timed(self, text: str) -> None:
        """Print a line, with the time since the run began."""
        time = f"{_clock(self._pace.elapsed)}  " if self._pace else ""
        self._console.print(f"{time}{text}", highlight=False, markup=False)


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds)))


def _time_left(pace: Pace) -> str:
    """The time that is left in words; empty while too little is known."""
    if not any(one.left for one in pace.stages.values()) or max(one.done for one in pace.stages.values()) < FEW:
        return ""
    seconds, untimed = pace.left()
    without = f", without {', '.join(untimed)}" if untimed else ""
    return f"{about(seconds)} left{without}"


def _plain(amount: float) -> str:
    """A number in figures, with a decimal where it is small."""
    return f"{amount:,.0f}" if amount >= 10 else f"{amount:,.1f}"  # noqa: PLR2004


def plan_size(plan: Plan) -> str:
    """The size of a plan, and of what is asked for of it."""
    videos, parts = plan.members.count, len(plan.parts)
    if plan.left_out:
        of_all = f"{videos + plan.videos_left_out:,} videos in {parts} of {parts + len(plan.left_out):,} parts"
        return f"{videos:,} of {of_all} (parts.limit, parts.sample; whole parts)"
    new = f", {plan.new_parts} new" if plan.new_parts else ""
    return f"{count_of(videos, 'videos')} in {count_of(parts, 'parts')}{new}"


def _nothing_to_do(stages: Sequence[StageStatus], commands: Commands) -> str:
    """What a run says that has nothing to do; the failures themselves are named at its end."""
    failed = sum(n for one in stages for code, n in one.failed.items() if code.startswith(f"{one.stage}."))
    if not failed:
        return "every stage is up to date"
    may_pass = sum(one.retryable for one in stages)
    again = f"; {may_pass:,} may pass with {commands.option('')}" if may_pass else ""
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
        kinds = {k.removeprefix(here): n for k, n in one.failed.items() if k.startswith(here)}
        kinds |= {f"frames: {k.partition(OF_FRAMES)[2]}": n for k, n in one.counts.items() if OF_FRAMES in k}
        failed = ", ".join(f"{code} {n}" for code, n in kinds.items())
        dropped = ", ".join(f"{k.removeprefix(here)} {n}" for k, n in one.dropped.items() if k.startswith(here))
        said = (Text(shown(cell)) for cell in (failed, dropped, one.why))
        table.add_row(one.stage, str(one.done), str(one.to_do), *said)
    return table
