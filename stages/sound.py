"""The sound of videos: decoded by ffmpeg, one video ahead of what is done with it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from stages import ffmpeg
from stages.atomic import committing, temporary
from stages.base import VideoFailed
from stages.child import ChildFailed, Limits, child
from stages.vad import SAMPLE_RATE, Audio

MOST_LEFT = 256
"""Sounds that lie waiting at most, at 115 MB per hour of media (our choice)."""

ResultT = TypeVar("ResultT")


def decode(media: Path, limits: Limits) -> Audio:
    """A file's first sound track on the clock that its frames have: a track that starts late starts with silence.

    Raises:
        VideoFailed: ``audio_undecodable``, or ``decode_timeout``.
    """
    try:
        with child(ffmpeg.command(sound_output(ffmpeg.source(media), "pipe:")), limits) as sound:
            samples = np.frombuffer(sound.read(), dtype="<i2")
    except ChildFailed as failed:
        raise ffmpeg.video_failed(failed, "audio_undecodable", limits) from failed
    if not len(samples):
        raise VideoFailed("audio_undecodable", "not a sample of the sound track could be decoded")
    return samples


def sound_output(tracks: Any, target: str) -> Any:
    """The output node of ffmpeg-python that writes the first sound track as samples of `Audio`."""
    return tracks["a:0"].output(target, af="aresample=async=1:first_pts=0", ac=1, ar=SAMPLE_RATE, f="s16le")


@contextmanager
def leaving(folder: Path | None, key: str) -> Iterator[Path | None]:
    """A file for the sound of a video that somebody comes past; `taken` finds it when the block ends well.

    None when there is no folder, or so much in it already that `taken` is far behind.
    """
    if folder is None or len(_names(folder)) >= MOST_LEFT:
        yield None
        return
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = temporary(folder / key)
    try:
        yield unfinished
        # Not there: its writer gave up, or another run ended and cleared the folder.
        with contextlib.suppress(FileNotFoundError), committing(folder / key) as whole:
            unfinished.rename(whole)
    finally:
        unfinished.unlink(missing_ok=True)


def taken(folder: Path | None, key: str) -> Audio | None:
    """The sound that was left of a video; None when there is none. It is there once only."""
    if folder is None:
        return None
    try:
        samples = np.frombuffer((folder / key).read_bytes(), dtype="<i2")
    except FileNotFoundError:
        return None
    (folder / key).unlink(missing_ok=True)
    return samples if len(samples) else None


def _names(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []  # noqa: PTH208 - names are all that is asked


class OneAhead(ThreadPoolExecutor):
    """A thread that works on the next item while the result before is used; `map` takes items only as they are due."""

    def __init__(self) -> None:
        super().__init__(1)

    def map(self, fn: Callable[..., ResultT], *iterables: Iterable[Any], **_bounds: Any) -> Iterator[ResultT]:
        """The results in the order of the items."""
        due: Future[ResultT] | None = None
        try:
            for arguments in zip(*iterables, strict=True):
                following = self.submit(fn, *arguments)
                if due is not None:
                    yield due.result()
                due = following
            if due is not None:
                yield due.result()
        finally:
            self.shutdown(wait=False, cancel_futures=True)
