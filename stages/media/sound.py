"""Decoding an audio track in a child process: see `run`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stages.media.forkserver import EXTRA
from stages.media.track import BEFORE_CLIP, Decoder, Track, opened

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.resampler import AudioResampler

SAMPLE_RATE = 16_000
"""Hz; the rate of Whisper and Silero, and that of the output where no other is asked for."""

SAMPLE = np.dtype("<i2")

SLACK = 0.04
"""Seconds by which samples may be off their stated times before silence is put in or samples are left out (our choice:
stated times jitter by up to a frame of 0.02 s)."""

UNSURE = 0.6
"""The same for frames that last longer or shorter than stated: their times are extrapolated with a sample rate of
before, from the last time that the file states (our choice: MPEG transport streams state one in 0.4 s or less)."""

MISSTATED = 0.05
"""Relative error of a frame's stated duration from which its time counts as extrapolated (our choice: containers round
21.3 ms to 21)."""

BLOCK = 1
"""Seconds of which the channels are mixed alike (our choice)."""

LEVEL_BLOCKS = 20
"""Measures of the level in a second (our choice)."""

QUIETEST, LEVELS = -120, 120
"""Lowest level that is told apart, in dB of full scale, and the number of levels, 1 dB each."""

LOUD_SHARE = 0.05
"""Share of the blocks that are at least as loud as the track's level (our choice: speech may be rare)."""

CENTRE, SIDE, SURROUND = 1.0, 0.3, 0.2
"""Weights of the channels of a layout with a centre, which carries the dialogue (our choice; ITU-R BS.775 has 0.7 for
the others, which leaves speech under music)."""

MIX_LOSS = 0.2
"""A mix with less than this share of its strongest channel's power has cancelled it (our choice: unrelated channels
keep half, a channel beside a silent one a quarter)."""

Floats = npt.NDArray[np.float32]


@dataclass
class Account:
    """What was decoded.

    Attributes:
        decoded: Seconds of decoded samples in the output.
        filled: Seconds of silence put in where the track has none, after its first sample.
        cut: Seconds of samples left out because their time was taken.
        errors: Number of packets that could not be decoded.
        level: Level of the loud parts, in dB of full scale.
    """

    decoded: float = 0.0
    filled: float = 0.0
    cut: float = 0.0
    errors: int = 0
    level: float = float(QUIETEST)


def decode(track: Track, out: int, gain: float, rate: int) -> Account:
    """Decode a track.

    Args:
        track: The audio track.
        out: File descriptor for the samples.
        gain: Factor of the samples.
        rate: Samples a second of the output.
    """
    with opened(Path(track.path), track.container) as container:
        decoder = Decoder(container, track)
        line = _Timeline(out, track.end, gain, rate, clip=track.clip)
        for frame in decoder.frames():
            time = decoder.time(frame)
            if track.clip and time is not None and time < -BEFORE_CLIP:
                continue
            line.add(frame, time, decoder.stated)
        return line.finished(decoder.errors)


def most_samples(end: float, rate: int) -> int:
    """Most samples of a track that ends at `end` seconds, whatever its packets say."""
    return round((end + SLACK) * rate)


def most_bytes(end: float, rate: int) -> int:
    """Most bytes of a file of its samples."""
    return most_samples(end, rate) * SAMPLE.itemsize


