"""What a part costs around its stages: the runners against a plain loop, on real media and on nothing."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from pipeline.config import load_config
from pipeline.execute import Job
from pipeline.executors.executor import Runner
from pipeline.executors.inline import InlineRunner
from pipeline.plan import part_rows
from pipeline.situation import Situation, survey
from pipeline.waves import waves
from schemas.row import Row
from stages.base import Video, passed_on
from stages.media import ffmpeg
from stages.registry import ROW_STAGES, STAGE_NAMES

HOWS = ("loop", "inline", "ray")
"""A plain loop that calls the stages and keeps their rows in memory; the runners."""

EMPTY_STAGES = ("download", "sample")
"""Stages of the empty work: the first finds no file, the second passes that on. Neither has a model to load."""

CLIP_SECONDS = 8.0
"""Length of the pieces of the demo's video; each is a part of its own (our choice: about two sentences)."""

NO_CALIBRATION = "filter.threshold=0.0"
"""All stages can go through a part at once; the calibration would have them wait for each other."""


@dataclass(frozen=True)
class Work:
    """The same parts brought through the same stages by a loop or a runner; the fastest of the rounds.

    Attributes:
        what: The work.
        how: One of `HOWS`.
        parts: How many.
        videos: Per part.
        stages: How many.
        one_seconds: Of one part alone in a fresh work folder: loading models and starting workers is in it.
        all_seconds: Of all parts in another fresh work folder, the same start-up included.
    """

    what: str
    how: str
    parts: int
    videos: int
    stages: int
    one_seconds: float
    all_seconds: float

    @property
    def further_seconds(self) -> float:
        """What the parts after the first one took."""
        return self.all_seconds - self.one_seconds

    @property
    def milliseconds(self) -> float:
        """Of these, for one part through one stage."""
        return 1000 * self.further_seconds / (self.parts - 1) / self.stages


class Fresh:
    """Configs with a manifest and a work folder of their own."""

    def __init__(self, config: Path, overrides: Sequence[str], scratch: Path) -> None:
        self.config = config
        self._overrides = overrides
        self._scratch = scratch
        self._number = count()

    def settings(self, lines: Sequence[str], videos: int) -> list[str]:
        """Overrides of the config for a manifest of these lines, so many videos a part."""
        folder = self._scratch / f"{next(self._number):03d}"
        folder.mkdir()
        (folder / "list.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        places = [f"manifest={folder / 'list.txt'}", f"work={folder / 'work'}", f"output={folder / 'out'}"]
        return [*self._overrides, NO_CALIBRATION, f"parts.videos={videos}", *places]

    def situation(self, settings: Sequence[str]) -> Situation:
        """What is planned."""
        return survey(load_config(self.config, settings), frozenset(STAGE_NAMES))


def cut_clips(video: Path, clips: int, folder: Path) -> list[Path]:
    """Pieces of the demo's video from evenly spaced places, encoded anew."""
    seconds = json.loads(video.with_suffix(".gt.json").read_bytes())["duration"]
    folder.mkdir()
    found = []
    for number in range(clips):
        start = number * (seconds - CLIP_SECONDS) / max(1, clips - 1)
        found.append(folder / f"{number:04d}.mp4")
        cut = ["-ss", f"{start:.3f}", "-t", str(CLIP_SECONDS), "-i", str(video), str(found[-1])]
        subprocess.run([ffmpeg.program(), "-nostdin", "-v", "error", *cut], check=True)  # noqa: S603
    return found


def on_clips(fresh: Fresh, how: str, clips: Sequence[Path], rounds: int) -> Work:
    """Real media and models through all row stages, a clip a part; the fastest of the rounds."""
    stages = [stage.name for stage in ROW_STAGES]
    lines = [str(clip.absolute()) for clip in clips]
    one = min(_seconds(fresh, how, lines[:1], 1, stages) for _ in range(rounds))
    every = min(_seconds(fresh, how, lines, 1, stages) for _ in range(rounds))
    return Work("clips", how, len(clips), 1, len(stages), one, every)


def on_nothing(fresh: Fresh, how: str, parts: int, videos: int) -> Work:
    """Files that are not there: all that happens is what happens around a stage."""
    lines = [f"missing/{number:07d}.mp4" for number in range(parts * videos)]
    one = _seconds(fresh, how, lines[:videos], videos, EMPTY_STAGES)
    every = _seconds(fresh, how, lines, videos, EMPTY_STAGES)
    return Work("nothing", how, parts, videos, len(EMPTY_STAGES), one, every)


def session(how: str) -> AbstractContextManager[object]:
    """What has to be there while something is run: Ray, or nothing."""
    if how != "ray":
        return nullcontext()
    from pipeline.executors.ray_session import ray_session

    return ray_session("")


def _seconds(fresh: Fresh, how: str, lines: Sequence[str], videos: int, stages: Sequence[str]) -> float:
    """Wall time of bringing a manifest's parts through stages, in waves as a run does; planning is left out."""
    situation = fresh.situation(fresh.settings(lines, videos))
    job, parts = situation.job, situation.plan.parts
    if how == "loop":
        manifests = [[Video(row, []) for row in part_rows(job.store.plan, part)] for part in parts]
        start = time.monotonic()
        _loop(job, stages, manifests)
    else:
        runner = _runner(how, stages)
        start = time.monotonic()
        for wave in waves(parts, job.config.parts.group):
            runner.rows(job, stages, wave, lambda _stage, _part: None)
    return time.monotonic() - start


def _loop(job: Job, stages: Sequence[str], parts: Sequence[Sequence[Video]]) -> None:
    """The stages as a script would call them: nothing is stored, checked or done again."""
    ready = [job.ready_stage(name) for name in stages]
    for videos in parts:
        rows: dict[str, list[Row]] = {}
        for stage in ready:
            read = [rows[source.stage] for source in stage.reads]
            joined = [Video(video.manifest, [by[i] for by in read]) for i, video in enumerate(videos)]
            ended = {video.key: row for video in joined if (row := passed_on(stage, video)) is not None}
            worked = {row.video: row for row in stage.process(video for video in joined if video.key not in ended)}
            rows[stage.name] = [(ended | worked)[video.key] for video in videos]


def _runner(how: str, stages: Sequence[str]) -> Runner:
    if how == "inline":
        return InlineRunner()
    from pipeline.executors.ray import RayRunner

    return RayRunner(stages)
