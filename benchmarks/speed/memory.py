"""Peak memory of a worker on a long video. This module is also that worker's program, whose job is a file."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from stages.media import ffmpeg
from storyloom.errors import RunFailed
from storyloom.fs.files import files_at

MEBI = 2**20

STAGES = ("sample", "transcribe")

SHORT = 0.125
"""Length of the shorter video for comparison, as a share of the longer one's (our choice)."""

WATCH_SECONDS = 0.05
"""Seconds between samples of the children's memory (our choice)."""


class Peak(BaseModel):
    """The peak resident memory of a stage on a video.

    Attributes:
        stage: Its name.
        hours: Length of the video.
        worker_mebibytes: Of the process that runs the stage, with its libraries and model.
        with_children_mebibytes: The largest sum with its ffmpeg children, sampled every 0.05 s.
        seconds: Wall time of the stage.
        failed: Why there are no figures; empty when there are.
    """

    stage: str
    hours: float
    worker_mebibytes: float = 0.0
    with_children_mebibytes: float = 0.0
    seconds: float = 0.0
    failed: str = ""


def long_video(hours: float, speech: Path, folder: Path) -> Path:
    """A 1080p video of this many hours with B-frames and audio: one encoded minute, repeated without encoding.

    Raises:
        RunFailed: ffmpeg cannot make it.
    """
    minute = folder / "minute.mp4"
    if not minute.exists():
        picture = ["-f", "lavfi", "-i", "testsrc2=size=1920x1080:rate=25:duration=60"]
        sound = ["-stream_loop", "-1", "-i", str(speech), "-map", "0:v", "-map", "1:a", "-t", "60"]
        codecs = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-bf", "3", "-g", "125"]
        _make([*picture, *sound, *codecs, "-c:a", "aac", "-ac", "1", str(minute)])
    target = folder / f"{hours:g}h.mp4"
    _make(["-stream_loop", "-1", "-i", str(minute), "-t", f"{hours * 3600:.0f}", "-c", "copy", str(target)])
    return target


def peaks(
    config: Path, overrides: Sequence[str], videos: dict[float, Path], scratch: Path, stages: Sequence[str] = STAGES
) -> list[Peak]:
    """The peak of each stage on each video, by the video's hours; each in a process of its own."""
    return [
        _peak(stage, hours, config, overrides, video, scratch) for stage in stages for hours, video in videos.items()
    ]


def _peak(stage: str, hours: float, config: Path, overrides: Sequence[str], video: Path, scratch: Path) -> Peak:
    job = scratch / "memory.json"
    asked = {"stage": stage, "config": str(config), "overrides": list(overrides), "video": str(video.absolute())}
    job.write_text(json.dumps(asked | {"scratch": str(scratch)}), encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.speed.memory", str(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ourselves
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        return Peak(stage=stage, hours=hours, failed=lines[-1])
    return Peak(stage=stage, hours=hours, **json.loads(done.stdout.splitlines()[-1]))


def main(job: dict[str, Any]) -> dict[str, float]:
    """Run a stage over a video in this process; returns its figures.

    Raises:
        RunFailed: The stage failed on the video.
    """
    from benchmarks.speed.rounds import timed
    from pipeline.config import load_config
    from schemas.manifest import ManifestRow
    from schemas.row import Row
    from stages.base import Context, Stage, Video

    video = Path(job["video"])
    config = load_config(Path(job["config"]), job["overrides"])
    context = Context(config.seed, files_at(Path(job["scratch"]) / "media"))
    key = "0" * 20
    manifest = ManifestRow(video=key, url=str(video), source_id=key)
    download, stage = (config.graph.stages[name](config.stage(name), context) for name in ("download", job["stage"]))
    assert isinstance(download, Stage)
    assert isinstance(stage, Stage)
    download.setup()
    media = list(download.process([Video(manifest, [])]))
    stage.setup()
    rows: list[Row] = []
    watch = _Watch()
    with watch:
        one = Video(manifest, media)
        seconds = timed(lambda: rows.extend(stage.process([one])))
    (row,) = rows
    if row.error:
        raise RunFailed(f"{row.error.code}: {row.error.message}")
    largest = _high_water()
    together = max(largest, watch.most / MEBI)
    return {"worker_mebibytes": largest, "with_children_mebibytes": together, "seconds": seconds}


class _Watch:
    """Samples the resident memory of this process and its children during a block. Needs Linux's /proc."""

    def __init__(self) -> None:
        self.most = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(WATCH_SECONDS):
            listed = Path(f"/proc/self/task/{os.getpid()}/children")
            children = [int(one) for task in _tasks(listed) for one in task.split()]
            self.most = max(self.most, sum(_resident(one) for one in [os.getpid(), *children]))


def _high_water() -> float:
    """The peak resident memory of this process in MiB. `ru_maxrss` would include the parent's memory at the fork."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None, "Linux writes it"
    return int(found[1]) / 2**10


def _tasks(main_thread: Path) -> list[str]:
    """The children of each thread of this process: stages may start them from any thread."""
    found = []
    for task in main_thread.parents[1].iterdir():
        try:
            found.append((task / "children").read_text(encoding="ascii"))
        except OSError:  # it has just ended
            continue
    return found


def _resident(process: int) -> int:
    """Bytes; 0 for a process that has just ended."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _make(arguments: Sequence[str]) -> None:
    command = [str(ffmpeg.program()), "-nostdin", "-v", "error", "-y", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a list, no shell
    if done.returncode:
        raise RunFailed(f"ffmpeg could not make the bench's long video: {done.stderr.strip()}")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))) + "\n")
