"""Runs whose rows are read afterwards: the benches' only access to the machine."""

from __future__ import annotations

from collections.abc import Collection

from pipeline.config import RunConfig
from pipeline.run import Selection, run
from pipeline.workspace import survey
from schemas.row import Row
from stages.base import Context, Stage, Video
from storyloom.errors import RunFailed


class FinishedRun:
    """The rows of a finished run.

    Args:
        config: The run's.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self._workspace = survey(config)

    @property
    def context(self) -> Context:
        """The context of the run's stages."""
        return self._workspace.job.context

    def setup_seconds(self) -> float:
        """Seconds of the stages' set-up in a profiled run."""
        return sum(one.setup for one in self._workspace.job.profiles())

    def videos(self, *stages: str) -> list[Video]:
        """All videos in the plan's order, with their rows of these stages."""
        return [
            Video(line, rows)
            for part in self._workspace.plan.parts
            for line, *rows in zip(
                self._workspace.lines[part],
                *(self._workspace.rows(name, part, self._row(name)) for name in stages),
                strict=True,
            )
        ]

    def _row(self, name: str) -> type[Row]:
        stage = self.config.graph.stages[name]
        assert issubclass(stage, Stage)
        return stage.row


def run_silently(config: RunConfig, stages: Collection[str] = (), *, failures: bool = False) -> None:
    """Bring the stages, all of them when none is named, up to date.

    Raises:
        RunFailed: The run failed or, unless `failures` are expected, a stage failed on a video.
    """
    for one in run(config, Selection(tuple(stages)), _Silent()):
        if one.failed and not failures:
            raise RunFailed(f"{one.stage} failed on a video of the bench: {one.failed}")


class _Silent:
    """A listener that ignores all callbacks."""

    def planned(self, before: object, plan: object, told: object, executor: str) -> None:
        pass

    def started(self, logs: str, pace: object) -> None:
        pass

    def advanced(self, done: object) -> None:
        pass

    def works(self, now: object) -> None:
        pass

    def estimated(self, found: object) -> None:
        pass

    def noted(self, sentence: str) -> None:
        pass

    def failed(self, first: object, total: int) -> None:
        pass

    def finished(self, after: object, results: object) -> None:
        pass
