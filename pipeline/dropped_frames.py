"""Frames that `filter` dropped, read from the work folder, since shards do not contain them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from pipeline.workspace import Workspace
from schemas.rows import DocumentsRow, FramesRow
from storyloom.errors import RunFailed, UsageError
from storyloom.format.manifest import Published, finished_dataset
from storyloom.stats.gallery import DroppedFrame, DroppedFrames, gallery_videos


def of_gallery(workspace: Workspace, output: str | os.PathLike[str], size: int) -> DroppedFrames:
    """The frames that a config's run dropped from the videos in the gallery of a page.

    Args:
        workspace: The run's.
        output: Folder of the dataset, or its URL.
        size: Documents in the gallery, at most.

    Raises:
        UsageError: The dataset is another run's.
        RunFailed: The work folder does not hold a video's rows.
    """
    published = finished_dataset(output)
    check_same_run(workspace, published)
    return dropped_frames(workspace, gallery_videos(output, published, size))


def check_same_run(workspace: Workspace, published: Published) -> None:
    """Check that a dataset was made from a config's work folder.

    Raises:
        UsageError: It is another one, or the config changed since.
    """
    graph = workspace.config.graph
    keys = {name: workspace.job.keys[name].key for name in graph.names if name in graph.read_by(graph.group_stages)}
    other = [name for name, key in keys.items() if published.provenance.fingerprints.get(name) != key]
    if other:
        raise UsageError(
            f"the dataset was made with another {other[0]} than this config's: give the config and the --set of the run"
            " that made it"
        )


def dropped_frames(workspace: Workspace, videos: Sequence[str]) -> dict[str, list[DroppedFrame]]:
    """The dropped frames of videos in time order, by the manifest's id of the video.

    Raises:
        RunFailed: The work folder does not hold a video's rows.
    """
    found = {}
    for part in workspace.lines.parts_with(list(videos)):
        decided = workspace.rows("filter", part, DocumentsRow)
        sampled = workspace.rows("sample", part, FramesRow)
        for line, row, frames in zip(workspace.lines[part], decided, sampled, strict=True):
            if {row.video, frames.video} != {line.video}:
                raise RunFailed(f"part {part}: a row is not that of video {line.video}; run it again")
            if line.source_id in videos:
                found[line.source_id] = list(_dropped(row, frames))
    missing = sorted(set(videos) - set(found))
    if missing:
        raise RunFailed(f"the work folder holds no video {missing[0]!r}, which the dataset has: is it that run's?")
    return found


def _dropped(decided: DocumentsRow, frames: FramesRow) -> Iterator[DroppedFrame]:
    for item in decided.dropped_items:
        if item.kind == "frame":
            frame = frames.frames[item.index]
            yield DroppedFrame(item.time, item.reason, frame.width, frame.height, frames.jpegs[item.index])


def why_dropped(workspace: Workspace) -> Callable[[str, float], str]:
    """Tells by a video's id and a time in seconds with which reason `filter` dropped the frame; empty where it did not.

    A video that has no documents at all tells its own reason or error for all of its frames.
    """

    @lru_cache(maxsize=8)
    def of_part(part: str) -> dict[str, DocumentsRow]:
        rows = workspace.rows("filter", part, DocumentsRow)
        return {line.source_id: row for line, row in zip(workspace.lines[part], rows, strict=True)}

    @lru_cache(maxsize=64)
    def of_video(name: str) -> tuple[str, dict[float, str]]:
        for part in workspace.lines.parts_with([name]):
            row = of_part(part)[name]
            times = {item.time: item.reason for item in row.dropped_items if item.kind == "frame"}
            return _whole(row), times
        return "", {}

    def why(name: str, time: float) -> str:
        whole, times = of_video(name)
        return times.get(time, whole)

    return why


def _whole(row: DocumentsRow) -> str:
    """Why a video has no documents."""
    if row.error:
        return f"{row.error.stage}.{row.error.code}"
    return f"{row.dropped.stage}.{row.dropped.reason}" if row.dropped else ""
