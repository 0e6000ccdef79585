"""Small rows for tests of stages that look at rows only."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.manifest import ManifestRow
from schemas.rows import AlignedRow, FramesRow, SampledFrame, ScoresRow, Segment, Sentence, TranscriptRow, Word
from stages.align.stage import Align, AlignConfig
from stages.base import Context, Video
from storyloom.fs.files import files_at

KEY = "0123456789abcdef0123"
MANIFEST = ManifestRow(video=KEY, url="video.mp4", source_id="video.mp4")
CONTEXT = Context(seed=0, media=files_at("media"))


def sentence(start: float, end: float, text: str = "a few words that were said here", flag: str = "") -> Sentence:
    return Sentence(start=start, end=end, text=text, words=len(text.split()), flag=flag)


def frames_row(
    times: Sequence[float],
    black: Sequence[float] = (),
    sharpness: Sequence[float] = (),
    starts: Sequence[float] = (),
) -> FramesRow:
    """Frames at these times; what they show is seen from `starts`, by default from the time itself."""
    frames = [
        SampledFrame(
            time=time,
            start=starts[i] if starts else time,
            scene=0,
            width=64,
            height=36,
            black=black[i] if black else 0.0,
            sharpness=sharpness[i] if sharpness else 0.0,
        )
        for i, time in enumerate(times)
    ]
    return FramesRow(video=KEY, frames=frames)


def transcript(spans: Sequence[tuple[float, float, str]]) -> TranscriptRow:
    """One segment per span, its words spread evenly over it."""
    segments = []
    for start, end, text in spans:
        words = text.split()
        step = (end - start) / len(words)
        segments.append(
            Segment(
                start=start,
                end=end,
                avg_logprob=-0.1,
                no_speech_prob=0.0,
                compression_ratio=1.0,
                words=[
                    Word(start=start + i * step, end=start + (i + 1) * step, text=f" {word}", probability=1.0)
                    for i, word in enumerate(words)
                ],
            )
        )
    return TranscriptRow(video=KEY, language="en", segments=segments)


def aligned(
    spans: Sequence[tuple[float, float, str]], times: Sequence[float], config: AlignConfig | None = None
) -> AlignedRow:
    return Align(config or AlignConfig(), CONTEXT).one(Video(MANIFEST, [transcript(spans), frames_row(times)]))


def scored(row: AlignedRow, similarity: float | Sequence[float], continuity: Sequence[float] = ()) -> ScoresRow:
    values = list(similarity) if isinstance(similarity, Sequence) else [similarity] * len(row.pairs)
    return ScoresRow(
        video=KEY, similarity=values, null_similarity=[0.0] * len(row.null_pairs), continuity=list(continuity)
    )
