"""The stages that turn rows into rows, in an order in which each comes after what it reads."""

from __future__ import annotations

from typing import Any

from stages.align.stage import Align
from stages.base import Stage
from stages.download.stage import Download
from stages.filter.stage import Filter
from stages.sample.stage import Sample
from stages.score.stage import Score
from stages.transcribe.stage import Transcribe

ROW_STAGES: tuple[type[Stage[Any, Any]], ...] = (Download, Sample, Transcribe, Align, Score, Filter)

WRITE = "write"
"""The last stage: it turns groups of parts into shards, so it is no row stage."""

STAGE_NAMES = (*(stage.name for stage in ROW_STAGES), WRITE)

BY_NAME = {stage.name: stage for stage in ROW_STAGES}


def downstream(names: set[str]) -> set[str]:
    """The named stages and every stage that reads one of them, directly or not."""
    reached = set(names)
    for stage in ROW_STAGES:
        if reached & {source.stage for source in stage.reads}:
            reached.add(stage.name)
    return reached | {WRITE} if reached else reached


def upstream(name: str) -> tuple[str, ...]:
    """The stages that a stage reads directly."""
    return ("filter", "sample") if name == WRITE else tuple(source.stage for source in BY_NAME[name].reads)
