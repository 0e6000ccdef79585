"""What the alignment bench measures, over rows whose truth is known: the configured assignment, dropped or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.bench.align import evaluate
from pipeline.bench.measure import Case, Lag
from pipeline.bench.media import Narrated, Shot
from schemas.rows import Pair, ScoresRow
from stages.filter.stage import FilterConfig
from tests.stages.rows import CONTEXT, KEY, MANIFEST, aligned, frames_row

SHOTS = 20
EVERY, SPOKEN, LATE = 5.0, 4.0, 4.0
"""Seconds of a picture, of the sentence about it, and by which the sentence is heard late."""

MATCHED, DEVIATION = 0.03, 0.01
"""A narrow model: similarity of what belongs together, and standard deviation of what does not around 0."""


def narrow(black: tuple[int, ...] = ()) -> Case:
    """A video whose every picture has a sentence, heard late and scored by a narrow model."""
    texts = [f"This is sentence number {i} here." for i in range(SHOTS)]
    starts = [EVERY * i for i in range(SHOTS)]
    times = [start + 2.0 for start in starts]
    shots = [
        Shot("described", start, start + EVERY, start, start + SPOKEN, text, about=number)
        for number, (start, text) in enumerate(zip(starts, texts, strict=True))
    ]
    row = aligned([(s + LATE, s + LATE + SPOKEN, text) for s, text in zip(starts, texts, strict=True)], times)
    generator = np.random.default_rng(0)
    noise = generator.normal(0.0, DEVIATION, len(row.pairs)).round(4)
    similarity = [
        MATCHED if pair.frame == pair.sentence else float(n) for pair, n in zip(row.pairs, noise, strict=True)
    ]
    null = generator.normal(0.0, DEVIATION, 2000).round(4).tolist()
    row = row.model_copy(update={"null_pairs": [Pair(frame=i % SHOTS, sentence=0) for i in range(2000)]})
    narrated = Narrated("narrow", shots, [0.0], Path("none.mkv"), np.zeros(0, np.int16))
    scores = ScoresRow(video=KEY, similarity=similarity, null_similarity=null)
    looks = frames_row(times, [float(i in black) for i in range(SHOTS)], starts=starts)
    return Case(narrated, Lag("+4", (LATE,)), row, scores, looks, MANIFEST)


def test_no_more_right_frames_are_kept_than_there_are() -> None:
    frames = evaluate([narrow()], FilterConfig(), CONTEXT).frames
    assert frames.right_kept <= frames.right
    assert frames.wrong_kept <= frames.wrong


def test_with_nothing_dropped_frames_have_the_sentences_that_the_configured_evidence_gives_them() -> None:
    found = evaluate([narrow()], FilterConfig(), CONTEXT)
    assert found.lag_error == pytest.approx(0.0, abs=0.5)
    assert (found.frames.right, found.frames.described) == (SHOTS, SHOTS)


def test_a_black_frame_is_assigned_and_not_kept() -> None:
    found = evaluate([narrow(black=(3,))], FilterConfig(), CONTEXT)
    assert (found.frames.right, found.frames.right_kept) == (SHOTS, SHOTS - 1)
    assert found.recall
    assert found.recall_kept
    assert (found.recall.share, found.recall_kept.share) == (1.0, 0.95)
