"""The decoders of sound and pictures, which run in child processes: their input, and their failures."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from schemas.media import MediaRow
from stages.base import VideoFailed
from stages.media.forkserver import BROKEN, DISK, OWN_PATH
from stages.media.sandbox import ChildFailed, Limits
from stages.media.track import Track


def track_of(media: MediaRow, streams: list[int], path: Path) -> Track:
    """A stream of a video's file with those that go on where it ends, as `download` found them."""
    corrections = [(one.stream, one.packet, one.offset) for one in media.corrections if one.stream in streams]
    return Track(
        str(path), streams, media.origin, media.duration, corrections, media.container, media.clip, media.clip_start
    )


def in_child(track: Track) -> str:
    """A track as JSON for the child that has its file as its own."""
    return json.dumps(asdict(replace(track, path=OWN_PATH)))


def video_failed(failed: ChildFailed, code: str, limits: Limits) -> VideoFailed:
    """The failure of a video whose decoder failed: ``decode_timeout``, ``decoder_crashed``, or the given code.

    Raises:
        RuntimeError: It is no fault of the video, but of the decoder.
        OSError: It is a fault of the disk.
    """
    if failed.timed_out:
        message = f"decoding took over {limits.seconds:g} s; raise the stage's `seconds`, or leave the video out"
        return VideoFailed("decode_timeout", message, retryable=True)
    if failed.status == BROKEN:
        raise RuntimeError(f"a decoder is broken: {failed}") from failed
    if failed.status > DISK:
        number = failed.status - DISK
        raise OSError(number, os.strerror(number), tempfile.gettempdir()) from failed
    message = f"{failed}. If it speaks of memory, raise the stage's `memory`"
    if failed.status < 0:  # by a fault of the file, of the decoder, or of this machine
        return VideoFailed("decoder_crashed", message, retryable=True)
    return VideoFailed(code, message)
