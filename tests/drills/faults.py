"""Faults for the failure drills: `pipeline.seam` calls `fault` at its points where STORYLOOM_FAULTS names it.

DRILL_KILL: a folder. The first worker of each stage dies of SIGKILL in the middle of a unit, and says so there.
DRILL_HANG: a file. Whoever samples first says so there, and then never comes back.
DRILL_CRASH: a video's key. Whoever samples that video dies as a broken decoder would make it: in native code.
DRILL_TERM: a folder. The first worker of each stage is told to end in the middle of a unit, says so there, and goes on.
DRILL_TERM_SLOW: a file. The first worker that samples is told to end, says so there, and never comes to an end.
DRILL_KILL_ON: a video's key, and DRILL_KILLED, a folder. Whoever samples that video dies of SIGKILL, six times in all.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

PREEMPTIONS = 6


def fault(point: str, stage: str, what: str) -> None:
    """Act where a drill asks for it."""
    if point in ("row", "group") and "DRILL_KILL" in os.environ:
        die_once(Path(os.environ["DRILL_KILL"], stage))
    if point in ("row", "group") and "DRILL_TERM" in os.environ:
        be_told_to_end_once(Path(os.environ["DRILL_TERM"], stage))
    if point == "video" and stage == "sample":
        if "DRILL_TERM_SLOW" in os.environ and be_told_to_end_once(Path(os.environ["DRILL_TERM_SLOW"])):
            time.sleep(600.0)
        if os.environ.get("DRILL_CRASH") == what:
            ctypes.string_at(0)
        if os.environ.get("DRILL_KILL_ON") == what:
            for number in range(PREEMPTIONS):
                die_once(Path(os.environ["DRILL_KILLED"], str(number)))
        if "DRILL_HANG" in os.environ:
            hang_once(Path(os.environ["DRILL_HANG"]))


def die_once(mark: Path) -> None:
    """Die of SIGKILL, unless somebody did so before."""
    with contextlib.suppress(FileExistsError):
        mark.touch(exist_ok=False)
        os.kill(os.getpid(), signal.SIGKILL)


def be_told_to_end_once(mark: Path) -> bool:
    """Get SIGTERM, unless somebody did before; whether it came."""
    with contextlib.suppress(FileExistsError):
        mark.touch(exist_ok=False)
        os.kill(os.getpid(), signal.SIGTERM)
        return True
    return False


def hang_once(mark: Path) -> None:
    """Never come back, unless somebody did so before."""
    with contextlib.suppress(FileExistsError):
        mark.touch(exist_ok=False)
        while True:
            time.sleep(60.0)
