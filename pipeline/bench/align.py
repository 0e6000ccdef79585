"""`storyloom bench align`: how well frames meet their sentences when the sound is late, early or drifting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pipeline.bench.listen import VideoRows, listen, live, with_lag
from pipeline.bench.material import BenchKind, Material
from pipeline.bench.measure import Case, Judged, Lag, auc, judge, right_and_wrong, share
from pipeline.bench.media import build
from pipeline.bench.report import BenchReport, Boundaries, LagResult
from pipeline.bench.scores import Scorer
from pipeline.config import RunConfig
from schemas.calibration import Calibration
from schemas.row import Row
from schemas.rows import LEAST_LAG_CONFIDENCE, AlignedRow, DocumentsRow
from stages.align.stage import Align, AlignConfig
from stages.base import Context, Stage, Video
from stages.filter.assign import assign_by_clip
from stages.filter.candidates import candidates
from stages.filter.stage import Filter, FilterConfig
from stages.score.stage import ScoreConfig
from storyloom.errors import UsageError
from storyloom.format.model import to_milliseconds
from storyloom.fs.files import files_at

STEPS = (0.0, 1.0, -1.0, 2.0, -2.0, 4.0, -4.0, 8.0, -8.0)
WHOLE = [*(Lag(f"{s:+g}" if s else "0", (s,)) for s in STEPS), Lag("drift", (0.0, 4.0), drifts=True)]
BY_SECTION = [
    Lag("/".join(f"{s:+g}" if s else "0" for s in seconds), seconds)
    for seconds in ((0.0,), (4.0, 0.0, -4.0), (-4.0, 0.0, 4.0), (0.0, 3.0, 0.0), (2.0, -3.0, 1.0))
]
LAGS: dict[BenchKind, dict[str, Lag]] = {
    "plain": {lag.name: lag for lag in WHOLE},
    "similar": {lag.name: lag for lag in WHOLE},
    "sections": {lag.name: lag for lag in BY_SECTION},
}
"""Seconds by which the sound is late; `drift` goes from 0 s at the start of a video to 4 s at its end, and lags of
sections are named in their order."""

MODES = ("time", "clip")
FREE = {"min_words": 1, "max_words": 10**6, "max_images": 1000, "max_silence": 1e6}
"""Document limits that never apply: only the assignment of frames to sentences is measured."""


RowT = TypeVar("RowT", bound=Row)


def select_lags(names: Sequence[str], kind: BenchKind = "plain") -> list[Lag]:
    """Select the lags of these names, all of them when no name is given.

    Raises:
        UsageError: A name is no lag's.
    """
    known = LAGS[kind]
    for name in names:
        if name not in known:
            raise UsageError(f"no lag {name!r}; the lags are {', '.join(known)}")
    return [lag for lag in known.values() if not names or lag.name in names]


def bench_align(material: Material, config: RunConfig, lags: Sequence[Lag], scratch: Path) -> BenchReport:
    """Build the videos, run the pipeline's stages over them under every lag, and compare with the truth.

    Args:
        material: What the videos are made of.
        config: Its stages' sections and seed are used; its manifest and folders are not.
        lags: Of the sound.
        scratch: An existing folder for media and rows.

    Raises:
        RunFailed: A video cannot be built, or a stage cannot work on it.
    """
    videos = build(material, scratch, config.seed)
    heard, real = listen(videos, config, scratch)
    context = Context(config.seed, files_at(scratch))
    scored = _Scored(heard, config, context)
    results: list[LagResult] = []
    for lag in lags:
        cases = scored.cases(lag)
        results += [
            evaluate(cases, config.section(FilterConfig).model_copy(update={"mode": mode}), context) for mode in MODES
        ]
    texts = [shot for video in videos for shot in video.shots if shot.text]
    return BenchReport(
        material=material.name,
        kind=material.kind,
        videos=len(videos),
        sentences=len(texts),
        recorded=sum(shot.recorded for shot in texts),
        seconds=to_milliseconds(sum(video.seconds for video in videos)),
        model=config.section(ScoreConfig).model,
        false_accept_rate=config.section(FilterConfig).false_accept_rate,
        boundaries=_boundaries(scored.cases(LAGS[material.kind]["0"])),
        real_lag=real,
        results=results,
    )


class _Scored:
    """The aligned and scored videos under each lag."""

    def __init__(self, videos: Sequence[VideoRows], config: RunConfig, context: Context) -> None:
        self._videos = videos
        self._align = Align(config.section(AlignConfig), context)
        self._scorer = Scorer(config.section(ScoreConfig), context)

    def cases(self, lag: Lag) -> list[Case]:
        """Align and score all videos under a lag, as one part."""
        late = [with_lag(one.transcript, lag, one.narrated) for one in self._videos]
        given = [Video(one.manifest, [row, one.frames]) for one, row in zip(self._videos, late, strict=True)]
        aligned = rows_of(self._align, given, AlignedRow)
        return [
            Case(one.narrated, lag, row, self._scorer.scores(one, row), one.frames, one.manifest)
            for one, row in zip(self._videos, aligned, strict=True)
        ]


def evaluate(cases: Sequence[Case], config: FilterConfig, context: Context) -> LagResult:
    """Assign the frames of all videos under a lag, filter them, and compare both with the truth.

    Args:
        cases: The videos, whose pooled null pairs calibrate the threshold.
        config: Settings of `filter`, e.g. mode and threshold.
        context: The run's; its results are not used.
    """
    null = np.array([score for case in cases for score in case.null_scores()])
    context = Context(context.seed, context.media, {"calibrate": Calibration.pool(null)})
    stage = Filter(FilterConfig.model_validate(config.model_dump() | FREE), context)
    filtered = rows_of(
        stage, [Video(case.manifest, [case.aligned, case.scores, case.frames]) for case in cases], DocumentsRow
    )
    judged, known, lags = Judged(0, 0, 0, 0, 0), 0, []
    for case, row in zip(cases, filtered, strict=True):
        assigned, lag = stage.assign(case.aligned, case.scores, case.frames)
        judged += judge(case, assigned, row)
        lags.append(lag)
        known += right_with_known_lag(case, stage)
    estimates = [lag.seconds for lag in lags]
    errors = np.concatenate([c.boundary_errors(e).ravel() for c, e in zip(cases, estimates, strict=True)])
    matched, mismatched = (np.concatenate(kind) for kind in zip(*(c.pair_scores() for c in cases), strict=True))
    in_clip = config.mode == "clip"
    return LagResult(
        lag=cases[0].lag.name,
        mode=config.mode,
        frames=judged,
        recall=share(judged.right, judged.described),
        recall_kept=share(judged.right_kept, judged.described),
        recall_known=share(known, judged.described) if in_clip else None,
        wrong_kept=share(judged.wrong_kept, judged.wrong),
        boundary_median=to_milliseconds(np.median(errors)),
        boundary_p95=to_milliseconds(np.quantile(errors, 0.95)),
        auc=_rounded(auc(matched, mismatched)),
        lag_error=_rounded(np.mean([c.lag_error(e) for c, e in zip(cases, estimates, strict=True)]))
        if in_clip
        else None,
        lag_confidence=_rounded(np.mean([lag.confidence for lag in lags])) if in_clip else None,
        lags_unknown=sum(lag.confidence < LEAST_LAG_CONFIDENCE for lag in lags) if in_clip else None,
        threshold=stage.threshold,
    )


def right_with_known_lag(case: Case, stage: Filter) -> int:
    """Frames that get a sentence about them in `clip` mode when the lag is not estimated but the true one."""
    pairs = candidates(case.aligned, case.scores)
    assigned = assign_by_clip(pairs, stage.worth(pairs), stage.config.shift_cost, case.true_lags())
    right, _ = right_and_wrong(case, assigned)
    return right


def rows_of(stage: Stage[Any, Any], videos: Sequence[Video], row: type[RowT]) -> list[RowT]:
    """The rows of a stage over one part, in the order of the videos."""
    found = {one.video: one for one in stage.process(videos)}
    rows = [live(found[video.key]) for video in videos]
    return [one for one in rows if isinstance(one, row)]


def _boundaries(cases: Sequence[Case]) -> Boundaries:
    errors = [case.boundary_errors(np.zeros(len(case.aligned.frame_times))) for case in cases]
    spoken = sum(bool(shot.text) for case in cases for shot in case.narrated.shots)
    together = np.concatenate(errors)
    (start, end), (start_p95, end_p95) = np.median(together, axis=0), np.quantile(together, 0.95, axis=0)
    return Boundaries(
        sentences=spoken,
        missed=spoken - len(together),
        start_median=to_milliseconds(start),
        start_p95=to_milliseconds(start_p95),
        end_median=to_milliseconds(end),
        end_p95=to_milliseconds(end_p95),
    )


def _rounded(value: Any) -> float | None:
    return None if value is None else round(float(value), 4)
