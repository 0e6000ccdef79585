"""Runs of the whole pipeline for tests, and what came out of them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.attempts import Doing
from pipeline.config import RunConfig, load_config
from pipeline.failures import Failure
from pipeline.plan import Plan
from pipeline.progress.estimate import Estimate
from pipeline.progress.listener import Advance
from pipeline.progress.pace import Pace
from pipeline.run import Selection, run
from pipeline.status import StageStatus
from pipeline.workspace import Workspace, survey
from schemas.row import Row
from stages.base import Stage
from stages.media import ffmpeg
from storyloom.format.model import Model
from storyloom.fs.files import files_at

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"
NARRATED = ROOT / "demo" / "narrated.mp4"
TRUTH = json.loads((ROOT / "demo" / "narrated.gt.json").read_text())

EVERYTHING = Selection()

CLIPS = (0.0, 9.0, 18.0, 27.0)
"""Where the clips of `clips_run` begin in the demo's video, in seconds."""

CLIP_SECONDS = 24.0
"""Long enough for unrelated pairs: a frame and a sentence more than 10 s apart."""

CLIP_SETTINGS = (
    "parts.videos=1",
    "parts.group=2",
    "filter.min_words=1",
    "write.shard_bytes=60000",
    "runner.kind=inline",
)
"""A part a video, two of them a group, groups that end in the middle of a shard."""


@dataclass
class Recorder:
    """A listener that remembers what it was told."""

    to_do: dict[str, int] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    done: list[tuple[str, str]] = field(default_factory=list)
    new_parts: int = 0
    told: Sequence[str] = ()
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    failures_in_all: int = 0

    def planned(self, before: Sequence[StageStatus], plan: Plan, told: Sequence[str], executor: str) -> None:
        del executor
        self.to_do = {one.stage: one.to_do for one in before}
        self.why = {one.stage: one.why for one in before}
        self.new_parts = plan.new_parts
        self.told = told

    def started(self, logs: str, pace: Pace) -> None:
        pass

    def advanced(self, done: Advance) -> None:
        self.done.append((done.stage, done.unit))

    def works(self, now: Mapping[str, Doing]) -> None:
        pass

    def estimated(self, found: Estimate) -> None:
        pass

    def noted(self, sentence: str) -> None:
        self.notes.append(sentence)

    def failed(self, first: Sequence[Failure], total: int) -> None:
        self.failures = [f"{one.name} {one.stage}.{one.code} {one.attempts}" for one in first]
        self.failures_in_all = total

    def finished(self, after: Sequence[StageStatus], results: Mapping[str, Model]) -> None:
        pass

    @property
    def ran(self) -> set[str]:
        return {stage for stage, _ in self.done}


def demo_config(folder: Path, *overrides: str) -> RunConfig:
    """configs/demo.yaml with its folders under `folder`."""
    places = [f"manifest={ROOT / 'demo' / 'videos.txt'}", f"work={folder / 'work'}", f"output={folder / 'out'}"]
    return load_config(ROOT / "configs" / "demo.yaml", [*places, *overrides])


def run_quietly(config: RunConfig, selection: Selection = EVERYTHING) -> Recorder:
    recorder = Recorder()
    run(config, selection, recorder)
    return recorder


@dataclass(frozen=True)
class Finished:
    """A run that is over."""

    config: RunConfig

    @property
    def workspace(self) -> Workspace:
        return survey(self.config)

    def documents(self) -> list[dict[str, Any]]:
        """The JSON of every document in the shards, in order."""
        found = []
        for shard in sorted(Path(self.config.output).glob("data/*/*.tar")):
            with tarfile.open(shard) as tar:
                for member in tar:
                    content = tar.extractfile(member)
                    if member.name.endswith(".json") and content is not None:
                        found.append(json.loads(content.read()))
        return found

    def rows(self, stage: str) -> dict[str, Row]:
        """The rows of a stage, by the manifest's url."""
        workspace = self.workspace
        model = workspace.config.graph.stages[stage]
        assert issubclass(model, Stage)
        return {
            line.url: row
            for part in workspace.plan.parts
            for line, row in zip(workspace.lines[part], workspace.rows(stage, part, model.row), strict=True)
        }


def content_of(folder: str | Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by path.

    Left out are media, which are links, manifests, which name the machine's folders, summaries, which have times,
    answers, which stand together as they came, attempts and failures, and what was merged for one output or published.

    Args:
        folder: Its path, or the URL of one in a store.
    """
    without = {"media", "manifests", "summaries", "answers", "attempts", "rests", "published"}
    without |= {"failures.parquet", "speeds.json"}
    if "://" in str(folder):
        there = files_at(folder)
        names = [one.name for one in there.tree() if not without & set(one.name.split("/"))]
        return {name: hashlib.sha256(there.read(name)).hexdigest() for name in names}
    files = sorted(file for file in Path(folder).rglob("*") if file.is_file())
    kept = [file for file in files if not without & set(file.relative_to(folder).parts)]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in kept}


def copy_of(finished: Finished, folder: Path, *overrides: str) -> Finished:
    """The folder of a run (`clips`, `work`, `out`) in another place, with further settings; nothing is shared."""
    before = Path(finished.config.work).parent
    shutil.copytree(before, folder, symlinks=True, dirs_exist_ok=True)
    return Finished(demo_config(folder, f"manifest={folder / 'clips'}", *CLIP_SETTINGS, *overrides))


def made_by_run(config: RunConfig, selection: Selection = EVERYTHING) -> dict[str, list[str]]:
    """The units that a run really makes, by stage; those that it finds done, though it did not know, are left out."""
    before = _marks(config)
    run_quietly(config, selection)
    found: dict[str, list[str]] = {}
    for mark in sorted(_marks(config) - before):
        found.setdefault(mark[0], []).append(mark[1])
    return found


def _marks(config: RunConfig) -> set[tuple[str, str, int]]:
    """Stage, unit and time of each mark."""
    marks = "[!m]*/*/*.*.json"  # which are none of the media's records
    files = Path(config.work).glob(marks)
    return {(file.parts[-3], file.name.split(".")[0], file.stat().st_mtime_ns) for file in files}


FOR_FULL_DISKS = (
    sys.executable,
    "-c",
    "from pipeline import preflight; preflight.LEAST_ROOM = 0; from pipeline.cli import main; main()",
)
"""The command line without its look at the room on a disk, which would refuse one that is about to be full."""


def command(config: RunConfig, name: str, *options: str) -> list[str]:
    """A command line with a config's folders, as a user writes it."""
    places = [f"{key}={getattr(config, key)}" for key in ("manifest", "work", "output")]
    settings = [part for setting in [*places, *CLIP_SETTINGS] for part in ("--set", setting)]
    return [sys.executable, "-m", "pipeline.cli", name, str(ROOT / "configs" / "demo.yaml"), *settings, *options]


def ended(command: list[str], **environment: str) -> tuple[int, str]:
    """Exit code of a command, and everything that it printed."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=280,
    )
    return done.returncode, done.stdout


def clip(target: Path, start: float, seconds: float, *options: str) -> Path:
    """A piece of the demo video, encoded again, so that it starts where it is said."""
    arguments = ["-v", "error", "-ss", str(start), "-t", str(seconds), "-i", str(NARRATED), *options]
    subprocess.run([ffmpeg.program(), "-nostdin", "-y", *arguments, str(target)], check=True)
    return target