class _Timeline:
    """Writes samples at their times: silence where there are none.

    Args:
        out: File descriptor for the samples.
        end: Seconds at which the output ends at the latest.
        gain: Factor of the samples.
        rate: Samples a second.
        clip: Whether there is more of the track than is wanted, before the start and after the end.
    """

    def __init__(self, out: int, end: float, gain: float, rate: int, *, clip: bool = False) -> None:
        self._out = out
        self._clip = clip
        self._rate = rate
        self._end = round(end * rate) if clip else most_samples(end, rate)
        self._gain = gain
        self._written = 0
        self._mixer: _Mixer | None = None
        self._due = 0.0  # seconds at which the next frame is expected
        self._counts = dict.fromkeys(("decoded", "filled", "cut"), 0)
        self._levels = np.zeros(LEVELS + 1, np.int64)

    def add(self, frame: AudioFrame, time: float | None, stated: float) -> None:
        """Add a frame.

        Args:
            frame: Samples of one format.
            time: Its time in seconds; None puts it after the one before.
            stated: Seconds that it lasts, as the file states them; 0.0 if unknown.
        """
        seconds = frame.samples / frame.sample_rate
        slack = UNSURE if stated and abs(stated - seconds) > MISSTATED * seconds else SLACK
        if self._mixer is None or not self._mixer.takes(frame) or (time is not None and abs(time - self._due) > slack):
            self._flush()
            self._mixer = _Mixer(frame, self._rate)
            self._due = self._due if time is None else time
            self._seek(round(self._due * self._rate))
        self._due += seconds
        for block in self._mixer.add(frame):
            self._write(block)

    def finished(self, errors: int) -> Account:
        """Write the rest; returns the account, with the number of packets that could not be decoded."""
        self._flush()
        if self._clip and not self._written and not errors:  # the track has nothing here
            self._seek(self._end)
        os.ftruncate(self._out, self._written * SAMPLE.itemsize)
        seconds = {name: round(count / self._rate, 3) for name, count in self._counts.items()}
        from_top = np.cumsum(self._levels[::-1])
        level = QUIETEST
        if from_top[-1]:
            level = QUIETEST + LEVELS - int(np.searchsorted(from_top, max(1, LOUD_SHARE * from_top[-1])))
        return Account(seconds["decoded"], seconds["filled"], seconds["cut"], errors, float(level))

    def _flush(self) -> None:
        if self._mixer is not None:
            for block in self._mixer.rest():
                self._write(block)
        self._mixer = None

    def _seek(self, position: int) -> None:
        """Go on at a position: put silence before it, or leave out as many of the next samples as are behind."""
        self._skipped = max(0, self._written - position)
        self._before = max(0, -position) if self._clip else 0  # of those, samples before the start
        missing = min(position, self._end) - self._written
        if missing <= 0:
            return
        if self._written:
            self._counts["filled"] += missing
        os.lseek(self._out, missing * SAMPLE.itemsize, os.SEEK_CUR)  # a hole, which takes no room on the disk
        self._written += missing

    def _write(self, block: Floats) -> None:
        late = min(self._skipped, len(block))
        before = min(self._before, late)
        self._skipped -= late
        self._before -= before
        block = block[late : late + max(0, self._end - self._written)]
        self._counts["cut"] += late - before
        self._counts["decoded"] += len(block)
        self._written += len(block)
        self._measure(block)
        content = np.clip(np.rint(block * (32768.0 * self._gain)), -32768, 32767).astype(SAMPLE).tobytes()
        while content:
            content = content[os.write(self._out, content) :]

    def _measure(self, block: Floats) -> None:
        size = self._rate // LEVEL_BLOCKS
        whole = block[: len(block) // size * size].reshape(-1, size)
        power = np.square(whole, dtype=np.float64).mean(axis=1)
        decibels = 10 * np.log10(np.maximum(power, 10 ** (QUIETEST / 10)))
        np.add.at(self._levels, np.clip(np.rint(decibels - QUIETEST).astype(np.int64), 0, LEVELS), 1)


class _Mixer:
    """Turns frames of one format into mono blocks.

    Args:
        frame: The first of them.
        rate: Samples a second of the blocks.
    """

    def __init__(self, frame: AudioFrame, rate: int) -> None:
        from av.audio.resampler import AudioResampler

        self._format = _format(frame)
        self._names = [channel.name for channel in frame.layout.channels]
        self._resampler: AudioResampler = AudioResampler("flt", frame.layout, rate)
        self._block = BLOCK * rate
        self._held: list[Floats] = []
        self._samples = 0

    def takes(self, frame: AudioFrame) -> bool:
        """Whether a frame has the format of the first one."""
        return self._format == _format(frame)

    def add(self, frame: AudioFrame) -> Iterator[Floats]:
        """Add a frame; yields blocks as they are full."""
        frame.pts = None  # the resampler would fill gaps by it
        self._take(self._resampler.resample(frame))
        whole = self._samples // self._block * self._block
        if not whole:
            return
        held = np.concatenate(self._held)
        self._held, self._samples = [held[whole:].copy()], self._samples - whole
        for start in range(0, whole, self._block):
            yield mixed(held[start : start + self._block], self._names)

    def rest(self) -> Iterator[Floats]:
        """Yield what is left."""
        self._take(self._resampler.resample(None))
        if self._samples:
            yield mixed(np.concatenate(self._held), self._names)

    def _take(self, frames: list[AudioFrame]) -> None:
        for frame in frames:
            plane: Any = frame.planes[0]
            samples = np.frombuffer(plane, np.float32, frame.samples * len(self._names))
            self._held.append(samples.reshape(-1, len(self._names)))
            self._samples += frame.samples


def mixed(samples: Floats, names: list[str]) -> Floats:
    """Mix channels to one: the centre above the others; of channels that cancel each other, the strongest.

    Args:
        samples: Shape (samples, channels).
        names: ffmpeg's names of the channels, e.g. ``FC``.

    Returns:
        Shape (samples,).
    """
    if samples.shape[1] == 1:
        return samples[:, 0]
    samples = np.nan_to_num(samples)
    weights = _weights(names)
    mono: Floats = (samples * weights).sum(axis=1) / weights.max() / (1 if "FC" in names else np.count_nonzero(weights))
    power = np.square(samples, dtype=np.float64).mean(axis=0) * (weights > 0)
    strongest = int(power.argmax())
    if (
        np.square(mono, dtype=np.float64).mean()
        < MIX_LOSS * power[strongest] * (weights[strongest] / weights.max()) ** 2
    ):
        return samples[:, strongest]
    return mono


def _weights(names: list[str]) -> Floats:
    sides = {"FL", "FR"}
    if "FC" in names:
        known = {"FC": CENTRE, **dict.fromkeys(sides, SIDE), "LFE": 0.0, "LFE2": 0.0}
        return np.array([known.get(name, SURROUND) for name in names], np.float32)
    plain = np.array([not name.startswith("LFE") for name in names], np.float32)
    return plain if plain.any() else np.ones(len(names), np.float32)


def _format(frame: AudioFrame) -> tuple[Any, ...]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def run(track: str, gain: str, rate: str) -> None:
    """Decode a track into the descriptor `EXTRA`, and print the account as JSON.

    Args:
        track: A `Track` as JSON.
        gain: Factor of the samples.
        rate: Samples a second of the output.
    """
    json.dump(asdict(decode(Track(**json.loads(track)), EXTRA, float(gain), int(rate))), sys.stdout)
