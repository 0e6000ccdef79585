"""The sound of videos: decoded by ffmpeg into files, one video ahead of what is done with it."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from stages.base import VideoFailed
from stages.media import ffmpeg
from stages.media.sandbox import ChildFailed, Limits, child
from stages.transcribe.vad import SAMPLE_RATE, Samples
from storyloom.fs.atomic import committing, temporary

SAMPLE = np.dtype("<i2")

COPIED_AT_ONCE = 2**20
"""Bytes (our choice)."""

MOST_LEFT = 256
"""Sounds that lie waiting at most, at 115 MB per hour of media (our choice)."""

ResultT = TypeVar("ResultT")


class SoundFile:
    """An `Audio` that lies in a file: what is in memory does not grow with its length.

    Args:
        file: Samples of two bytes, little endian; closed when nobody holds the sound any more.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        weakref.finalize(self, file.close)

    def __len__(self) -> int:
        return os.fstat(self._file.fileno()).st_size // SAMPLE.itemsize

    def __getitem__(self, part: slice, /) -> Samples:
        start, stop, _ = part.indices(len(self))
        self._file.seek(SAMPLE.itemsize * start)
        return np.fromfile(self._file, SAMPLE, max(0, stop - start))


def decode(media: Path, limits: Limits) -> SoundFile:
    """A file's first sound track on the clock that its frames have: a track that starts late starts with silence.

    It lies in a file of the system's folder for temporary ones (``TMPDIR``), which has no name and goes with it.

    Raises:
        VideoFailed: ``audio_undecodable``, or ``decode_timeout``.
    """
    file = tempfile.TemporaryFile()  # noqa: SIM115 - `SoundFile` closes it
    sound = SoundFile(file)
    try:
        with child(ffmpeg.command(sound_output(ffmpeg.source(media), "pipe:")), limits) as samples:
            shutil.copyfileobj(samples, file, COPIED_AT_ONCE)
        file.flush()
    except ChildFailed as failed:
        raise ffmpeg.video_failed(failed, "audio_undecodable", limits) from failed
    if not len(sound):
        raise VideoFailed("audio_undecodable", "not a sample of the sound track could be decoded")
    return sound


def sound_output(tracks: Any, target: str) -> Any:
    """The output node of ffmpeg-python that writes the first sound track as `SoundFile` reads it."""
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


def taken(folder: Path | None, key: str) -> SoundFile | None:
    """The sound that was left of a video; None when there is none. It is there once only."""
    if folder is None:
        return None
    try:
        sound = SoundFile((folder / key).open("rb"))
    except FileNotFoundError:
        return None
    (folder / key).unlink(missing_ok=True)  # what is open can still be read
    return sound if len(sound) else None


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
