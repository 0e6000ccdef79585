"""Faults for the failure drills. Python runs this file at its start wherever its folder is in PYTHONPATH.

DRILL_KILL: a folder. The first worker of each stage dies of SIGKILL in the middle of a part, and says so there.
DRILL_HANG: a file. Whoever samples first says so there, and then never comes back.
DRILL_CRASH: a video's id. Whoever samples that video dies of SIGSEGV, as a broken decoder would make it.
"""

import contextlib
import importlib.abc
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def die_once(stage: str) -> None:
    mark = Path(os.environ["DRILL_KILL"], stage)
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def kill_row_stages(execute: Any) -> None:
    in_order = execute._in_order

    def first_row_then_death(stage: Any, *arguments: Any) -> Iterator[Any]:
        for row in in_order(stage, *arguments):
            yield row
            die_once(stage.name)

    execute._in_order = first_row_then_death


def kill_write(groups: Any) -> None:
    write_shards = groups.write_shards

    def shards_then_death(*arguments: Any) -> Any:
        shards = write_shards(*arguments)
        die_once("write")
        return shards

    groups.write_shards = shards_then_death


def crash_on_a_video(sample: Any) -> None:
    one = sample.Sample.one

    def one_or_death(self: Any, video: Any) -> Any:
        if video.manifest.source_id == os.environ["DRILL_CRASH"]:
            os.kill(os.getpid(), signal.SIGSEGV)
        return one(self, video)

    sample.Sample.one = one_or_death


def hang_once(sample: Any) -> None:
    one = sample.Sample.one

    def one_or_never(self: Any, video: Any) -> Any:
        with contextlib.suppress(FileExistsError):
            Path(os.environ["DRILL_HANG"]).touch(exist_ok=False)
            while True:
                time.sleep(60.0)
        return one(self, video)

    sample.Sample.one = one_or_never


FAULTS: dict[str, Callable[[Any], None]] = {}
if "DRILL_KILL" in os.environ:
    FAULTS |= {"pipeline.execute": kill_row_stages, "pipeline.groups": kill_write}
if "DRILL_CRASH" in os.environ:
    FAULTS |= {"stages.sample.stage": crash_on_a_video}
if "DRILL_HANG" in os.environ:
    FAULTS |= {"stages.sample.stage": hang_once}


class Saboteur(importlib.abc.MetaPathFinder):
    """Lets the other finders find a module, and puts a fault into it once it was run."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        del path, target
        if fullname not in FAULTS:
            return None
        fault = FAULTS.pop(fullname)
        spec: Any = importlib.util.find_spec(fullname)
        run = spec.loader.exec_module

        def run_then_spoil(module: Any) -> None:
            run(module)
            fault(module)

        spec.loader.exec_module = run_then_spoil
        return spec


sys.meta_path.insert(0, Saboteur())
