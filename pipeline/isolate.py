"""Which videos of a part kill the process that works on them: each is tried in a process of its own."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from schemas.row import RowError

if TYPE_CHECKING:
    from pipeline.execute import Job

BEGUN = "begun "
"""Starts the line in which the child names the video that it works on next."""

LAST_WORDS = 2000
"""Characters of a failed child's error output that are told."""


def killers(job: Job, stage: str, part: str) -> dict[str, RowError]:
    """The videos whose worker dies of a signal, by key, with the error of their row.

    One child works on video after video; when it dies, the one it had begun is to blame, and another child goes on
    behind it. What the children return is thrown away: rows come from the part as a whole.

    Raises:
        RuntimeError: A child ended badly but not of a signal: that is no video's fault.
    """
    found: dict[str, RowError] = {}
    behind = ""
    while True:
        status, begun, said = _child(job, stage, part, behind)
        if status == 0:
            return found
        if status > 0 or not begun:
            raise RuntimeError(f"{stage}, part {part}, one video at a time: {said[-LAST_WORDS:] or status}")
        name = signal.Signals(-status).name
        found[begun] = RowError(
            stage=stage,
            code="worker_crashed",
            message=f"the process that works on this video dies of {name}, alone as well; report it with its URL",
        )
        behind = begun


def _child(job: Job, stage: str, part: str, behind: str) -> tuple[int, str, str]:
    """Exit status, the last video that was begun, and what the child printed on standard error."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.isolate"],
        input=pickle.dumps((job, stage, part, behind)),
        capture_output=True,
        env=environment,
        check=False,
    )
    begun = [line.removeprefix(BEGUN) for line in done.stdout.decode().splitlines() if line.startswith(BEGUN)]
    return done.returncode, begun[-1] if begun else "", done.stderr.decode(errors="replace")


def main() -> None:
    """The child: work on the live videos of a part, one by one, behind the one that is named."""
    from pipeline.execute import live_videos
    from stages.media.sandbox import ChildKilled

    job, name, part, behind = pickle.loads(sys.stdin.buffer.read())  # noqa: S301 - from the parent
    stage = job.ready_stage(name)
    waiting = bool(behind)
    for video in live_videos(job, stage, part):
        if not waiting:
            print(f"{BEGUN}{video.key}", flush=True)  # noqa: T201 - the parent reads it
            try:
                for _ in stage.process([video]):
                    pass
            except ChildKilled:
                os.kill(os.getpid(), signal.SIGKILL)
        waiting = waiting and video.key != behind


if __name__ == "__main__":
    main()
