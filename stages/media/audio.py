"""The audio of videos, decoded by ffmpeg into files: memory does not grow with its length."""

from __future__ import annotations

import json
import os
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import numpy.typing as npt

from stages.base import VideoFailed
from stages.media import sound
from stages.media.decoder import in_child, video_failed
from stages.media.sandbox import ChildFailed, Limits, Program, child
from stages.media.sound import QUIETEST, SAMPLE, SAMPLE_RATE, Account, most_bytes
from stages.media.track import Track

LOW_LEVEL = -45.0
"""Level of the loud parts, in dB of full scale, below which a track is raised (our choice: speech is recorded at -30 to
-15; two bytes hold speech of this level with 8 bits)."""

SPEECH_LEVEL = -23.0
"""Level to which it is raised, in dB of full scale (EBU R 128's programme loudness)."""

Samples = npt.NDArray[np.int16]
"""Shape (samples,), mono, at `SAMPLE_RATE` where no other rate was asked for."""


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


@dataclass(frozen=True)
class Decoded:
    """A decoded audio track.

    Attributes:
        audio: Its samples, from the start of the video on.
        gain: Decibels by which it was raised.
        filled: Seconds of silence put in where the track has none, after its first sample.
        cut: Seconds of samples left out because their time was taken.
        errors: Number of packets that could not be decoded.
        crashed: Whether the decoder crashed; what came before is kept.
    """

    audio: AudioFile
    gain: float
    filled: float
    cut: float
    errors: int
    crashed: bool


def decode(track: Track, limits: Limits, rate: int = SAMPLE_RATE) -> Decoded:
    """An audio track on the clock of the video's frames: one that starts late begins with silence.

    A track whose speech could not be made out for its low level is decoded louder. The samples are in an unnamed
    temporary file (in ``TMPDIR``), which is removed with the audio.

    Args:
        track: The audio track.
        limits: Of the child that decodes it.
        rate: Samples a second.

    Raises:
        VideoFailed: ``audio_undecodable``, ``decoder_crashed`` or ``decode_timeout``.
        OSError: The samples cannot be written.
        RuntimeError: The decoder is broken.
    """
    decoded, level = _decoded(track, limits, 0.0, rate)
    if QUIETEST < level < LOW_LEVEL:
        decoded, _ = _decoded(track, limits, SPEECH_LEVEL - level, rate)
    return decoded


def _decoded(track: Track, limits: Limits, gain: float, rate: int) -> tuple[Decoded, float]:
    """The decoded track, raised by `gain` decibels, and its own level."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - `AudioFile` closes it
    audio = AudioFile(file)
    arguments = in_child(track), repr(10 ** (gain / 20)), str(rate)
    program = Program(sound.__name__, arguments, Path(track.path), file.fileno(), written=most_bytes(track.end, rate))
    account, crashed = Account(), False
    try:
        with child(program, limits) as printed:
            account = Account(**json.loads(printed.read() or b"{}"))
    except ChildFailed as failed:
        crashed = failed.status < 0 and not failed.timed_out
        if not (crashed and len(audio)):
            raise video_failed(failed, "audio_undecodable", limits) from failed
    nothing_to_decode = track.clip and not account.errors  # it begins later, or has a gap here: silence
    if not crashed and not account.decoded and not nothing_to_decode:
        raise VideoFailed("audio_undecodable", "not a sample of the audio track could be decoded")
    return Decoded(audio, gain, account.filled, account.cut, account.errors, crashed), account.level


def floats(samples: Samples) -> npt.NDArray[np.float32]:
    """The samples as floats from -1 to 1, the input of models."""
    scaled = samples.astype(np.float32)
    scaled /= 32768.0
    return scaled
