"""The report of the alignment bench: its numbers, and its tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.bench.measure import Judged, Share, share


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
        recall_known: As `recall`, had the lag been known; None in `time` mode.
        wrong_kept: Of the frames with a wrong sentence, the share that is kept with it; None where there is none.
        boundary_median: Seconds between sentences, moved by the estimated lag, and the truth on the picture's clock.
        boundary_p95: The same, 95th percentile.
        auc: Of the similarity of matching against other candidate pairs.
        lag_error: Seconds between the estimated and the true lag, mean over frames, then videos; None where none is
            estimated, as the next two.
        lag_confidence: Mean over the videos.
        lags_unknown: Videos whose lag was taken as none for want of evidence.
        threshold: Similarity.
    """

    lag: str
    mode: str
    frames: Judged
    recall: Share | None
    recall_kept: Share | None
    recall_known: Share | None
    wrong_kept: Share | None
    boundary_median: float
    boundary_p95: float
    auc: float | None
    lag_error: float | None
    lag_confidence: float | None
    lags_unknown: int | None
    threshold: float


@dataclass(frozen=True)
class BenchReport:
    """All that was measured.

    Attributes:
        material: What the videos are made of.
        kind: Of the videos, see `Material`.
        videos: How many.
        sentences: Spoken in them.
        recorded: Those of them that were read aloud and recognized; the times of the others' words are given.
        seconds: Length of all videos.
        model: That scores.
        false_accept_rate: As stated in the config.
        boundaries: Of the sentences.
        real_lag: Of one file; None where nothing was heard in it.
        results: One per lag and mode.
    """

    material: str
    kind: str
    videos: int
    sentences: int
    recorded: int
    seconds: float
    model: str
    false_accept_rate: float
    boundaries: Boundaries
    real_lag: RealLag | None
    results: list[LagResult]


HEADER = (
    "lag s",
    "mode",
    "R@1, nothing dropped",
    "lag known",
    "R@1, filtered",
    "wrong kept",
    "boundary s",
    "AUC",
    "lag error s",
    "lag confidence",
    "threshold",
)


def markdown(report: BenchReport) -> Iterator[str]:
    """The report as lines of Markdown."""
    yield (
        f"{report.kind}: {report.videos} videos, {report.seconds:.1f} s, of {report.material};"
        f" {report.recorded} of {report.sentences} sentences read aloud; score model: {report.model};"
    )
    yield f"stated false-accept rate {report.false_accept_rate:.0%}. Intervals are 95 % (Wilson)."
    yield ""
    yield f"| {' | '.join(HEADER)} |"
    yield "|" + " --- |" * len(HEADER)
    for result in report.results:
        yield f"| {' | '.join(_cells(result))} |"
    yield ""
    pooled = {
        mode: (sum(one.frames.wrong_kept for one in found), sum(one.frames.wrong for one in found))
        for mode, found in _by_mode(report.results).items()
    }
    shares = [f"{mode} {_share(share(*counts))} {counts[0]}/{counts[1]}" for mode, counts in pooled.items()]
    yield f"Wrong sentences kept, over these lags: {'; '.join(shares)}."
    heard = report.boundaries
    yield (
        f"Sentence boundaries at lag 0, {heard.sentences} sentences, {heard.missed} not heard: start"
        f" {heard.start_median:.2f} s (median), {heard.start_p95:.2f} s (95 %); end {heard.end_median:.2f} s,"
        f" {heard.end_p95:.2f} s."
    )
    if real := report.real_lag:
        yield (
            f"One file whose sound really is {real.lag:g} s late: {real.same_words} of {real.words} words are heard"
            f" again; their times are {real.median:.3f} s (median), {real.p95:.3f} s (95 %), {real.largest:.3f} s"
            " (largest) from the moved ones."
        )


def _by_mode(results: Sequence[LagResult]) -> dict[str, list[LagResult]]:
    modes = dict.fromkeys(one.mode for one in results)
    return {mode: [one for one in results if one.mode == mode] for mode in modes}


def _cells(result: LagResult) -> list[str]:
    frames = result.frames
    unknown = f" ({result.lags_unknown} unknown)" if result.lags_unknown else ""
    return [
        result.lag,
        result.mode,
        f"{_share(result.recall)} {frames.right}/{frames.described}",
        "–" if result.recall_known is None else f"{result.recall_known.share:.3f}",
        f"{_share(result.recall_kept)} {frames.right_kept}/{frames.described}",
        f"{_share(result.wrong_kept)} {frames.wrong_kept}/{frames.wrong}",
        f"{_number(result.boundary_median, 2)} / {_number(result.boundary_p95, 2)}",
        _number(result.auc, 3),
        _number(result.lag_error, 2) + unknown,
        _number(result.lag_confidence, 2),
        _number(result.threshold, 3),
    ]


def _share(found: Share | None) -> str:
    return "–" if found is None else f"{found.share:.3f} [{found.low:.2f}, {found.high:.2f}]"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
