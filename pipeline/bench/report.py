"""The report of the alignment bench: its numbers, and its tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.bench.measure import Judged


@dataclass(frozen=True)
class RealLag:
    """Words recognized in a file with a lag, compared with those of the file without it, moved by that lag.

    Attributes:
        lag: Seconds.
        words: Recognized without the lag.
        same_words: Number of them that were recognized with the lag too.
        median: Seconds between their times, over starts and ends.
        p95: The same, 95th percentile.
        largest: The same, maximum.
    """

    lag: float
    words: int
    same_words: int
    median: float
    p95: float
    largest: float


@dataclass(frozen=True)
class Boundaries:
    """Distance of recognized from true sentence times at lag 0, in seconds: median and 95th percentile."""

    sentences: int
    missed: int
    start_median: float
    start_p95: float
    end_median: float
    end_p95: float


@dataclass(frozen=True)
class LagResult:
    """The result of one mode under one lag.

    Attributes:
        lag: The lag's name.
        mode: ``time`` or ``clip``.
        frames: Counts.
        recall: Of the described frames, the share whose assigned sentence is about them (R@1); nothing is dropped.
        recall_kept: Of the described frames, the share that is kept with a sentence about them (R@1 of the documents).
        wrong_kept: Of the frames with a wrong sentence, the share that is kept with it.
        boundary_median: Seconds between sentences, moved by the estimated lag, and the truth on the picture's clock.
        boundary_p95: The same, 95th percentile.
        auc: Of the similarity of matching against other candidate pairs.
        lag_error: Seconds between the estimated and the true lag, mean over the videos; None where none is estimated.
        threshold: Similarity.
    """

    lag: str
    mode: str
    frames: Judged
    recall: float | None
    recall_kept: float | None
    wrong_kept: float | None
    boundary_median: float
    boundary_p95: float
    auc: float | None
    lag_error: float | None
    threshold: float


@dataclass(frozen=True)
class BenchReport:
    """All that was measured."""

    material: str
    videos: int
    seconds: float
    model: str
    false_accept_rate: float
    boundaries: Boundaries
    real_lag: RealLag
    results: list[LagResult]


HEADER = (
    "lag s",
    "mode",
    "R@1, nothing dropped",
    "R@1, filtered",
    "wrong kept",
    "boundary s",
    "AUC",
    "lag error s",
    "threshold",
)


def markdown(report: BenchReport) -> Iterator[str]:
    """The report as lines of Markdown."""
    yield f"{report.videos} videos, {report.seconds:.1f} s, of {report.material}; score model: {report.model};"
    yield f"stated false-accept rate {report.false_accept_rate:.0%}."
    yield ""
    yield f"| {' | '.join(HEADER)} |"
    yield "|" + " --- |" * len(HEADER)
    for result in report.results:
        yield f"| {' | '.join(_cells(result))} |"
    yield ""
    pooled = [
        f"{mode} {sum(one.frames.wrong_kept for one in found)}/{sum(one.frames.wrong for one in found)}"
        for mode, found in _by_mode(report.results).items()
    ]
    yield f"Wrong sentences kept, over these lags: {', '.join(pooled)}."
    heard = report.boundaries
    yield (
        f"Sentence boundaries at lag 0, {heard.sentences} sentences, {heard.missed} not heard: start"
        f" {heard.start_median:.2f} s (median), {heard.start_p95:.2f} s (95 %); end {heard.end_median:.2f} s,"
        f" {heard.end_p95:.2f} s."
    )
    real = report.real_lag
    yield (
        f"One file whose sound really is {real.lag:g} s late: {real.same_words} of {real.words} words are heard again;"
        f" their times are {real.median:.3f} s (median), {real.p95:.3f} s (95 %), {real.largest:.3f} s (largest) from"
        " the moved ones."
    )


def _by_mode(results: Sequence[LagResult]) -> dict[str, list[LagResult]]:
    modes = dict.fromkeys(one.mode for one in results)
    return {mode: [one for one in results if one.mode == mode] for mode in modes}


def _cells(result: LagResult) -> list[str]:
    frames = result.frames
    return [
        result.lag,
        result.mode,
        f"{_number(result.recall, 2)} ({frames.right}/{frames.described})",
        f"{_number(result.recall_kept, 2)} ({frames.right_kept}/{frames.described})",
        f"{frames.wrong_kept}/{frames.wrong}",
        f"{_number(result.boundary_median, 2)} / {_number(result.boundary_p95, 2)}",
        _number(result.auc, 3),
        _number(result.lag_error, 2),
        _number(result.threshold, 3),
    ]


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
