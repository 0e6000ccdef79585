"""Commands over many videos: planning them, and the status of parts that are done. Each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.overhead import Fresh
from pipeline.groups import done_mark
from pipeline.situation import Situation
from pipeline.store import Metrics, mark_name
from pipeline.tallies import SETTLED_NS
from stages.registry import ROW_STAGES, WRITE
from storyloom.errors import RunFailed

VIDEOS = 4
"""Per part: the default of `PartsConfig`."""


@dataclass(frozen=True)
class Command:
    """A command of the tool in a process of its own.

    Attributes:
        what: What it had to do.
        seconds: Wall time, start-up included.
        cpu_seconds: Of all its threads and of the programs that it started; less than wall time on a busy machine.
        megabytes: Peak of its resident memory, in 2**20 bytes.
    """

    what: str
    seconds: float
    cpu_seconds: float
    megabytes: float


def plan(fresh: Fresh, videos: int) -> Iterator[Command]:
    """The first and the second look at a manifest of so many URLs."""
    if videos:
        lines = [f"https://videos.example.org/channel/{n % 997:03d}/video-{n:08d}.mp4" for n in range(videos)]
        settings = fresh.settings(lines, VIDEOS)
        yield _status(f"plan {videos:,} videos", fresh, settings)
        yield _status(f"the same {videos:,} videos again", fresh, settings)


def status(fresh: Fresh, parts: int) -> Iterator[Command]:
    """The status of parts that are done in all stages; their marks are written here, without any work."""
    if parts:
        settings = fresh.settings([f"missing/{n:07d}.mp4" for n in range(parts * VIDEOS)], VIDEOS)
        _mark_all(fresh.situation(settings))
        yield _status(f"status of {parts:,} parts, no mark read before", fresh, settings)
        yield _status(f"status of {parts:,} parts, marks looked at again", fresh, settings)
        time.sleep(SETTLED_NS / 10**9)
        _status("", fresh, settings)
        yield _status(f"status of {parts:,} parts, nothing changed for a while", fresh, settings)


def _status(what: str, fresh: Fresh, settings: Sequence[str]) -> Command:
    arguments = [sys.executable, "-m", "pipeline.cli", "status", str(fresh.config)]
    arguments += [word for setting in settings for word in ("--set", setting)]
    start = time.monotonic()
    child = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)  # noqa: S603
    _, ended, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - start
    child.returncode = os.waitstatus_to_exitcode(ended)
    if child.returncode:
        raise RunFailed(f"{' '.join(arguments)} ended with exit code {child.returncode}")
    megabytes = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return Command(what, seconds, usage.ru_utime + usage.ru_stime, megabytes)


def _mark_all(situation: Situation) -> None:
    """Write every mark of every stage as if its work were done."""
    job, plan = situation.job, situation.plan
    failed, counts = {"download.not_found": 1}, {"frames": 40, "frames_dropped.near_duplicate": 3}
    metrics = Metrics(
        videos=VIDEOS, live=VIDEOS - 1, failed=failed, dropped={}, warnings={}, counts=counts, sha256="0" * 64
    )
    content = metrics.model_dump_json(indent=1)
    for stage in ROW_STAGES:
        folder = job.store.folder(stage.name, job.digests[stage.name])
        folder.mkdir(parents=True)
        for part in plan.parts:
            (folder / mark_name(part)).write_text(content, encoding="utf-8")
    job.store.folder(WRITE, job.digests[WRITE]).mkdir(parents=True)
    for group in plan.groups(job.config.parts.group):
        done_mark(job, group).write_text("[]\n", encoding="utf-8")
