"""Frames that `filter` dropped: the shards do not hold them, the work folder does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.plan import part_rows
from pipeline.situation import Situation
from schemas.rows import DocumentsRow, FramesRow
from storyloom.errors import RunFailed, UsageError
from storyloom.format.manifest import Published
from storyloom.stats.gallery import DroppedFrame


def check_same_run(situation: Situation, published: Published) -> None:
    """Make sure that a config's work folder is the one that a dataset came from.

    Raises:
        UsageError: It is another one, or the config changed since.
    """
    made, found = published.provenance.fingerprints.get("filter", ""), situation.job.digests.get("filter", "")
    if made != found:
        raise UsageError(
            f"the dataset was made with filter {made or 'of no known fingerprint'}, the config's is"
            f" {found or 'not known yet'}: give the config and the --set of the run that made it"
        )


def dropped_frames(situation: Situation, videos: Sequence[str]) -> dict[str, list[DroppedFrame]]:
    """The dropped frames of videos in time order, by the manifest's id of the video.

    Raises:
        RunFailed: The work folder does not hold a video's rows.
    """
    store, digests = situation.job.store, situation.job.digests
    found = {}
    for part in _parts_with(situation, videos):
        for position, line in enumerate(part_rows(store.plan, part)):
            if line.source_id not in videos:
                continue
            try:
                decided = store.row("filter", digests["filter"], part, DocumentsRow, position)
                frames = store.row("sample", digests["sample"], part, FramesRow, position)
            except (OSError, IndexError) as reason:
                raise RunFailed(f"part {part} of the work folder cannot be read: {reason}; run it again") from reason
            if {decided.video, frames.video} != {line.video}:
                raise RunFailed(f"part {part}: row {position} is not that of video {line.video}; run it again")
            found[line.source_id] = list(_dropped(decided, frames))
    missing = sorted(set(videos) - set(found))
    if missing:
        raise RunFailed(f"the work folder holds no video {missing[0]!r}, which the dataset has: is it that run's?")
    return found


def _dropped(decided: DocumentsRow, frames: FramesRow) -> Iterator[DroppedFrame]:
    for item in decided.dropped_items:
        if item.kind == "frame":
            frame = frames.frames[item.index]
            yield DroppedFrame(item.time, item.reason, frame.width, frame.height, frames.jpegs[item.index])


def _parts_with(situation: Situation, videos: Sequence[str]) -> list[str]:
    planned = set(situation.plan.parts)
    wanted = pc.field("source_id").isin(list(videos))
    files: list[Path] = sorted(situation.job.store.plan.glob("*.parquet"))
    found = {
        part for file in files for part in pq.read_table(file, filters=wanted, columns=["part"])["part"].to_pylist()
    }
    return sorted(planned & found)
