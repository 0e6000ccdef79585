"""The alignment of a run in numbers: lags, shifts, scores against the null, pairs per minute."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from pipeline.funnel import ANSWERED, funnel
from pipeline.notes import notes
from pipeline.status import status
from pipeline.workspace import Workspace
from schemas.media import MediaRow
from schemas.row import Row
from schemas.rows import LEAST_LAG_CONFIDENCE, DocumentsRow, ScoresRow
from storyloom.errors import RunFailed
from storyloom.format.manifest import FunnelRow
from storyloom.view.counts import count_of

EDGES = [-10.0, -8.0, -6.0, -4.0, -2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0]
"""Seconds, bounds of the histograms: narrow around 0, where most values are."""

PERCENTILES = (5, 25, 50, 75, 95)

BAR = 40
"""Characters of the longest bar."""


class AlignmentReport(BaseModel):
    """The alignment of a run.

    Attributes:
        videos: With at least one document.
        minutes: Length of all videos that gave a document, as their containers state it.
        frames: In documents.
        pairs: Frames in documents that have a sentence of their own.
        pairs_per_minute: Of these videos.
        threshold: Similarity below which a frame was dropped.
        edges: Bounds of the histograms, in seconds.
        lags: Videos by estimated narration lag, one count per interval of `edges`.
        lag_confidence: Percentiles 5, 25, 50, 75 and 95 of the confidence of these lags, 0 to 1; 0.0 in `time` mode.
        lags_unknown: Videos whose confidence is too low for a lag, which are taken as without one.
        shifts: Pairs by shift, likewise.
        kept: Percentiles 5, 25, 50, 75 and 95 of the similarity of pairs.
        null: The same percentiles of unrelated frames and sentences.
        null_above_threshold: Share of the unrelated ones that reach the threshold, 0 to 1.
        notes: What a user of the dataset must know, e.g. that the threshold rests on too few unrelated ones.
        answered: What models were asked for about the frames, such as captions: how many have it, and why others have
            none.
    """

    videos: int
    minutes: float
    frames: int
    pairs: int
    pairs_per_minute: float
    threshold: float
    edges: list[float]
    lags: list[int]
    lag_confidence: list[float]
    lags_unknown: int
    shifts: list[int]
    kept: list[float]
    null: list[float]
    null_above_threshold: float
    notes: list[str]
    answered: list[FunnelRow] = []


def alignment_report(workspace: Workspace) -> AlignmentReport:
    """Sum up a run's rows; the rows of one video at a time are in memory.

    Raises:
        RunFailed: `filter` is not up to date, or no video gave a document.
    """
    if not {"filter", "download", "score"} <= set(workspace.config.graph.names):
        raise RunFailed("there is no alignment to report on: download, score or filter is off in this config")
    stages = status(workspace)
    waiting = next((one for one in stages if one.stage == "filter" and one.to_do), None)
    if waiting:
        raise RunFailed(f"filter has {waiting.to_do} of {count_of(waiting.units, 'parts')} to do; run it first")
    seconds, lags, confidence, thresholds = 0.0, list[float](), list[float](), set[float]()
    frames, shifts, kept, null = 0, list[float](), list[float](), list[float]()
    for media, scores, row in _rows(workspace):
        null.extend(scores.null_similarity)
        if not row.documents:
            continue
        seconds += max(0.0, media.duration)
        lags.append(row.lag)
        confidence.append(row.lag_confidence)
        thresholds.add(row.threshold)
        in_documents = [frame for document in row.documents for frame in document.frames]
        frames += len(in_documents)
        shifts.extend(frame.shift for frame in in_documents if frame.text >= 0)
        kept.extend(frame.similarity for frame in in_documents if frame.text >= 0)
    if not lags:
        raise RunFailed("no video gave a document, so there is no alignment to report")
    (threshold,) = thresholds
    minutes = seconds / 60
    return AlignmentReport(
        videos=len(lags),
        minutes=round(minutes, 2),
        frames=frames,
        pairs=len(kept),
        pairs_per_minute=round(len(kept) / minutes, 2) if minutes else 0.0,
        threshold=threshold,
        edges=EDGES,
        lags=_histogram(lags),
        lag_confidence=_percentiles(confidence),
        lags_unknown=sum(one < LEAST_LAG_CONFIDENCE for one in confidence),
        shifts=_histogram(shifts),
        kept=_percentiles(kept),
        null=_percentiles(null),
        null_above_threshold=round(float(np.mean(np.array(null) >= threshold)), 4) if null else 0.0,
        notes=notes(workspace),
        answered=[row for row in funnel(stages) if row.what in ANSWERED],
    )


def print_report(report: AlignmentReport, console: Console) -> None:
    """Print a report as tables and bars."""
    console.print(
        f"{count_of(report.videos, 'videos')}, {report.minutes} min: {count_of(report.frames, 'frames')} in documents,"
        f" {report.pairs:,} with a sentence; frames with a sentence per minute of video: {report.pairs_per_minute}",
        highlight=False,
    )
    scores = Table("similarity", *(f"{p} %" for p in PERCENTILES))
    scores.add_row("frame with its sentence", *(f"{value:.3f}" for value in report.kept))
    scores.add_row("unrelated", *(f"{value:.3f}" for value in report.null))
    console.print(scores)
    share = 100 * report.null_above_threshold
    console.print(f"threshold {report.threshold:.3f}: {share:.1f} % of the unrelated reach it", highlight=False)
    for note in report.notes:
        console.print(note, highlight=False, markup=False)
    for row in report.answered:
        why = ", ".join(f"{reason} {n}" for reason, n in {**row.dropped, **row.failed}.items())
        told = f"{row.kept:,} of {row.found:,} frames have {row.what}" + (f"; others: {why}" if why else "")
        console.print(told, highlight=False, markup=False)
    confidence = ", ".join(f"{p} % {value:.2f}" for p, value in zip(PERCENTILES, report.lag_confidence, strict=True))
    console.print(
        f"\nconfidence of the narration lag, percentiles over videos: {confidence};"
        f" under {LEAST_LAG_CONFIDENCE} and taken as without a lag: {report.lags_unknown} of {report.videos}",
        highlight=False,
    )
    for title, counts in (("narration lag, videos", report.lags), ("shift of sentences, frames", report.shifts)):
        console.print(f"\n{title}, by seconds", highlight=False)
        for low, high, count in zip(EDGES, EDGES[1:], counts, strict=False):
            if count:
                bar = "█" * max(1, round(BAR * count / max(counts)))
                console.print(f"  {low:6.1f} to {high:5.1f}  {count:8d}  {bar}", highlight=False)


def _rows(workspace: Workspace) -> Iterator[tuple[MediaRow, ScoresRow, DocumentsRow]]:
    """The three rows of every video."""
    for part in workspace.plan.parts:
        media = workspace.rows("download", part, MediaRow)
        scores = workspace.rows("score", part, ScoresRow)
        documents = workspace.rows("filter", part, DocumentsRow)
        for rows in zip(media, scores, documents, strict=True):
            _check_keys(part, rows)
            yield rows


def _check_keys(part: str, rows: tuple[Row, ...]) -> None:
    keys = {row.video for row in rows}
    if len(keys) > 1:
        raise RunFailed(f"part {part}: rows of different videos stand side by side: {', '.join(sorted(keys))}")


def _histogram(values: list[float]) -> list[int]:
    """Counts per interval of `EDGES`; values beyond the ends count in the outermost intervals."""
    counts, _ = np.histogram(np.clip(values, EDGES[0], EDGES[-1]), EDGES)
    found: list[int] = counts.tolist()
    return found


def _percentiles(values: list[float]) -> list[float]:
    found: list[float] = np.percentile(values, PERCENTILES).round(4).tolist() if values else [0.0] * len(PERCENTILES)
    return found
