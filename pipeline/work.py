"""The work of a run: wave after wave, and what may go on beside a wave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from pipeline.config import RunConfig
from pipeline.execute import Job
from pipeline.executors.background import Background
from pipeline.executors.executor import Runner
from pipeline.listener import Listener
from pipeline.progress import Pace, advance
from pipeline.situation import Situation
from pipeline.tallies import tally
from pipeline.waves import longest_first, waves
from stages.registry import ROW_STAGES, WRITE
from storyloom.errors import RunFailed

CALIBRATED = "filter"
"""The stage that waits for the calibration, and with it the writing."""


@dataclass
class Work:
    """The work of a run: wave after wave, and what may go on beside a wave."""

    selected: frozenset[str]
    runner: Runner
    listener: Listener
    pace: Pace

    def bring_up_to_date(self, situation: Situation) -> Situation:
        """Do what is to do; the situation in the end knows the calibration.

        While a wave goes through the models, the next one is downloaded and the last one filtered and written.
        """
        names = [stage.name for stage in ROW_STAGES if stage.name in self.selected and stage.name != CALIBRATED]
        config = situation.job.config
        groups = list(situation.plan.groups(config.parts.group).items())
        order = list(waves(situation.plan.parts, config.parts.group))
        ahead, behind = Background(), Background()
        for number, wave in enumerate(order):
            ahead.join()
            if self.runner.overlaps and "download" in names and number + 1 < len(order):
                ahead.start(partial(self._rows, situation, ["download"], order[number + 1]))
            self._rows(situation, names, wave)
            situation = situation.calibrated()
            size = -(-len(wave) // config.parts.group)
            taken, groups = groups[:size], groups[size:]
            finish = partial(self._finish, situation, wave, dict(taken))
            if self.runner.overlaps:
                behind.start(finish)
            else:
                finish()
            for name in names:  # all of them, so that `status` finds their marks read whenever this run ends
                so_far = tally(situation.job.store, name, situation.job.digests[name], wave)
                check_failures(config, so_far.failed, so_far.videos)
        behind.join()
        return situation

    def _rows(self, situation: Situation, names: list[str], parts: Sequence[str]) -> None:
        _describe(situation, set(names))
        job = situation.job
        if names:
            self.runner.rows(job, names, longest_first(job, parts), partial(self._advanced, job))

    def _finish(self, situation: Situation, parts: Sequence[str], groups: dict[str, tuple[str, ...]]) -> None:
        """What needs the calibration: filter parts and write their groups."""
        last = [CALIBRATED] if CALIBRATED in self.selected and CALIBRATED in situation.found else []
        self._rows(situation, last, parts)
        if WRITE in self.selected and WRITE in situation.found:
            _describe(situation, {WRITE})
            self.runner.write(situation.job, groups, partial(self._advanced, situation.job))

    def _advanced(self, job: Job, stage: str, unit: str) -> None:
        done = advance(job, stage, unit)
        self.pace.add(done)
        self.listener.advanced(done)


def check_failures(config: RunConfig, failed: dict[str, int], videos: int) -> None:
    """Refuse to go on, or to call it success, when too many videos failed."""
    if sum(failed.values()) > config.runner.max_failed_share * videos:
        raise RunFailed(
            f"{sum(failed.values())} of {videos} videos failed, a larger share than runner.max_failed_share"
            f" ({config.runner.max_failed_share:g}) allows: {counted(failed)}. Nothing was published; what is done is"
            " kept. docs/errors.md says what each code means"
        )


def counted(reasons: dict[str, int]) -> str:
    """Reasons with how often each came, the most frequent first."""
    return ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items(), key=lambda one: (-one[1], one)))


def _describe(situation: Situation, names: set[str]) -> None:
    for name in sorted(names):
        fingerprint = situation.found[name]
        situation.job.store.describe(name, fingerprint.digest, fingerprint.ingredients)
