"""The inline executor: everything in this process, one unit after the other. For tests, debugging and small jobs."""

from __future__ import annotations

from collections import defaultdict

from pipeline.executors.executor import ATTEMPTS, OnDone, UnitsMissing
from pipeline.notice import ending_before_sigterm
from pipeline.worker import Problem, Worker
from pipeline.workspace import Work, Workspace
from storyloom.errors import RunFailed

IN_A_ROW = 5
"""Consecutive failed units of a stage after which the run ends with a fault of the machine (our choice)."""

ROUNDS = 40
"""Most rounds over the missing units: enough to narrow every failure of a part to its videos (our choice)."""


class InlineExecutor:
    """Brings each unit through all its stages before the next one starts; failed units are retried after the others."""

    overlaps = False

    def __init__(self) -> None:
        self._workers: dict[tuple[str, str], Worker] = {}
        self._failed: dict[str, set[str]] = defaultdict(set)

    def run(self, workspace: Workspace, work: Work, on_done: OnDone) -> None:
        """See `Executor.run`."""
        barren = 0
        problem: Problem | None = None
        for _ in range(ROUNDS):
            missing = workspace.missing(work)
            if not any(missing.values()):
                return
            problem, went_on = self._round(workspace, work, missing, on_done)
            barren = 0 if went_on else barren + 1
            if barren == ATTEMPTS:
                break
        message = problem.text if problem else "units come undone while others are done"
        raise UnitsMissing(message, upstream=problem is None or problem.severity == "upstream")

    def _round(
        self, workspace: Workspace, work: Work, missing: dict[str, set[str]], on_done: OnDone
    ) -> tuple[Problem | None, bool]:
        """Try every missing unit once; returns the last problem, and whether the round made progress."""
        last: Problem | None = None
        went_on = False
        for unit in dict.fromkeys(unit for units in work.values() for unit in units):
            for name in work:
                if unit not in missing[name]:
                    continue
                with ending_before_sigterm(workspace.config.runner.grace_seconds):
                    outcome = self._worker(workspace, name).do(unit)
                if isinstance(outcome, Problem):
                    last = outcome
                    went_on |= outcome.severity == "narrowed"
                    self._give_up_early(outcome, name, unit)
                    break
                self._failed.pop(name, None)
                went_on = True
                on_done(name, unit)
        return last, went_on

    def _give_up_early(self, problem: Problem, name: str, unit: str) -> None:
        if problem.severity == "final":
            raise RunFailed(problem.text)
        if problem.severity == "machine":
            raise RunFailed(f"{problem.text}. Nothing is lost: mend that and run again")
        self._failed[name].add(unit)
        if len(self._failed[name]) == IN_A_ROW:
            message = f"{IN_A_ROW} parts in a row failed. Last: {problem.text}"
            raise UnitsMissing(message, upstream=problem.severity == "upstream")

    def _worker(self, workspace: Workspace, name: str) -> Worker:
        """The stage's worker, set up once for all waves of the run."""
        key = (name, workspace.job.keys[name].key)
        if key not in self._workers:
            self._workers[key] = Worker(workspace.job, name, pause=None)
        worker = self._workers[key]
        worker.use(workspace.job)
        return worker
