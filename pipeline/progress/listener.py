"""Callbacks for the progress of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pipeline.plan import Plan
from pipeline.status import StageStatus
from pipeline.workspace import Workspace
from storyloom.format.model import Model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.attempts import Doing
    from pipeline.failures import Failure
    from pipeline.progress.estimate import Estimate
    from pipeline.progress.pace import Pace


@dataclass(frozen=True)
class Advance:
    """A unit that a stage finished.

    Attributes:
        stage: The stage's name.
        unit: Id of the part or group.
        videos: Videos in it; 0 for groups.
        failed: Videos that failed in this stage.
        seconds: Seconds of media; 0.0 for groups.
    """

    stage: str
    unit: str
    videos: int = 0
    failed: int = 0
    seconds: float = 0.0


class Listener(Protocol):
    """Receives the progress of a run, e.g. to show it on a terminal."""

    def planned(self, before: Sequence[StageStatus], plan: Plan, told: Sequence[str], executor: str) -> None:
        """The plan is made; nothing has run yet. `told` is what was passed over or changed in the manifest."""

    def started(self, logs: str, pace: Pace) -> None:
        """The executor started; `logs` is the location of its logs, empty without any; `pace` is kept up to date."""

    def works(self, now: Mapping[str, Doing]) -> None:
        """What the stages do at this moment, those that do nothing left out; called about once a second."""

    def estimated(self, found: Estimate) -> None:
        """What all parts will come to; called now and then, less and less."""

    def advanced(self, done: Advance) -> None:
        """A unit of a stage is done; called from several threads."""

    def noted(self, sentence: str) -> None:
        """Something that the user should know."""

    def failed(self, first: Sequence[Failure], total: int) -> None:
        """The run is over, also by an interruption or an error; `first` are some of all the failures."""

    def finished(self, after: Sequence[StageStatus], results: Mapping[str, Model]) -> None:
        """All selected stages are done; `results` are those of the corpus steps."""


def advance(workspace: Workspace, stage: str, unit: str) -> Advance:
    """The progress event of a finished unit."""
    if unit in workspace.job.groups:
        return Advance(stage, unit)
    job, lines = workspace.job, workspace.lines[unit]
    address = job.lineage(job.remembered).address_of_part(stage, unit, lines)
    if address is None or (mark := job.store.mark(address)) is None:
        return Advance(stage, unit)
    failed = sum(count for code, count in mark.failed.items() if code.startswith(f"{stage}."))
    return Advance(stage, unit, mark.videos, failed, job.media_seconds(unit, lines))
