"""Our side of the speed bench: single stages over rows that lie ready, and a whole run without loading its models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.overhead import Fresh
from benchmarks.speed.rounds import timed
from pipeline.execute import Job, live_videos
from pipeline.executors.inline import InlineRunner
from pipeline.groups import group_folder, remove_group
from pipeline.progress import Pace
from pipeline.situation import Situation
from pipeline.work import Work
from schemas.calibration import Calibration
from schemas.rows import AlignedRow, FramesRow
from stages.base import Stage, Video
from stages.registry import BY_NAME, STAGE_NAMES
from stages.sample.stage import SampleConfig
from storyloom.errors import RunFailed

VARIANTS: tuple[tuple[str, str], ...] = (
    ("sample.decode", "all"),
    ("sample.decode", "references"),
    ("sample.decode", "keyframes"),
)
"""Settings of `sample` that are measured beside the config's own, where the config has such a field."""


class Quiet:
    """A listener that nothing is told to."""

    def planned(self, before: Any, plan: Any, duplicates: int, runner: str) -> None:
        pass

    def started(self, logs: str) -> None:
        pass

    def advanced(self, done: Any) -> None:
        pass

    def finished(self, after: Any, calibration: Calibration | None, tail: Any) -> None:
        pass


class ReadyRunner(InlineRunner):
    """The inline runner; says how long its stages took to be set up."""

    setup_seconds = 0.0

    def _stage(self, job: Job, name: str) -> Stage[Any, Any]:
        found: list[Stage[Any, Any]] = []
        self.setup_seconds += timed(lambda: found.append(super(ReadyRunner, self)._stage(job, name)))
        return found[0]


@dataclass(frozen=True)
class Whole:
    """A run from videos to shards in the work folder.

    Attributes:
        seconds: Wall time, planning included, without `setup_seconds`.
        setup_seconds: Of loading models.
        situation: In the end.
    """

    seconds: float
    setup_seconds: float
    situation: Situation


def run_whole(fresh: Fresh, videos: Sequence[Path]) -> Whole:
    """Bring the videos through all stages by the inline runner, in a work folder of their own, as one part.

    Raises:
        RunFailed: A video did not get through.
    """
    settings = [*fresh.settings([str(video.absolute()) for video in videos], len(videos)), "runner.kind=inline"]
    runner = ReadyRunner()
    ended: list[Situation] = []

    def work() -> None:
        situation = fresh.situation(settings)
        ended.append(Work(frozenset(STAGE_NAMES), runner, Quiet(), Pace()).bring_up_to_date(situation))

    seconds = timed(work)
    (situation,) = ended
    for one in situation.status():
        if one.failed:
            raise RunFailed(f"{one.stage} failed on a video of the bench: {one.failed}")
    return Whole(seconds - runner.setup_seconds, runner.setup_seconds, situation)


class Ours:
    """The stages over the rows of a finished run.

    Args:
        situation: The finished run's.
    """

    def __init__(self, situation: Situation) -> None:
        self.situation = situation
        self._ready: dict[tuple[str, str], tuple[Stage[Any, Any], float]] = {}

    def seconds(self, name: str, setting: str = "", only: str = "") -> float:
        """Of a stage over all videos, as one part; the rows that it reads are in memory, and so are its own.

        Args:
            name: The stage.
            setting: An override of the config for it, e.g. ``sample.decode=all``.
            only: Key of the one video to work on; all, when empty.
        """
        videos = [video for video in self.videos(name) if only in ("", video.key)]
        stage, _ = self.ready(name, setting)
        return timed(lambda: [_checked(row) for row in stage.process(videos)])

    def setup_seconds(self, name: str, setting: str = "") -> float:
        """Of setting a stage up, once."""
        return self.ready(name, setting)[1]

    def ready(self, name: str, setting: str) -> tuple[Stage[Any, Any], float]:
        """A stage that is set up, and how long that took."""
        if (name, setting) not in self._ready:
            base = self.situation.job.config
            section = base.stage(name)
            if setting:
                key, _, value = setting.partition("=")
                section = type(section).model_validate(section.model_dump() | {key.partition(".")[2]: value})
            stage = BY_NAME[name](section, self.situation.job.context())
            self._ready[name, setting] = (stage, timed(stage.setup))
        return self._ready[name, setting]

    def videos(self, name: str) -> list[Video]:
        """The videos that get as far as a stage, with the rows that it reads."""
        job, plan = self.situation.job, self.situation.plan
        stage = BY_NAME[name](job.config.stage(name), job.context())
        return [video for part in plan.parts for video in live_videos(job, stage, part)]

    def write_seconds(self) -> float:
        """Of writing the shards, reading their frames and the disk's own writing included."""
        job, groups = self.situation.job, self._groups()
        for group in groups:
            remove_group(job, group)
        return timed(lambda: InlineRunner().write(job, groups, lambda _stage, _group: None))

    def shards(self) -> list[Path]:
        """The files that `write` wrote."""
        folders = [group_folder(self.situation.job, group) for group in self._groups()]
        return [file for folder in folders for file in sorted(folder.glob("*.tar"))]

    def jpegs_and_texts(self) -> tuple[list[bytes], list[str]]:
        """What `score` encodes: all frames, and every text once."""
        jpegs: list[bytes] = []
        texts: dict[str, None] = {}
        for video in self.videos("score"):
            jpegs += video[FramesRow].jpegs
            texts |= dict.fromkeys(sentence.text for sentence in video[AlignedRow].sentences)
            texts |= dict.fromkeys(video[AlignedRow].null_texts)
        return jpegs, list(texts)

    def _groups(self) -> dict[str, tuple[str, ...]]:
        return dict(self.situation.plan.groups(self.situation.job.config.parts.group).items())


def variants() -> list[str]:
    """The overrides among `VARIANTS` whose field `sample` has."""
    known = [(key, value) for key, value in VARIANTS if key.partition(".")[2] in SampleConfig.model_fields]
    return [f"{key}={value}" for key, value in known]


def _checked(row: Any) -> Any:
    if row.error:
        raise RunFailed(f"{row.error.stage} failed on a video of the bench: {row.error.message}")
    return row
