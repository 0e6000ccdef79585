"""A worker: holds one stage, runs units of it one at a time, and classifies their failures."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Any, Literal

from pipeline import notice
from pipeline.attempts import Attempt, Attempts, note_crashes, of_device, of_the_machine, setting_up, worker_name
from pipeline.execute import Job, NotReady, run_group, run_part
from pipeline.extras import setup_problem
from pipeline.order import ContractBroken
from pipeline.profile import UnitProfile, UnitTimer, WorkerClock, keep_profile
from pipeline.store import Damaged, Mark
from stages.base import AnyStage, GroupStage, InputMissing, RunEnds, ServiceDown, Stage, StageSetupError
from storyloom.format.sample import FormatError
from storyloom.fs.cache import BYTES

LONGEST_PAUSE = 60.0
"""Most seconds that a worker waits after consecutive failures (our choice)."""

Severity = Literal["final", "machine", "upstream", "narrowed", "again"]
"""Every attempt would fail; every attempt on this machine would fail; inputs must be done again first; the next attempt
knows more; retry."""


@dataclass(frozen=True)
class Problem:
    """Why a unit was not done.

    Attributes:
        text: Message for the user.
        severity: What can be done about it.
        poisoned: Whether the process must end: a device failed in it.
        missing: The stage whose output outside its rows is missing; empty for none.
    """

    text: str
    severity: Severity
    poisoned: bool = False
    missing: str = ""


TIMES = 3
"""Times in a row that a worker brings back what a part reads and its machine's cache has removed (our choice)."""


