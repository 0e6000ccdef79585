"""The media stages run once over the alignment bench's videos; each lag then moves the times of the words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import TypeVar

import numpy as np

from pipeline.bench.finished import FinishedRun, run_silently
from pipeline.bench.measure import Lag
from pipeline.bench.media import Narrated, Shot, mux
from pipeline.bench.report import RealLag
from pipeline.config import RunConfig
from schemas.manifest import ManifestRow
from schemas.row import Row
from schemas.rows import FramesRow, Segment, TranscriptRow, Word
from storyloom.errors import RunFailed
from storyloom.format.model import to_milliseconds

RowT = TypeVar("RowT", bound=Row)

REAL_LAG = 4.0
"""Seconds of lag that one video also has in its file, to verify that moving the words is equivalent."""


MEDIA_STAGES = frozenset({"download", "transcribe", "sample"})


@dataclass(frozen=True)
class VideoRows:
    """A narrated video with its rows from the media stages at lag 0."""

    narrated: Narrated
    manifest: ManifestRow
    transcript: TranscriptRow
    frames: FramesRow


def listen(videos: Sequence[Narrated], config: RunConfig, scratch: Path) -> tuple[list[VideoRows], RealLag | None]:
    """Run the media stages once per video at lag 0, and over one more file with a lag.

    Raises:
        RunFailed: A file cannot be written, or a stage failed on it.
    """
    files = {video.name: mux(video, 0.0, scratch / f"{video.name}.mkv") for video in videos}
    late = f"{videos[0].name}-late"
    files[late] = mux(videos[0], REAL_LAG, scratch / f"{late}.mkv")
    lines = [json.dumps({"url": file.name, "id": name}) for name, file in files.items()]
    manifest = scratch / "videos.jsonl"
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    places = {"manifest": str(manifest), "work": str(scratch / "work"), "output": str(scratch / "shards")}
    config = config.model_copy(update=places)
    run_silently(config, MEDIA_STAGES)
    rows = {video.manifest.source_id: video for video in FinishedRun(config).videos("transcribe", "sample")}
    heard = [
        VideoRows(
            one,
            rows[one.name].manifest,
            with_given(live(rows[one.name][TranscriptRow]), one.shots),
            rows[one.name][FramesRow],
        )
        for one in videos
    ]
    return heard, _real_lag(rows[videos[0].name][TranscriptRow], rows[late][TranscriptRow])


def with_given(heard: TranscriptRow, shots: Sequence[Shot]) -> TranscriptRow:
    """A video's transcript with the sentences that are not in its sound, their words evenly over their time."""
    given = [_given(shot) for shot in shots if shot.text and not shot.recorded]
    segments = sorted([*heard.segments, *given], key=lambda segment: segment.start)
    return TranscriptRow(video=heard.video, language=heard.language or "en", segments=segments)


def _given(shot: Shot) -> Segment:
    words = shot.text.split()
    ends = np.linspace(shot.speech_start, shot.speech_end, len(words) + 1).round(3).tolist()
    spoken = [
        Word(start=start, end=end, text=f" {word}", probability=1.0)
        for word, start, end in zip(words, ends, ends[1:], strict=False)
    ]
    numbers = {"avg_logprob": 0.0, "no_speech_prob": 0.0, "compression_ratio": 1.0}
    return Segment(start=ends[0], end=ends[-1], words=spoken, **numbers)


def _real_lag(base: TranscriptRow, late: TranscriptRow) -> RealLag | None:
    """Compare the words of two files whose sound differs by REAL_LAG; None where nothing is heard."""
    first, second = _words(base), _words(late)
    same = SequenceMatcher(None, [w.text for w in first], [w.text for w in second], autojunk=False)
    pairs = [(first[m.a + k], second[m.b + k]) for m in same.get_matching_blocks() for k in range(m.size)]
    if not pairs:
        return None
    moved = np.array([(word.start, word.end) for word, _ in pairs]) + REAL_LAG
    differences = np.abs(moved - np.array([(word.start, word.end) for _, word in pairs]))
    median, p95, largest = (to_milliseconds(found) for found in np.quantile(differences, (0.5, 0.95, 1.0)))
    return RealLag(REAL_LAG, len(first), len(pairs), median, p95, largest)


def _words(transcript: TranscriptRow) -> list[Word]:
    return [word for segment in transcript.segments for word in segment.words]


def with_lag(transcript: TranscriptRow, lag: Lag, video: Narrated) -> TranscriptRow:
    """The words of a video as they are heard when its sound has a lag."""

    def late(time: float) -> float:
        return to_milliseconds(max(0.0, float(lag.late(np.array(time), video))))

    def moved(word: Word) -> Word:
        return word.model_copy(update={"start": late(word.start), "end": late(word.end)})

    segments = [
        segment.model_copy(
            update={
                "start": late(segment.start),
                "end": late(segment.end),
                "words": [moved(word) for word in segment.words],
            }
        )
        for segment in transcript.segments
    ]
    return transcript.model_copy(update={"segments": segments})


def live(row: RowT) -> RowT:
    """The row, when no stage failed on its video.

    Raises:
        RunFailed: One did.
    """
    if row.error:
        raise RunFailed(f"{row.error.stage} failed on a video of the bench: {row.error.code}: {row.error.message}")
    return row
