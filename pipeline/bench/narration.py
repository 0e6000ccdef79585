"""`storyloom bench narration`: whether videos with their own narration come apart from the same with another's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.bench.align import FREE, rows_of
from pipeline.bench.finished import FinishedRun, run_silently
from pipeline.bench.listen import MEDIA_STAGES, live
from pipeline.bench.measure import auc
from pipeline.config import RunConfig
from schemas.calibration import Calibration
from schemas.manifest import ManifestRow
from schemas.rows import AlignedRow, DocumentsRow, FramesRow, ScoresRow, TranscriptRow
from stages.align.stage import Align, AlignConfig
from stages.base import Context, StageSetupError, Video
from stages.filter.assign import UNPAIRED
from stages.filter.stage import Filter, FilterConfig
from stages.score.stage import Score, ScoreConfig
from storyloom.errors import RunFailed, UsageError
from storyloom.fs.files import files_at


@dataclass(frozen=True)
class NarrationResult:
    """A video's pictures with a narration.

    Attributes:
        picture: Name of the file whose pictures are shown.
        narration: Name of the file whose narration is heard.
        frames: Of the video.
        spoken: Frames with a sentence by the clock.
        similarity: Mean, of frames with the sentence of the clock; None without any.
        auc: Chance that it is above that of an unrelated pair of frame and sentence; None without any.
        null: Mean similarity of unrelated pairs.
        kept: Frames that `filter` keeps with a sentence, in the configured mode.
        lag: As estimated, in seconds.
        confidence: Of the lag.
    """

    picture: str
    narration: str
    frames: int
    spoken: int
    similarity: float | None
    auc: float | None
    null: float
    kept: int
    lag: float
    confidence: float


def bench_narration(files: Sequence[Path], config: RunConfig, scratch: Path) -> list[NarrationResult]:
    """Give every video its own narration, then each of the others', and see what `filter` makes of them.

    The threshold is calibrated on the videos with their own narrations.

    Args:
        files: Videos that are about different things.
        config: Its stages' sections and seed are used; its manifest and folders are not.
        scratch: An existing folder for media and rows.

    Raises:
        UsageError: There are fewer than two files, or two of one name.
        RunFailed: A stage failed on one of them.
    """
    if len(files) < 2 or len({file.name for file in files}) < len(files):  # noqa: PLR2004
        raise UsageError("name two or more videos, with different names: each gets the narration of the others")
    videos = _listen(files, config, scratch)
    context = Context(config.seed, files_at(scratch))
    align, score = Align(config.section(AlignConfig), context), Score(config.section(ScoreConfig), context)
    try:
        score.setup()
    except StageSetupError as reason:
        raise RunFailed(str(reason)) from reason
    results: list[NarrationResult] = []
    null: list[float] = []
    for step in range(len(files)):
        told = [_with_narration(one, videos[(i + step) % len(files)]) for i, one in enumerate(videos)]
        aligned = rows_of(align, told, AlignedRow)
        given = [Video(v.manifest, [a, v[FramesRow]]) for v, a in zip(told, aligned, strict=True)]
        scores = rows_of(score, given, ScoresRow)
        null = null or [value for row in scores for value in row.null_similarity]
        section = FilterConfig.model_validate(config.section(FilterConfig).model_dump() | FREE)
        pooled = Context(config.seed, files_at(scratch), {"calibrate": Calibration.pool(np.array(null))})
        documents = rows_of(
            Filter(section, pooled),
            [Video(v.manifest, [a, s, v[FramesRow]]) for v, a, s in zip(told, aligned, scores, strict=True)],
            DocumentsRow,
        )
        by_time = Filter(section.model_copy(update={"mode": "time"}), pooled)
        for i, (a, s, row) in enumerate(zip(aligned, scores, documents, strict=True)):
            assigned, _ = by_time.assign(a, s, told[i][FramesRow])
            similarity = assigned.similarity[assigned.sentence != UNPAIRED]
            chance = auc(similarity, np.array(null))
            results.append(
                NarrationResult(
                    picture=files[i].name,
                    narration=files[(i + step) % len(files)].name,
                    frames=len(a.frame_times),
                    spoken=len(similarity),
                    similarity=round(float(similarity.mean()), 4) if len(similarity) else None,
                    auc=None if chance is None else round(chance, 4),
                    null=round(float(np.mean(null)), 4),
                    kept=sum(frame.text >= 0 for document in row.documents for frame in document.frames),
                    lag=row.lag,
                    confidence=row.lag_confidence,
                )
            )
    return results


def _listen(files: Sequence[Path], config: RunConfig, scratch: Path) -> list[Video]:
    """The files with their rows of `transcribe` and `sample`, in their order."""
    for file in files:
        try:
            shutil.copyfile(file, scratch / file.name)
        except OSError as reason:
            raise UsageError(f"cannot read {file}: {reason}") from reason
    manifest = scratch / "videos.jsonl"
    manifest.write_text("".join(json.dumps({"url": file.name, "id": file.name}) + "\n" for file in files))
    places = {"manifest": str(manifest), "work": str(scratch / "work"), "output": str(scratch / "shards")}
    config = config.model_copy(update=places)
    run_silently(config, MEDIA_STAGES)
    found = {video.manifest.source_id: video for video in FinishedRun(config).videos("transcribe", "sample")}
    return [found[file.name] for file in files]


def _with_narration(shown: Video, heard: Video) -> Video:
    """A video with the words of another."""
    manifest: ManifestRow = shown.manifest
    transcript = live(heard[TranscriptRow]).model_copy(update={"video": shown.key, "warnings": []})
    return Video(manifest, [transcript, live(shown[FramesRow])])


def markdown(results: Sequence[NarrationResult]) -> Iterator[str]:
    """The results as a table in Markdown."""
    header = ("pictures", "narration", "similarity by the clock", "unrelated", "AUC", "kept", "lag s", "confidence")
    yield f"| {' | '.join(header)} |"
    yield "|" + " --- |" * len(header)
    for one in results:
        similarity = "–" if one.similarity is None else f"{one.similarity:.3f} ({one.spoken} frames)"
        chance = "–" if one.auc is None else f"{one.auc:.2f}"
        yield (
            f"| {one.picture} | {one.narration} | {similarity} | {one.null:.3f} | {chance} |"
            f" {one.kept}/{one.frames} | {one.lag:g} | {one.confidence:.2f} |"
        )
