"""The funnel: counts of a run's videos, frames and sentences. In = out + dropped by reason + failed by code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.status import StageStatus
from storyloom.format.manifest import FunnelRow

ANSWERED = ("captions", "fusions")
"""What models are asked for about each frame of a document."""


def funnel(stages: Sequence[StageStatus]) -> list[FunnelRow]:
    """The funnel of the parts that passed all stages; empty before documents were counted.

    An item is found in the stage that counts it first, dropped by its reasons in the first stage that counts documents,
    and kept in the last one. What models say of frames is found and kept in one stage.
    """
    counting = [one for one in stages if one.videos and "documents" in one.counts]
    if not counting:
        return []
    cut, last = counting[0], counting[-1]
    first = {what: next((one.counts for one in stages if what in one.counts), {}) for what in ("frames", "sentences")}
    frames = _row("frames", first["frames"].get("frames", 0), cut, last)
    early = {reason: n for reason, n in _dropped("frames", first["frames"]).items() if n}
    if early:
        found = frames.found + sum(early.values())
        frames = frames.model_copy(update={"found": found, "dropped": {**early, **frames.dropped}})
    documents = cut.counts.get("documents", 0) + sum(_dropped("documents", cut.counts).values())
    return [
        FunnelRow(what="videos", found=last.videos, kept=last.live, dropped=last.dropped, failed=last.failed),
        frames,
        _row("sentences", first["sentences"].get("sentences", 0), cut, last),
        _row("documents", documents, cut, last),
        *(_answered(what, one) for what in ANSWERED for one in stages if one.videos and what in one.counts),
    ]


def _row(what: str, found: int, cut: StageStatus, last: StageStatus) -> FunnelRow:
    kept, dropped = last.counts.get(what, 0), _dropped(what, cut.counts)
    elsewhere = found - kept - sum(dropped.values())
    if elsewhere:
        dropped = {**dropped, "video_ended": elsewhere}
    return FunnelRow(what=what, found=found, kept=kept, dropped=dropped)


def _answered(what: str, one: StageStatus) -> FunnelRow:
    """What a model was asked for about each frame."""
    kept, dropped, failed = one.counts[what], _dropped(what, one.counts), _dropped(what, one.counts, "failed")
    found = kept + sum(dropped.values()) + sum(failed.values())
    return FunnelRow(what=what, found=found, kept=kept, dropped=dropped, failed=failed)


def _dropped(what: str, counts: Mapping[str, int], how: str = "dropped") -> dict[str, int]:
    prefix = f"{what}_{how}."
    return {key.removeprefix(prefix): n for key, n in counts.items() if key.startswith(prefix)}
