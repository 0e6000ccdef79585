"""HTM-Align's protocol over given features: finding a sentence's time, and telling whether it has one.

TemporalAlignNet, Han et al. 2022, arXiv 2204.02968, section 4.1, with one window over the whole video.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from pipeline.bench.measure import auc
from storyloom.errors import UsageError

Features = NDArray[np.float64]

Annotation = tuple[int, float, float, str]
"""Whether the sentence can be aligned (1 or 0), its start and end in seconds, its text, as published."""

ANNOTATIONS = TypeAdapter(dict[str, list[Annotation]])


@dataclass(frozen=True)
class HtmAlign:
    """The two measures and the counts behind them.

    Attributes:
        videos: How many.
        sentences: How many.
        alignable: How many of them can be aligned.
        recall: R@1: share of the alignable ones whose best second lies in [floor(start), ceil(end)].
        auc: ROC-AUC of a sentence's best similarity, as a sign of whether it can be aligned; None when all can or none.
    """

    videos: int
    sentences: int
    alignable: int
    recall: float
    auc: float | None


def htm_align(features: Path, annotations: Path, *, dot: bool = False) -> HtmAlign:
    """Measure features against the published annotations.

    Args:
        features: Folder with, for each video, ``ID.npz`` (arrays ``video`` and ``text``), or ``ID.video.npy`` and
            ``ID.text.npy``: (seconds, width), one a second from 0, and (sentences, width) in the annotations' order.
        annotations: ``htm_align.json``: ``{id: [[alignable, start, end, text], …]}``.
        dot: Compare by dot product, as is done for MIL-NCE, instead of by cosine, as for CLIP.

    Raises:
        UsageError: A file is missing, or does not hold what it should.
    """
    hits: list[bool] = []
    best: list[float] = []
    alignable: list[bool] = []
    published = _annotations(annotations)
    for video, sentences in sorted(published.items()):
        similarity = _similarity(*_features(features, video, len(sentences)), dot=dot)
        for (can, start, end, _), row in zip(sentences, similarity, strict=True):
            best.append(float(row.max()))
            alignable.append(bool(can))
            if can:
                hits.append(math.floor(start) <= int(row.argmax()) <= math.ceil(end))
    if not hits:
        raise UsageError(f"{annotations} has no sentence that can be aligned")
    scores, can_be = np.array(best), np.array(alignable)
    return HtmAlign(len(published), len(best), len(hits), float(np.mean(hits)), auc(scores[can_be], scores[~can_be]))


def markdown(found: HtmAlign) -> Iterator[str]:
    """The result as lines of Markdown, in percent as published."""
    yield "| videos | sentences | alignable | R@1 | ROC-AUC |"
    yield "| --- | --- | --- | --- | --- |"
    area = "–" if found.auc is None else f"{100 * found.auc:.1f}"
    yield f"| {found.videos} | {found.sentences} | {found.alignable} | {100 * found.recall:.1f} | {area} |"


def _annotations(path: Path) -> dict[str, list[Annotation]]:
    try:
        found = ANNOTATIONS.validate_python(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as reason:
        problem = reason.errors()[0]["msg"] if isinstance(reason, ValidationError) else reason
        raise UsageError(f"{path} is not HTM-Align's JSON, {{id: [[1, start, end, text], …]}}: {problem}") from reason
    return {video: sentences for video, sentences in found.items() if sentences}


def _features(folder: Path, video: str, sentences: int) -> tuple[Features, Features]:
    """The features of a video's seconds and of its sentences."""
    packed = folder / f"{video}.npz"
    try:
        if packed.exists():
            with np.load(packed, allow_pickle=False) as arrays:
                seconds, texts = arrays["video"], arrays["text"]
        else:
            seconds = np.load(folder / f"{video}.video.npy", allow_pickle=False)
            texts = np.load(folder / f"{video}.text.npy", allow_pickle=False)
    except (OSError, KeyError, ValueError) as reason:
        raise UsageError(
            f"no features of video {video} in {folder}: {reason}; it takes {video}.npz with the arrays `video` and"
            f" `text`, or {video}.video.npy and {video}.text.npy"
        ) from reason
    fits = seconds.ndim == texts.ndim == 2 and len(seconds) and seconds.shape[1:] == texts.shape[1:]  # noqa: PLR2004
    if not fits or len(texts) != sentences:
        raise UsageError(
            f"features of video {video} have shapes {seconds.shape} and {texts.shape};"
            f" expected (seconds, width) and ({sentences}, width)"
        )
    return seconds.astype(np.float64), texts.astype(np.float64)


def _similarity(seconds: Features, texts: Features, *, dot: bool) -> Features:
    """Similarity of each sentence with each second, (sentences, seconds); features of zeros score 0."""
    if not dot:
        seconds, texts = _unit(seconds), _unit(texts)
    similarity: Features = texts @ seconds.T
    return similarity


def _unit(rows: Features) -> Features:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Features = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return unit
