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
from pipeline.bench.media import Narrated, mux
from pipeline.bench.report import RealLag
from pipeline.config import RunConfig
from schemas.row import Row
from schemas.rows import FramesRow, ManifestRow, TranscriptRow, Word
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


def listen(videos: Sequence[Narrated], config: RunConfig, scratch: Path) -> tuple[list[VideoRows], RealLag]:
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
        VideoRows(one, rows[one.name].manifest, rows[one.name][TranscriptRow], rows[one.name][FramesRow])
        for one in videos
    ]
    return heard, _real_lag(heard[0].transcript, rows[late][TranscriptRow])


def _real_lag(base: TranscriptRow, late: TranscriptRow) -> RealLag:
    """Compare the words of two files whose sound differs by REAL_LAG."""
    first, second = _words(base), _words(late)
    same = SequenceMatcher(None, [w.text for w in first], [w.text for w in second], autojunk=False)
    pairs = [(first[m.a + k], second[m.b + k]) for m in same.get_matching_blocks() for k in range(m.size)]
    moved = np.array([(word.start, word.end) for word, _ in pairs]) + REAL_LAG
    differences = np.abs(moved - np.array([(word.start, word.end) for _, word in pairs]))
    median, p95, largest = (to_milliseconds(found) for found in np.quantile(differences, (0.5, 0.95, 1.0)))
    return RealLag(REAL_LAG, len(first), len(pairs), median, p95, largest)


def _words(transcript: TranscriptRow) -> list[Word]:
    return [word for segment in transcript.segments for word in segment.words]


def with_lag(transcript: TranscriptRow, lag: Lag, seconds: float) -> TranscriptRow:
    """The words as they are heard when the sound of a video so many seconds long has a lag."""

    def late(time: float) -> float:
        return to_milliseconds(max(0.0, float(lag.late(np.array(time), seconds))))

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
