"""Our side of the speed bench: single stages over the rows of a finished run, and a whole run without its set-up."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.overhead import Fresh
from benchmarks.speed.rounds import timed
from pipeline.bench.finished import FinishedRun, run_silently
from pipeline.config import RunConfig, load_config
from schemas.rows import AlignedRow, DocumentsRow, FramesRow
from stages.base import Stage, Video
from stages.write.stage import VideoDocuments, WriteConfig, write_group
from storyloom.errors import RunFailed

DECODES = ("all", "references", "keyframes")
"""Values of `sample.decode` that are measured beside the config's own."""


@dataclass(frozen=True)
class WholeRun:
    """A run from videos to shards.

    Attributes:
        config: The run's.
        seconds: Wall time, with planning, without `setup_seconds`.
        setup_seconds: Wall time of the stages' set-up: loading libraries and models.
    """

    config: RunConfig
    seconds: float
    setup_seconds: float


def run_whole(fresh: Fresh, videos: Sequence[Path]) -> WholeRun:
    """Run all stages over the videos in this process, in a fresh work folder, as one part.

    Raises:
        RunFailed: A video failed.
    """
    settings = fresh.settings([str(video.absolute()) for video in videos], len(videos))
    config = load_config(fresh.config, [*settings, "runner.kind=inline"])
    config = config.model_copy(update={"runner": config.runner.model_copy(update={"profile": True})})
    seconds = timed(lambda: run_silently(config))
    setup = FinishedRun(config).setup_seconds()
    return WholeRun(config, seconds - setup, setup)


class Ours:
    """The stages over the rows of a finished run.

    Args:
        config: The run's.
    """

    def __init__(self, config: RunConfig) -> None:
        self._run = FinishedRun(config)
        self._ready: dict[tuple[str, ...], tuple[Stage[Any, Any], float]] = {}

    def seconds(self, name: str, only: str = "", **settings: str) -> float:
        """Wall time of a stage over all videos, as one part; its inputs and outputs are in memory.

        Args:
            name: The stage.
            only: Key of the one video to work on; all, when empty.
            settings: Fields of the stage's config that differ from the run's, e.g. ``decode="all"``.
        """
        videos = [video for video in self.videos(name) if only in ("", video.key)]
        stage, _ = self._set_up(name, settings)
        return timed(lambda: [_checked(row) for row in stage.process(videos)])

    def setup_seconds(self, name: str) -> float:
        """Wall time of setting a stage up, once."""
        return self._set_up(name, {})[1]

    def _set_up(self, name: str, settings: dict[str, str]) -> tuple[Stage[Any, Any], float]:
        """A stage after set-up, and the seconds of the set-up."""
        key = (name, *settings.values())
        if key not in self._ready:
            section = self._run.config.stage(name)
            section = type(section).model_validate(section.model_dump() | settings)
            stage = self._run.config.graph.stages[name](section, self._run.context)
            assert isinstance(stage, Stage)
            self._ready[key] = (stage, timed(stage.setup))
        return self._ready[key]

    def videos(self, name: str) -> list[Video]:
        """The live videos of a stage, with its input rows."""
        reads = [source.stage for source in self._run.config.graph.inputs[name] if source.stage != "calibrate"]
        return [video for video in self._run.videos(*reads) if video.halted() is None]

    def write_seconds(self, folder: Path) -> float:
        """Wall time of writing the shards into a fresh folder; the documents and their frames are in memory."""
        documents = self._documents()
        config = self._run.config
        with tempfile.TemporaryDirectory(dir=folder) as target:
            return timed(lambda: write_group(documents, Path(target), config.section(WriteConfig), config.seed))

    def shards(self) -> list[Path]:
        """The files that the run wrote."""
        return sorted(Path(self._run.config.output).rglob("*.tar"))

    def jpegs_and_texts(self) -> tuple[list[bytes], list[str]]:
        """The JPEGs and texts that `score` encodes: all frames, and every text once."""
        jpegs: list[bytes] = []
        texts: dict[str, None] = {}
        for video in self.videos("score"):
            jpegs += video[FramesRow].jpegs
            texts |= dict.fromkeys(sentence.text for sentence in video[AlignedRow].sentences)
            texts |= dict.fromkeys(video[AlignedRow].null_texts)
        return jpegs, list(texts)

    def _documents(self) -> list[VideoDocuments]:
        found = [video for video in self._run.videos("filter", "sample") if video.halted() is None]
        return [VideoDocuments(one.manifest, one[DocumentsRow], partial(one.__getitem__, FramesRow)) for one in found]


def _checked(row: Any) -> Any:
    if row.error:
        raise RunFailed(f"{row.error.stage} failed on a video of the bench: {row.error.message}")
    return row
