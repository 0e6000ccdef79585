"""The page that moves the settings of `filter` and shows what each move keeps and loses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pipeline.view.knobs import KNOBS, MATCHING, RULES, WrongSetting, as_options, as_yaml, changed, changes
from pipeline.view.moves import EDGES, WAYS, WHAT, Example, Move, Tuning
from pipeline.view.state import Run
from schemas.calibration import ENOUGH
from storyloom.view.app import page
from storyloom.view.counts import count_of
from storyloom.view.rendering import address_of, clock
from storyloom.view.text import LONGEST_NAME, LONGEST_SENTENCE, shown

KINDS = (
    ("worst_kept", "Worst kept", "frames in documents, nearest to their threshold"),
    ("best_dropped", "Best dropped", "frames dropped for their similarity, nearest to their threshold"),
    ("gained", "Gained", "frames in documents now and not with the run's settings, drawn at random"),
    ("lost", "Lost", "frames in documents with the run's settings and not now, drawn at random"),
)


def tune_page(run: Run) -> Callable[[Request], Response]:
    """The page; it asks `move_answer` for its figures."""

    def answer(request: Request) -> Response:
        workspace = run.workspace()
        missing = ""
        if "filter" not in workspace.graph.names:
            missing = "`filter` is off in this config, so there is nothing to tune."
        elif not workspace.done("score"):
            missing = "No part is scored yet."
        if missing:
            return page(request, "tune_missing.html", missing=missing, command=run.command)
        with run.tuning(again=True) as tuning:
            return page(
                request,
                "tune.html",
                matching=[knob for knob in MATCHING if knob in KNOBS],
                rules=[knob for knob in RULES if knob in KNOBS],
                config=tuning.config,
                calibrated=tuning.config.threshold == "calibrated",
                threshold=_threshold(tuning, tuning.config),
                calibration=tuning.calibration,
                enough=ENOUGH,
                kinds=KINDS,
                parts=(len(tuning.parts), len(workspace.plan.parts)),
            )

    return answer


def move_answer(run: Run) -> Callable[[Request], Response]:
    """The figures of some settings, as JSON: over what could be counted within a second; ask again for more."""

    def answer(request: Request) -> Response:
        with run.tuning() as tuning:
            try:
                config = changed(tuning.config, request.query_params)
            except WrongSetting as reason:
                return JSONResponse({"problem": str(reason)}, 422)
            move, whole = tuning.move(config)
            found = changes(tuning.config, config)
            return JSONResponse(
                {
                    "whole": whole,
                    "sentence": _sentence(tuning, move),
                    "counts": {what: _counts(tuning, move, what) for what in WHAT},
                    "threshold": _threshold(tuning, config),
                    "bars": _bars(tuning, move),
                    "examples": {kind: [_shown(one[3]) for one in some] for kind, some in move.examples.items()},
                    "options": as_options(found),
                    "yaml": as_yaml(found),
                    "command": f"{run.command} --from filter {as_options(found)}" if found else "",
                }
            )

    return answer


def _sentence(tuning: Tuning, move: Move) -> str:
    """What is known, and how well: ``about 3,100 ± 90 documents, from 2,000 of 40,000 videos``."""
    told = tuning.estimate(move, "documents", "now")
    if len(move.parts) == len(tuning.parts):
        return f"{count_of(round(told.value), 'documents')}, from {count_of(tuning.videos, 'videos')}"
    drawn = f"{sum(move.videos):,} of {count_of(tuning.videos, 'videos')}"
    return f"about {round(told.value):,} ± {round(told.error):,} documents, from {drawn}"


def _counts(tuning: Tuning, move: Move, what: str) -> dict[str, dict[str, int]]:
    told = {way: tuning.estimate(move, what, way) for way in WAYS}
    return {way: {"value": round(one.value), "error": round(one.error)} for way, one in told.items()}


def _threshold(tuning: Tuning, config: Any) -> float:
    if config.threshold != "calibrated":
        return float(config.threshold)
    return tuning.calibration.threshold(config.false_accept_rate)


def _bars(tuning: Tuning, move: Move) -> dict[str, list[float]]:
    """The distributions in bars: chosen pairs, and as many unrelated ones, over the similarities that occur."""
    null = np.histogram(tuning.calibration.quantiles, EDGES)[0].astype(np.float64)
    chosen = int(move.kept.sum() + move.dropped.sum())
    null = null / max(1.0, null.sum()) * max(1, chosen)
    there = np.flatnonzero(null + move.kept + move.dropped)
    begin, end = (int(there[0]), int(there[-1]) + 1) if len(there) else (len(null) // 2, len(null) // 2 + 1)
    return {
        "edges": EDGES[begin : end + 1].round(4).tolist(),
        "null": null[begin:end].round(2).tolist(),
        "kept": move.kept[begin:end].tolist(),
        "dropped": move.dropped[begin:end].tolist(),
    }


def _shown(one: Example) -> dict[str, Any]:
    line = one.video.line
    time = float(one.video.frames.time[one.frame])
    sentence = one.video.sentences.text[one.sentence] if one.sentence >= 0 else ""
    return {
        "name": shown(line.title or line.source_id, LONGEST_NAME),
        "link": address_of("/timeline/", line.source_id, t=f"{time:g}"),
        "picture": f"/run/frame/{one.video.key}/{one.frame}.jpg",
        "width": int(one.video.frames.width[one.frame]),
        "height": int(one.video.frames.height[one.frame]),
        "time": clock(time),
        "sentence": shown(sentence, LONGEST_SENTENCE),
        "similarity": round(one.similarity, 4) if one.sentence >= 0 else None,
        "needed": round(one.needed, 4) if one.needed <= 1.0 else None,
        "reason": one.reason,
    }
