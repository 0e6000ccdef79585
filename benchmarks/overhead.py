"""The overhead per part: runs compared with a plain loop, on real media and on empty work."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from pipeline.bench.finished import run_silently
from pipeline.config import RunConfig, load_config
from schemas.manifest import ManifestRow
from schemas.row import Row
from stages.base import Context, Stage, Video, passed_on
from stages.media import ffmpeg
from storyloom.fs.files import files_at

MODES = ("loop", "inline", "ray")
"""A plain loop that calls the stages and keeps their rows in memory; runs with each kind of runner."""

EMPTY_STAGES = ("download", "sample")
"""Stages of the empty work: the first finds no file, the second passes the error on. Neither loads a model."""

CLIP_SECONDS = 8.0
"""Length of the pieces of the demo's video; each is a part of its own (our choice: about two sentences)."""

SETTINGS = ("filter.threshold=0.0", "runner.max_failed_share=1.0")
"""Without calibration all stages can process a part in one pass; missing files must not end a run."""


@dataclass(frozen=True)
class PartsTiming:
    """Wall time of parts through stages, by a loop or a run; the fastest round.

    Attributes:
        what: The work: ``clips`` or ``nothing``.
        mode: One of `MODES`.
        parts: Number of parts.
        videos: Number per part.
        stages: Number of stages.
        one_seconds: Of one part alone in a fresh work folder, with planning, loading of models and start of workers,
            including Ray's.
        all_seconds: Of all parts in another fresh work folder, with the same start-up.
    """

    what: str
    mode: str
    parts: int
    videos: int
    stages: int
    one_seconds: float
    all_seconds: float

    @property
    def further_seconds(self) -> float:
        """Wall time of the parts after the first one."""
        return self.all_seconds - self.one_seconds

    @property
    def milliseconds(self) -> float:
        """Wall time of one part after the first in one stage, in ms."""
        return 1000 * self.further_seconds / (self.parts - 1) / self.stages


class Fresh:
    """Makes configs with their own manifest and work folder.

    Args:
        config: Config file with models and settings.
        overrides: Of the config.
        scratch: An existing folder.
    """

    def __init__(self, config: Path, overrides: Sequence[str], scratch: Path) -> None:
        self.config = config
        self._overrides = overrides
        self._scratch = scratch
        self._number = count()

    def settings(self, lines: Sequence[str], videos: int) -> list[str]:
        """Write a manifest of these lines; returns the config's overrides for it, with `videos` videos per part."""
        folder = self._scratch / f"{next(self._number):03d}"
        folder.mkdir()
        (folder / "list.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        places = [f"manifest={folder / 'list.txt'}", f"work={folder / 'work'}", f"output={folder / 'out'}"]
        return [*self._overrides, *SETTINGS, f"parts.videos={videos}", *places]


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


def on_clips(fresh: Fresh, mode: str, clips: Sequence[Path], rounds: int) -> PartsTiming:
    """Time real media through all row stages with the config's models, one clip per part.

    Raises:
        RunFailed: A stage failed on a clip.
    """
    graph = load_config(fresh.config, fresh.settings([], 1)).graph
    stages = [name for name in graph.names if name not in (*graph.group_stages, *graph.corpus_steps)]
    lines = [str(clip.absolute()) for clip in clips]
    one = min(_seconds(fresh, mode, fresh.settings(lines[:1], 1), stages) for _ in range(rounds))
    every = min(_seconds(fresh, mode, fresh.settings(lines, 1), stages) for _ in range(rounds))
    return PartsTiming("clips", mode, len(clips), 1, len(stages), one, every)


def on_nothing(fresh: Fresh, mode: str, parts: int, videos: int) -> tuple[PartsTiming, list[str]]:
    """Time missing files through `EMPTY_STAGES`, which measures the overhead around stages alone.

    Returns:
        The timing, and the config's overrides for the parts, which are finished in these stages unless run by the loop.
    """
    lines = [f"missing/{number:07d}.mp4" for number in range(parts * videos)]
    one = _seconds(fresh, mode, fresh.settings(lines[:videos], videos), EMPTY_STAGES)
    settings = fresh.settings(lines, videos)
    every = _seconds(fresh, mode, settings, EMPTY_STAGES)
    return PartsTiming("nothing", mode, parts, videos, len(EMPTY_STAGES), one, every), settings


def _seconds(fresh: Fresh, mode: str, settings: Sequence[str], stages: Sequence[str]) -> float:
    """Wall time of bringing a manifest through stages."""
    config = load_config(fresh.config, [*settings, f"runner.kind={'inline' if mode == 'loop' else mode}"])
    start = time.monotonic()
    if mode == "loop":
        _loop(config, stages)
    else:
        run_silently(config, stages, failures=stages == EMPTY_STAGES)
    return time.monotonic() - start


def _loop(config: RunConfig, stages: Sequence[str]) -> None:
    """Call the stages as a script would, without storing, checking or retrying."""
    media = Path(config.work)
    media.mkdir()
    ready: list[Stage[Any, Any]] = []
    for name in stages:
        stage = config.graph.stages[name](config.stage(name), Context(config.seed, files_at(media)))
        assert isinstance(stage, Stage)
        stage.setup()
        ready.append(stage)
    urls = Path(config.manifest).read_text(encoding="utf-8").splitlines()
    lines = [ManifestRow(video=f"{n:020x}", url=url, source_id=url) for n, url in enumerate(urls)]
    for begin in range(0, len(lines), config.parts.videos):
        part = lines[begin : begin + config.parts.videos]
        rows: dict[str, list[Row]] = {}
        for stage in ready:
            read = [rows[source.stage] for source in config.graph.inputs[stage.name]]
            joined = [Video(line, [by[i] for by in read]) for i, line in enumerate(part)]
            ended = {video.key: row for video in joined if (row := passed_on(stage, video)) is not None}
            worked = {row.video: row for row in stage.process(video for video in joined if video.key not in ended)}
            rows[stage.name] = [(ended | worked)[line.video] for line in part]
