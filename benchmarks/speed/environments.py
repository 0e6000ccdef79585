"""Other tools that do parts of the same job, each in an environment of its own, made from PyPI."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from benchmarks.speed.ours import Ours
from benchmarks.speed.peer_table import Peer
from benchmarks.speed.rounds import SideFailed
from benchmarks.speed.weights import Weights
from pipeline.config import RunConfig
from schemas.media import MediaRow
from schemas.rows import AlignedRow
from stages.media import ffmpeg
from stages.sample.stage import SampleConfig
from stages.transcribe.settings import TranscribeConfig
from storyloom.errors import UsageError


class PeerReport(BaseModel):
    """The report on a peer.

    Attributes:
        name: The peer's name.
        work: The work in which it was compared.
        does: The part of the job that it does.
        cannot: The part of the job that it cannot do.
        versions: Of its installed packages; empty when the installation failed.
        command: The command of the installation.
        failed: Why it did not run; empty when it did.
    """

    name: str
    work: str
    does: str
    cannot: str
    versions: dict[str, str] = {}
    command: str = ""
    failed: str = ""


class PeerEnvironment:
    """A peer's environment, made on first use and kept.

    Args:
        peer: The peer.
        folder: Folder of all environments.
        install_seconds: Wall-clock limit of the installation.
    """

    def __init__(self, peer: Peer, folder: Path, install_seconds: float) -> None:
        self.peer = peer
        self._folder = folder.absolute() / peer.name
        self._python = self._folder / "bin" / "python"
        self._seconds = install_seconds

    @property
    def requirements(self) -> list[str]:
        """The packages to install: pinned, with our own versions of what both use."""
        ours = [f"{name}=={version(name).partition('+')[0]}" for name in self.peer.ours]
        return [*self.peer.packages, *ours]

    def report(self) -> PeerReport:
        """Install the environment unless it exists, and report its content."""
        peer, uv = self.peer, uv_program()
        report = PeerReport(name=peer.name, work=peer.work, does=peer.does, cannot=peer.cannot)
        report.command = f"uv pip install {' '.join(self.requirements)}"
        mark = self._folder / "installed.txt"
        try:
            if not mark.exists() or mark.read_text(encoding="utf-8") != report.command:
                shutil.rmtree(self._folder, ignore_errors=True)
                python = f"{sys.version_info.major}.{sys.version_info.minor}"
                _run([uv, "venv", "--quiet", "--python", python, str(self._folder)], self._seconds)
                install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(self._python)]
                _run([*install, *self.requirements], self._seconds)
                mark.write_text(report.command, encoding="utf-8")
            listed = json.loads(_run([uv, "pip", "list", "--format", "json", "--python", str(self._python)], 60.0))
            named = {one.partition("==")[0] for one in self.requirements}
            report.versions = {one["name"]: one["version"] for one in listed if one["name"] in named}
        except SideFailed as reason:
            report.failed = f"not installed: {reason}"
        return report

    def run(self, job: dict[str, Any], scratch: Path, seconds: float) -> tuple[float, float]:
        """Run a job in the peer; returns seconds of its work and of its set-up.

        Args:
            job: Input of its script; ``out`` and ``home``, folders to write to, are added.
            scratch: An existing folder; what the peer writes into it is removed.
            seconds: Wall-clock limit.

        Raises:
            SideFailed: It did not finish.
        """
        out = scratch / f"peer-{self.peer.name}"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        file = scratch / f"peer-{self.peer.name}.json"
        file.write_text(json.dumps(job | {"out": str(out), "home": str(self._folder / "home")}), encoding="utf-8")
        script = Path(__file__).with_name("peers") / self.peer.script
        output = _run([str(self._python), str(script), str(file)], seconds)
        shutil.rmtree(out)
        found = json.loads(output.splitlines()[-1])
        return float(found["work_seconds"]), float(found["setup_seconds"])


def peer_job(config: RunConfig, weights: Weights, ours: Ours, warm: Path) -> dict[str, Any]:
    """The job of a peer's script: the same videos, the same weights and equal settings.

    Args:
        config: Our config.
        weights: The models in the formats of the peers.
        ours: Rows of our run, with lengths and texts of the videos.
        warm: A short clip for warming up before the clock starts.
    """
    texts = {video.key: " ".join(one.text for one in video[AlignedRow].sentences) for video in ours.videos("score")}
    videos = ours.videos("sample")
    return {
        "videos": [str(Path(video.manifest.url).absolute()) for video in videos],
        "seconds": [video[MediaRow].duration for video in videos],
        "texts": [texts.get(video.key, "") for video in videos],
        "warm": str(warm.absolute()),
        "threads": config.section(TranscribeConfig).cpu_threads,
        "interval": config.section(SampleConfig).interval,
        "beam_size": config.section(TranscribeConfig).beam_size,
        "language": config.section(TranscribeConfig).language,
        "ffmpeg": str(ffmpeg.program()),
        "whisper": str(weights.whisper.absolute()),
        "open_clip": weights.open_clip,
        "pretrained": weights.pretrained,
        "clip": str(weights.clip.absolute()),
    }


def uv_program() -> str:
    """The path of the uv that the Makefile uses.

    Raises:
        UsageError: There is none.
    """
    found = shutil.which("uv") or shutil.which(".bootstrap/bin/uv")
    if not found:
        raise UsageError("peers are installed with uv, which is not here: pip install uv, or take --peer none")
    return found


def _run(command: Sequence[str], seconds: float) -> str:
    """Run a program and return its standard output.

    Raises:
        SideFailed: It failed or took too long; with its last line of output.
    """
    # The peer gets neither our bytecode setting nor our path, and must not download anything.
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")}
    environment = kept | {"HF_HUB_OFFLINE": "1", "PIXELTABLE_DISABLE_TELEMETRY": "1", "WANDB_MODE": "disabled"}
    try:
        done = subprocess.run(  # noqa: S603 - a list of arguments, no shell
            command, capture_output=True, text=True, check=False, timeout=seconds, env=environment
        )
    except subprocess.TimeoutExpired as late:
        raise SideFailed(f"took over {seconds:.0f} s") from late
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if re.search(r"\w", line)]
        raise SideFailed(lines[-1][-300:].strip() if lines else f"ended with {done.returncode} and said nothing")
    return done.stdout
