"""The start-up time of the command line: commands with nothing to do, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.overhead import Fresh
from benchmarks.speed.rounds import Comparison, Contender, SideFailed, interleaved, timed


def startup(fresh: Fresh, video: Path, rounds: int) -> Comparison:
    """Compare the help, and a run that is up to date, with a Python that does nothing."""
    settings = [*fresh.settings([str(video.absolute())], 1), "runner.kind=inline"]
    run = ["run", str(fresh.config), *(word for setting in settings for word in ("--set", setting))]
    _storyloom(run)  # brings it up to date
    contenders = [
        Contender("python -c pass", "limit", lambda: _seconds([sys.executable, "-c", "pass"])),
        Contender("storyloom --help", "ours", lambda: _storyloom(["--help"])),
        Contender("storyloom run, nothing to do", "ours", lambda: _storyloom(run)),
    ]
    return Comparison(work="start-up", media_seconds=0.0, sides=interleaved(contenders, rounds))


def _storyloom(arguments: Sequence[str]) -> float:
    return _seconds([sys.executable, "-m", "pipeline.cli", *arguments])


def _seconds(command: Sequence[str]) -> float:
    done: list[subprocess.CompletedProcess[str]] = []

    def work() -> None:
        done.append(subprocess.run(command, capture_output=True, text=True, check=False))  # noqa: S603 - ourselves

    seconds = timed(work)
    if done[0].returncode:
        raise SideFailed(f"{' '.join(command)} ended with {done[0].returncode}: {done[0].stderr.strip()[-300:]}")
    return seconds
