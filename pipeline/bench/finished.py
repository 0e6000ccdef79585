"""Runs whose rows are read afterwards: all that the benches know of the machine."""

from __future__ import annotations

from collections.abc import Collection

from pipeline.config import RunConfig
from pipeline.plan import part_rows
from pipeline.run import Selection, run
from pipeline.situation import survey
from stages.base import Context, Video
from stages.registry import BY_NAME, STAGE_NAMES
from storyloom.errors import RunFailed


class FinishedRun:
    """The rows of a run that is over.

    Args:
        config: The run's.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self._situation = survey(config)

    @property
    def context(self) -> Context:
        """The context that the run gave to its stages."""
        return self._situation.job.context()

    def videos(self, *stages: str) -> list[Video]:
        """All videos in the plan's order, with their rows of these stages."""
        store, digests = self._situation.job.store, self._situation.job.digests
        return [
            Video(line, rows)
            for part in self._situation.plan.parts
            for line, *rows in zip(
                part_rows(store.plan, part),
                *(store.rows(name, digests[name], part, BY_NAME[name].row) for name in stages),
                strict=True,
            )
        ]


def run_silently(config: RunConfig, stages: Collection[str] = STAGE_NAMES, *, failures: bool = False) -> None:
    """Bring the stages up to date and print nothing.

    Raises:
        RunFailed: The run failed or, unless `failures` are expected, a stage failed on a video.
    """
    for one in run(config, Selection(frozenset(stages)), _Silent()):
        if one.failed and not failures:
            raise RunFailed(f"{one.stage} failed on a video of the bench: {one.failed}")


class _Silent:
    """A listener that says nothing."""

    def planned(self, before: object, plan: object, duplicates: int, runner: str) -> None:
        pass

    def started(self, logs: str) -> None:
        pass

    def advanced(self, done: object) -> None:
        pass

    def finished(self, after: object, calibration: object, tail: object) -> None:
        pass
