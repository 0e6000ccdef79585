"""A clip: the part of a file between two times."""

from __future__ import annotations

from typing import Any

from schemas.manifest import ManifestRow
from stages.base import VideoFailed
from stages.media.track import TAIL_SECONDS
from storyloom.format.model import to_milliseconds


def clipped(probed: dict[str, Any], line: ManifestRow) -> dict[str, Any]:
    """The output of `probe` for the part of the file that the manifest asks for; the whole for a line without times.

    A clip that goes on after the end of the file is cut there, with the warning ``clip_cut`` where over `TAIL_SECONDS`
    are missing. A track that ends before the clip starts is not there.

    Raises:
        VideoFailed: ``clip_outside``: nothing of the file lies between the times.
    """
    if not line.is_clip:
        return probed
    whole: float = probed["duration"]
    start = to_milliseconds(max(0.0, line.start))
    wanted = to_milliseconds(line.end) if line.end >= 0 else whole
    end = min(wanted, whole)
    if start >= end:
        message = f"the clip from {start:g} to {wanted:g} s is empty: the video lasts {whole:g} s; correct the manifest"
        raise VideoFailed("clip_outside", message)

    def within(time: float) -> float:
        return to_milliseconds(max(0.0, min(time, end) - start))

    sounds = [track | {"end": within(track["end"])} for track in probed["audio_tracks"] if track["end"] > start]
    shown = probed["has_video"] and probed["video_end"] > start
    return probed | {
        "clip": True,
        "clip_start": start,
        "origin": round(probed["origin"] + start, 6),
        "duration": within(end),
        "cut_off": probed["cut_off"] and end == whole,
        "has_video": shown,
        "video_end": within(probed["video_end"]) if shown else 0.0,
        "has_audio": bool(sounds),
        "audio_tracks": sounds,
        "warnings": [*probed["warnings"], *(["clip_cut"] if wanted - whole > TAIL_SECONDS else [])],
    }
