"""The audio of videos, decoded by ffmpeg into files: memory does not grow with its length."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import numpy.typing as npt

from stages.base import VideoFailed
from stages.media import ffmpeg
from stages.media.sandbox import ChildFailed, Limits, child

SAMPLE_RATE = 16_000
"""Hz; the rate of Whisper and Silero."""

SAMPLE = np.dtype("<i2")

COPIED_AT_ONCE = 2**20
"""Bytes (our choice)."""

Samples = npt.NDArray[np.int16]
"""Shape (samples,), mono at `SAMPLE_RATE`."""


class Audio(Protocol):
    """An audio track that is read by slices: `Samples`, or a file of them."""

    def __len__(self) -> int:
        """Number of samples."""

    def __getitem__(self, part: slice, /) -> Samples:
        """The samples of a slice in steps of 1."""


class AudioFile:
    """An `Audio` in a file.

    Args:
        file: Samples of two bytes, little endian; closed with the last reference to the audio.
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


def decode(media: Path, limits: Limits) -> AudioFile:
    """A file's first audio track on the clock of its frames: a track that starts late begins with silence.

    The samples are in an unnamed temporary file (in ``TMPDIR``), which is removed with the audio.

    Raises:
        VideoFailed: ``audio_undecodable``, or ``decode_timeout``.
    """
    file = tempfile.TemporaryFile()  # noqa: SIM115 - `AudioFile` closes it
    audio = AudioFile(file)
    track = ffmpeg.source(media)["a:0"]
    output = track.output("pipe:", af="aresample=async=1:first_pts=0", ac=1, ar=SAMPLE_RATE, f="s16le")
    try:
        with child(ffmpeg.command(output), limits) as samples:
            shutil.copyfileobj(samples, file, COPIED_AT_ONCE)
        file.flush()
    except ChildFailed as failed:
        raise ffmpeg.video_failed(failed, "audio_undecodable", limits) from failed
    if not len(audio):
        raise VideoFailed("audio_undecodable", "not a sample of the audio track could be decoded")
    return audio


def floats(samples: Samples) -> npt.NDArray[np.float32]:
    """The samples as floats from -1 to 1, the input of models."""
    scaled = samples.astype(np.float32)
    scaled /= 32768.0
    return scaled
