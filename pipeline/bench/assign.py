"""The time that the assignment of frames to sentences takes, on a video of a given size made of random numbers."""

from __future__ import annotations

import time

import numpy as np
from pydantic import BaseModel

from schemas.manifest import ManifestRow
from schemas.rows import AlignedRow, FramesRow, SampledFrame, ScoresRow, Segment, TranscriptRow, Word
from stages.align.stage import Align, AlignConfig
from stages.base import Context, Video
from stages.filter.assign import assign_by_clip, assign_by_time, worth_by_null
from stages.filter.candidates import candidates, shown_spans
from stages.filter.lag import narration_lag
from storyloom.fs.files import files_at

KEY = "0" * 20
ROUNDS = 5
WORDS = 4
SPEECH = 0.9
"""Share of a sentence's time in which somebody speaks."""


class AssignTimes(BaseModel):
    """Medians over `ROUNDS` rounds of the process's CPU time.

    Attributes:
        sentences: Of the video.
        frames: Of the video, one a second.
        pairs: Candidate pairs inside align's window.
        time_seconds: Of `assign_by_time`.
        clip_seconds: Of `assign_by_clip`, the worth of the pairs and the video's lag included.
    """

    sentences: int
    frames: int
    pairs: int
    time_seconds: float
    clip_seconds: float


def bench_assign(sentences: int, frames: int, seed: int = 0) -> AssignTimes:
    """Time both modes on a video of this many sentences and frames, with random similarities."""
    generator = np.random.default_rng(seed)
    aligned, looks = _aligned(sentences, frames)
    similarity = generator.normal(0.0, 0.1, len(aligned.pairs)).clip(-1.0, 1.0).round(4)
    scores = ScoresRow(video=KEY, similarity=similarity.tolist())
    quantiles = np.quantile(generator.normal(0.0, 0.1, 10_000), np.linspace(0.0, 1.0, 1001)).round(4).tolist()
    rate, cost = 0.05, 0.5
    by_time, by_clip = [], []
    for _ in range(ROUNDS):
        start = time.process_time()
        assign_by_time(frames, candidates(aligned, scores), 0.0)
        middle = time.process_time()
        pairs = candidates(aligned, scores)
        worth = worth_by_null(pairs.similarity, quantiles, rate)
        lag = narration_lag(pairs, worth, np.array(aligned.frame_times), shown_spans(looks))
        assign_by_clip(pairs, worth, cost, lag.seconds)
        by_time.append(middle - start)
        by_clip.append(time.process_time() - middle)
    return AssignTimes(
        sentences=len(aligned.sentences),
        frames=frames,
        pairs=len(aligned.pairs),
        time_seconds=round(float(np.median(by_time)), 4),
        clip_seconds=round(float(np.median(by_clip)), 4),
    )


def _aligned(sentences: int, frames: int) -> tuple[AlignedRow, FramesRow]:
    """A video's rows: sentences one after the other over as many seconds as there are frames."""
    every = frames / sentences
    step = SPEECH * every / WORDS
    segments = []
    for number in range(sentences):
        start = number * every
        words = [
            Word(
                start=start + i * step,
                end=start + (i + 1) * step,
                text=f" word{i}{'.' * (i == WORDS - 1)}",
                probability=1.0,
            )
            for i in range(WORDS)
        ]
        numbers = {"avg_logprob": 0.0, "no_speech_prob": 0.0, "compression_ratio": 1.0}
        segments.append(Segment(start=words[0].start, end=words[-1].end, words=words, **numbers))
    transcript = TranscriptRow(video=KEY, language="en", segments=segments)
    looks = [
        SampledFrame(time=i + 0.5, start=i, scene=i, width=64, height=36, black=0.0, sharpness=0.0)
        for i in range(frames)
    ]
    manifest = ManifestRow(video=KEY, url="-", source_id="-")
    row = FramesRow(video=KEY, frames=looks, covered=float(frames))
    return Align(AlignConfig(null_per_frame=0), Context(seed=0, media=files_at(""))).one(
        Video(manifest, [transcript, row])
    ), row