class Worker:
    """Runs units of one stage. After a failure the stage is set up again; consecutive failures make the worker wait.

    So a worker that fails every unit quickly leaves units to others, and a retry gets a fresh stage.

    Args:
        job: The run.
        name: The stage's name.
        pause: Waits for a number of seconds; None where no other worker could take over the units.
    """

    def __init__(self, job: Job, name: str, pause: Callable[[float], None] | None = time.sleep) -> None:
        self.job = job
        self.name = name
        self._pause = pause
        self._stage: AnyStage[Any] | None = None
        self._setups = 0
        self._setup_seconds = 0.0
        self._proven = False
        self._failures = 0
        self._free_since = 0.0
        self._clock = WorkerClock()
        self._lock = Lock()
        self._in_hand: set[Attempts] = set()

    def use(self, job: Job) -> None:
        """Continue with another job, e.g. one with more results over the corpus."""
        read = job.config.graph.upstream(self.name)
        if any(job.results.get(one) != self.job.results.get(one) for one in read):
            self._stage = None  # it was set up with other results
        self.job = job

    def set_up(self) -> Problem | None:
        """Set up the stage unless it is set up; returns the problem of a failed set-up."""
        ready = self._ready()
        return ready if isinstance(ready, Problem) else None

    def _ready(self) -> AnyStage[Any] | Problem:
        """The stage after set-up; one thread at a time loads models."""
        with self._lock:
            if self._stage is not None:
                return self._stage
            began = time.perf_counter()
            try:
                with setting_up(self.job.store.files, self.job.attempts_folder(self.name)):
                    self._stage = self.job.ready_stage(self.name)
            except StageSetupError as reason:
                return Problem(setup_problem(reason), "final")
            except (OSError, MemoryError):
                raise
            except Exception as reason:
                if of_device(reason):
                    raise
                return Problem(f"{self.name} cannot start: {type(reason).__name__}: {reason}", "final")
            self._setups += 1
            self._setup_seconds = time.perf_counter() - began
            self._free_since = time.perf_counter()
            return self._stage

    def do(self, unit: str) -> Mark | Problem:
        """Bring a part or a group, by its id, up to date; a finished unit is left as it is."""
        outcome = self._do(unit)
        for _ in range(TIMES):
            missing = outcome.missing if isinstance(outcome, Problem) else ""
            if not missing or not self.job.config.stage(missing).files_stay_here:
                return outcome
            Worker(self.job, missing, self._pause).do(unit)  # no other machine can bring them back
            outcome = self._do(unit)
        if isinstance(outcome, Problem) and outcome.missing:
            text = (
                f"{outcome.text}. It did {TIMES} times, and was gone again: this machine's cache has too little room"
                f" for what its workers have in hand. Raise {BYTES}, or let {outcome.missing}.keep be until_used"
            )
            return Problem(text, "final")
        return outcome

    def _do(self, unit: str) -> Mark | Problem:
        if self._stage is None and (mark := self.job.mark(self.name, unit)) is not None:
            return mark  # its inputs were redone with the same output: no model needs to be loaded
        stage = self._ready()
        if isinstance(stage, Problem):
            return stage
        with self._clock.unit() as share:
            return self._done(unit, stage, share)

    def _done(self, unit: str, stage: AnyStage[Any], share: Callable[[], float]) -> Mark | Problem:
        """Bring a unit up to date with a stage that is set up; `share` gives the worker's seconds that fell to it."""
        attempts = self.job.attempts(self.name, unit)
        timer = UnitTimer()
        self._in_hand.add(attempts)
        try:
            attempts.begin(Attempt(worker=f"{worker_name()}#{self._setups}"))
            note_crashes(self.job.store.files)
            if isinstance(stage, GroupStage):
                attempts.ended()  # those of killed workers go with this one
                mark = run_group(self.job, stage, unit, timer)
            else:
                assert isinstance(stage, Stage)
                mark = run_part(self.job, stage, unit, attempts, timer)
        except (Damaged, InputMissing, NotReady) as reason:
            attempts.withdraw()
            self._invalidate(reason, unit)
            missing = reason.stage if isinstance(reason, InputMissing) else ""
            return Problem(f"{self.name}, {unit}: {reason}", "upstream", missing=missing)
        except (ContractBroken, FormatError, RunEnds) as reason:
            attempts.withdraw()
            return Problem(str(reason), "final")
        except ServiceDown as reason:
            attempts.withdraw()
            return Problem(f"{self.name}, {unit}: {reason}", "machine")
        except Exception as reason:  # noqa: BLE001 - every failure is recorded, reported and retried
            if notice.given.is_set():  # perhaps what the same signal did to a child
                attempts.withdraw()
                return Problem(f"{self.name}, {unit}: its process was told to end", "again")
            return self._failed(unit, attempts.fail(reason, proven=self._proven), reason)
        except BaseException:  # Ctrl-C, SIGTERM
            attempts.withdraw()
            raise
        finally:
            self._in_hand.discard(attempts)
        attempts.clear()
        self._proven, self._failures = True, 0
        self._measured(unit, stage, timer, share())
        return mark

    @property
    def busy(self) -> bool:
        """Whether units are in hand."""
        return bool(self._in_hand)

    def withdraw(self) -> None:
        """Withdraw the attempts at the units in hand, which may still end well: the process will be killed."""
        for attempts in tuple(self._in_hand):
            with suppress(OSError):  # then it is evidence of the least weight
                attempts.withdraw()

    def _failed(self, unit: str, attempt: Attempt, reason: Exception) -> Problem:
        """The problem of a failed attempt; discards the stage, which is set up again for the next unit."""
        self._stage = None
        self._failures += 1
        if self._pause is not None:
            self._pause(min(LONGEST_PAUSE, 2.0 ** (self._failures - 1) - 1))
        text = f"{self.name}, {unit}: {attempt.message}"
        if of_the_machine(reason):
            return Problem(text, "machine")
        narrowed = attempt.alone and attempt.video and attempt.evidence
        return Problem(text, "narrowed" if narrowed else "again", poisoned=of_device(reason))

    def _invalidate(self, reason: Exception, unit: str) -> None:
        """Invalidate damaged or missing inputs, so that they are done again."""
        if isinstance(reason, Damaged):
            self.job.store.invalidate(reason.address)
        elif isinstance(reason, InputMissing):
            self.job.invalidate_part(reason.stage, unit)
        else:
            self.job.invalidate_damaged(self.name, unit)

    def _measured(self, unit: str, stage: AnyStage[Any], timer: UnitTimer, share: float) -> None:
        within = stage.timings.take()
        if not self.job.config.runner.profile:
            return
        now = time.perf_counter()
        timer.seconds["wait"] += max(0.0, now - self._free_since - sum(timer.seconds.values()))
        setup, self._setup_seconds, self._free_since = self._setup_seconds, 0.0, now
        profile = UnitProfile(
            key=self.job.keys[self.name].key,
            worker=worker_name(),
            parts=len(self.job.groups.get(unit, (unit,))),
            share=share,
            seconds=timer.seconds,
            within=within,
            setup=setup,
        )
        keep_profile(self.job.store, self.name, unit, profile)
