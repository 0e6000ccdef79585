"""The registered stages in topological order: ours, those of installed packages, and the user's own."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from stages.align.stage import Align
from stages.base import AnyStage, GroupStage, Stage
from stages.calibrate.stage import Calibrate
from stages.download.stage import Download
from stages.filter.stage import Filter
from stages.sample.stage import SampleFrames
from stages.score.stage import Score
from stages.transcribe.stage import Transcribe
from stages.write.stage import Write

AnyStageClass = type[AnyStage[Any]]

STAGES: tuple[AnyStageClass, ...] = (Download, Transcribe, SampleFrames, Align, Score, Calibrate, Filter, Write)

ENTRY_POINTS = "storyloom.stages"
"""Group of entry points for stages of installed packages; each is off unless its section enables it."""


class StageNotUsable(ValueError):
    """A registered stage cannot be imported, or is not a stage."""


@functools.cache
def registered(names: tuple[str, ...] = ()) -> tuple[AnyStageClass, ...]:
    """Our stages, those of entry points, and those that a config names as ``module:Class``, each after its inputs.

    Raises:
        StageNotUsable: One cannot be imported, is not a stage, has a taken name or an unknown input.
    """
    offered = [point.load() for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name)]
    return _ordered([*STAGES, *map(_checked, offered), *map(_imported, names)])


def _imported(name: str) -> AnyStageClass:
    module, colon, attribute = name.partition(":")
    if not colon:
        raise StageNotUsable(f"stages: {name!r} must read module:Class")
    if str(Path.cwd()) not in sys.path:  # as with `python -m`: a stage may be a file beside the config
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as reason:
        raise StageNotUsable(f"stages: {name!r} cannot be imported: {reason}") from reason
    return _checked(found)


def _checked(found: Any) -> AnyStageClass:
    if not (isinstance(found, type) and issubclass(found, Stage | GroupStage)):
        raise StageNotUsable(f"stages: {found!r} is no subclass of stages.base.Stage or GroupStage")
    needed = ("name", "version", "Config", *(("row",) if issubclass(found, Stage) else ("result",)))
    if missing := [name for name in needed if not hasattr(found, name)]:
        raise StageNotUsable(f"stages: {found.__name__} lacks {', '.join(missing)}")
    return found


def _ordered(stages: Sequence[AnyStageClass]) -> tuple[AnyStageClass, ...]:
    """Sort each stage after its possible inputs, otherwise in the given order."""
    by_name: dict[str, AnyStageClass] = {}
    for stage in stages:
        if by_name.setdefault(stage.name, stage) is not stage:
            raise StageNotUsable(f"stages: two stages have the name {stage.name!r}")
    order: dict[str, AnyStageClass] = {}
    waiting = list(stages)
    while waiting:
        ready = [stage for stage in waiting if all(one.stage in order for one in possible_inputs(stage, by_name))]
        if not ready:
            raise StageNotUsable(f"stages: {', '.join(stage.name for stage in waiting)} read each other in a circle")
        order[ready[0].name] = ready[0]
        waiting.remove(ready[0])
    return tuple(order.values())


def possible_inputs(stage: AnyStageClass, known: dict[str, AnyStageClass]) -> list[Any]:
    """The known inputs that a stage declares or has under its default config."""
    found = [*stage.reads, *stage.inputs(stage.Config())]
    if unknown := [one.stage for one in found if one.stage not in known and not one.optional]:
        raise StageNotUsable(f"stages: {stage.name} reads {unknown[0]!r}, which is no stage")
    return [one for one in found if one.stage in known]
