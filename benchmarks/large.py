"""Timing commands over many videos, each in a process of its own: planning, and the status of finished parts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.overhead import EMPTY_STAGES, Fresh
from schemas.config import PartsConfig
from storyloom.errors import FAILED, RunFailed


@dataclass(frozen=True)
class Command:
    """The measures of a command in a process of its own.

    Attributes:
        what: Its task.
        seconds: Wall time, start-up included.
        cpu_seconds: Of all its threads and child processes; less than wall time on a busy machine.
        megabytes: Peak of its resident memory, in 2**20 bytes.
    """

    what: str
    seconds: float
    cpu_seconds: float
    megabytes: float


def plan(fresh: Fresh, videos: int) -> Iterator[Command]:
    """Plan a manifest of `videos` URLs, then read the status of the plan.

    A run of `write` alone plans the manifest and ends with exit code 1, since there is nothing to write.
    """
    if videos:
        lines = [f"https://videos.example.org/channel/{n % 997:03d}/video-{n:08d}.mp4" for n in range(videos)]
        settings = fresh.settings(lines, PartsConfig().videos)
        yield _command(f"plan {videos:,} videos", ["run", "--only", "write"], fresh, settings, ends=FAILED)
        yield _command(f"status of the same {videos:,} videos", ["status"], fresh, settings)


def status(fresh: Fresh, parts: int, settings: Sequence[str]) -> Command:
    """Read the status of parts that are finished in the stages of the empty work."""
    return _command(f"status of {parts:,} parts, {' and '.join(EMPTY_STAGES)} done", ["status"], fresh, settings)


def _command(what: str, words: Sequence[str], fresh: Fresh, settings: Sequence[str], ends: int = 0) -> Command:
    """Run a command of the tool.

    Raises:
        RunFailed: Its exit code is not `ends`.
    """
    arguments = [sys.executable, "-m", "pipeline.cli", *words, str(fresh.config)]
    arguments += [word for setting in settings for word in ("--set", setting)]
    start = time.monotonic()
    child = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    _, ended, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - start
    child.returncode = os.waitstatus_to_exitcode(ended)
    if child.returncode != ends:
        raise RunFailed(f"{' '.join(arguments)} ended with exit code {child.returncode}")
    megabytes = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return Command(what, seconds, usage.ru_utime + usage.ru_stime, megabytes)
