"""Work that is to be done again: what is forgotten of a part takes with it what was made from it."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.calibrate import remove_calibration
from pipeline.groups import remove_group
from pipeline.situation import Situation
from stages.registry import BY_NAME, ROW_STAGES, WRITE, downstream


def forget(situation: Situation, stages: frozenset[str]) -> None:
    """Remove everything that some stages made, and what was made from it."""
    for name in sorted(downstream(set(stages)) & set(situation.found)):
        _forget_parts(situation, name, situation.plan.parts)


def forget_retryable(situation: Situation) -> int:
    """Remove the parts in which a video failed in a way that may pass, from the stage on in which it did.

    Returns:
        How many parts those are.
    """
    forgotten: set[str] = set()
    for stage in ROW_STAGES:
        if stage.name not in situation.found:
            continue
        parts = [part for part in situation.plan.parts if _failed_for_now(situation, stage.name, part)]
        for name in sorted(downstream({stage.name}) & set(situation.found)):
            _forget_parts(situation, name, parts)
        forgotten.update(parts)
    return len(forgotten)


def _failed_for_now(situation: Situation, stage: str, part: str) -> bool:
    store, digest = situation.job.store, situation.job.digests[stage]
    if not store.is_done(stage, digest, part):
        return False
    if not any(code.startswith(f"{stage}.") for code in store.metrics(stage, digest, part).failed):
        return False
    rows = store.rows(stage, digest, part, BY_NAME[stage].row, without=("jpegs",))
    return any(row.error is not None and row.error.stage == stage and row.error.retryable for row in rows)


def _forget_parts(situation: Situation, stage: str, parts: Sequence[str]) -> None:
    job, plan = situation.job, situation.plan
    if stage == WRITE:
        again = set(parts)
        for group, members in plan.groups(job.config.parts.group).items():
            if again.intersection(members):
                remove_group(job, group)
        return
    job.store.remove(stage, job.digests[stage], parts)
    pooled = plan.parts[: job.config.parts.group]
    if stage == "score" and set(pooled).intersection(parts):
        remove_calibration(job.store, job.digests[stage], pooled)
