"""Faults for `pipeline.seam`: what goes wrong with machines and programs, done at a named point of a stage.

FAULT_FOLDER is a folder that remembers over all processes what was done; FAULT_STAGE is the stage whose points count.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

DEVICE_ERROR = "CUDA error: device-side assert triggered"

AWHILE = 2
"""Times that what goes wrong for a while goes wrong."""

KILLS = 6


def _here(point: str, stage: str) -> bool:
    return point == "video" and stage == os.environ["FAULT_STAGE"]


def _first(times: int) -> bool:
    """Whether this is one of the first calls, over all processes."""
    folder = Path(os.environ["FAULT_FOLDER"])
    number = len(list(folder.glob("call-*")))
    if number >= times:
        return False
    (folder / f"call-{number}").touch(exist_ok=False)
    return True


def device_error_for_a_while(point: str, stage: str, what: str) -> None:
    if _here(point, stage) and _first(AWHILE):
        raise RuntimeError(DEVICE_ERROR)


def device_error(point: str, stage: str, what: str) -> None:
    if _here(point, stage):
        raise RuntimeError(DEVICE_ERROR)


def bug_on_one_video(point: str, stage: str, what: str) -> None:
    if _here(point, stage) and what == os.environ["FAULT_VIDEO"]:
        raise ValueError("a bug in the stage")


def bug_on_every_video(point: str, stage: str, what: str) -> None:
    if _here(point, stage):
        raise ValueError("a bug in the stage")


def kill_the_next_child(point: str, stage: str, what: str) -> None:
    """Kill the first decoder that this process starts from now on, once."""
    if _here(point, stage) and _first(1):
        threading.Thread(target=_kill_a_child, daemon=True).start()


def _kill_a_child() -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for server in _children(os.getpid()):
            for child in _children(server):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
                    Path(os.environ["FAULT_FOLDER"], "killed").touch()
                    return


def _children(process: int) -> list[int]:
    """Processes that any thread of a process started."""
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in Path(f"/proc/{process}/task").iterdir():
            found += [int(child) for child in (thread / "children").read_text().split()]
    return found


def kill_the_first_processes(point: str, stage: str, what: str) -> None:
    if _here(point, stage) and _first(KILLS):
        os.kill(os.getpid(), signal.SIGKILL)


def terminate_this_process(point: str, stage: str, what: str) -> None:
    if _here(point, stage) and _first(1):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)


def tell_this_process_to_end(point: str, stage: str, what: str) -> None:
    if _here(point, stage) and _first(1):
        os.kill(os.getpid(), signal.SIGTERM)


def fill_the_temporary_folder(point: str, stage: str, what: str) -> None:
    if not _here(point, stage) or not _first(1):
        return
    with Path(os.environ["TMPDIR"], "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(1024))
