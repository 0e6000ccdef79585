"""Narrated videos for the alignment bench, with exact ground truth."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.bench.material import Clip, Material
from stages.media import ffmpeg
from storyloom.errors import RunFailed

Samples = NDArray[np.int16]

FPS = 10  # still photos need no more
RATE_HZ = 16_000
CANVAS = "640:360"  # pixels
CARD_SECONDS = 9.0
"""A grey card before and after the narration, so that a lag of 8 s cuts off no speech."""
SILENT_SECONDS = 3.0
LEAD = (0.3, 0.9)
"""Seconds, least and most, from the cut to the first sound; all times here are our choice."""
TAIL = (0.3, 0.8)
PAUSE = (2.0, 3.0)
"""Seconds after the sentence of every fourth shot while its picture stays."""
SPEECH_LEVEL = 0.01
"""Speech is where the wave is above this share of full scale (about -40 dBFS), as in demo/make_video.py."""


@dataclass(frozen=True)
class Shot:
    """A picture and the speech during it; times in seconds of the picture's clock.

    Attributes:
        kind: ``described``; ``off_topic``: the sentence is about something that is never shown; ``silent``; ``card``.
        start: Of the picture.
        end: Of the picture.
        speech_start: First sound; equal to `speech_end` without speech.
        speech_end: Last sound.
        text: The spoken sentence; empty without speech.
    """

    kind: Literal["described", "off_topic", "silent", "card"]
    start: float
    end: float
    speech_start: float
    speech_end: float
    text: str


@dataclass(frozen=True)
class Narrated:
    """A built video at lag 0.

    Attributes:
        name: Its file's stem.
        shots: Without a gap, in time order.
        picture: File with the picture alone.
        sound: Mono samples at RATE_HZ, shape (n,), as long as the picture.
    """

    name: str
    shots: list[Shot]
    picture: Path
    sound: Samples

    @property
    def seconds(self) -> float:
        """Length of the video."""
        return self.shots[-1].end


@dataclass(frozen=True)
class _Planned:
    """A shot whose times are not set yet."""

    kind: Literal["described", "off_topic", "silent"]
    picture: Clip
    speech: Clip | None = None
    text: str = ""


def build(material: Material, folder: Path, seed: int) -> list[Narrated]:
    """Make the pictures and sounds of all videos.

    Raises:
        RunFailed: ffmpeg cannot read or write a file.
    """
    rng = np.random.default_rng(seed)
    return [_video(shots, folder / f"narrated-{n}", rng) for n, shots in enumerate(_plan(material, rng))]


def mux(video: Narrated, lag: float, target: Path) -> Path:
    """Write the video with its sound late by `lag` seconds (early when negative); samples are unchanged otherwise.

    Raises:
        RunFailed: ffmpeg cannot write it.
    """
    samples = round(lag * RATE_HZ)
    late = np.zeros_like(video.sound)
    late[max(samples, 0) : len(late) + min(samples, 0)] = video.sound[max(-samples, 0) : len(late) - max(samples, 0)]
    sound = ["-f", "s16le", "-ar", str(RATE_HZ), "-ac", "1", "-i", "pipe:"]
    codecs = ["-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "flac", "-fflags", "+bitexact"]
    _ffmpeg(["-i", str(video.picture), *sound, *codecs, str(target)], late.astype("<i2").tobytes())
    return target


def _plan(material: Material, rng: np.random.Generator) -> list[list[_Planned]]:
    """Distribute the material over the videos, in a random order each."""
    videos = []
    for number in range(material.videos):
        of_this = slice(number, None, material.videos)
        off_topic, unmentioned = material.off_topic[of_this], material.unmentioned[of_this]
        shots = [_Planned("described", one.picture, one.speech, one.text) for one in material.described[of_this]]
        shots += [
            _Planned("off_topic", picture, one.speech, one.text)
            for picture, one in zip(unmentioned, off_topic, strict=False)
        ]
        shots += [_Planned("silent", picture) for picture in unmentioned[len(off_topic) :]]
        videos.append([shots[index] for index in rng.permutation(len(shots))])
    return videos


def _video(planned: Sequence[_Planned], base: Path, rng: np.random.Generator) -> Narrated:
    card = np.zeros(round(CARD_SECONDS * RATE_HZ), np.int16)
    shots, sounds = [_silence("card", 0.0, CARD_SECONDS)], [card]
    spoken_shots = 0
    for one in planned:
        start = shots[-1].end
        if one.speech is None:
            shots.append(_silence(one.kind, start, SILENT_SECONDS))
            sounds.append(np.zeros(round(SILENT_SECONDS * RATE_HZ), np.int16))
            continue
        spoken_shots += 1
        speech = _speech(one.speech)
        lead, tail = rng.uniform(*LEAD), rng.uniform(*(PAUSE if spoken_shots % 4 == 0 else TAIL))
        first = round(lead * RATE_HZ)
        frames = int(np.ceil((first + len(speech) + tail * RATE_HZ) * FPS / RATE_HZ))
        sound = np.zeros(frames * RATE_HZ // FPS, np.int16)
        sound[first : first + len(speech)] = speech
        sounds.append(sound)
        begins = start + first / RATE_HZ
        end = round(start + frames / FPS, 3)
        shots.append(Shot(one.kind, start, end, begins, begins + len(speech) / RATE_HZ, one.text))
    shots.append(_silence("card", shots[-1].end, CARD_SECONDS))
    sounds.append(card)
    picture = base.with_suffix(".picture.mkv")
    _encode([one.picture for one in planned], [round((s.end - s.start) * FPS) for s in shots], picture)
    return Narrated(base.name, shots, picture, np.concatenate(sounds))


def _silence(kind: Literal["described", "off_topic", "silent", "card"], start: float, seconds: float) -> Shot:
    return Shot(kind, start, round(start + seconds, 3), start, start, "")


def _speech(clip: Clip) -> Samples:
    """Samples at RATE_HZ, shape (n,), with the silence before and after cut off."""
    raw = _ffmpeg([*_input(clip), "-map", "0:a:0", "-ac", "1", "-ar", str(RATE_HZ), "-f", "s16le", "pipe:"])
    samples = np.frombuffer(raw, dtype="<i2").astype(np.int16)
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > SPEECH_LEVEL * 32767)
    if not len(loud):
        raise RunFailed(f"{clip.file} is silent where a sentence was expected")
    return samples[loud[0] : loud[-1] + 1]


def _encode(pictures: Sequence[Clip], lengths: Sequence[int], target: Path) -> None:
    """Encode card, pictures and card with hard cuts; `lengths` are in frames."""
    card = ["-f", "lavfi", "-i", f"color=c=0x808080:s={CANVAS.replace(':', 'x')}:r={FPS}"]
    inputs = [card, *(_input(one) for one in pictures), card]
    fit = f"scale={CANVAS}:force_original_aspect_ratio=decrease:flags=lanczos,format=rgb24"
    pad = f"pad={CANVAS}:-1:-1:color=0x202020,setsar=1,format=yuv420p"
    # Repeat the first picture of each input; integer times, since rounded seconds lose a frame.
    chains = [
        f"[{i}:v]trim=end_frame=1,{fit},{pad},loop=loop={n - 1}:size=1,settb=1/{FPS},setpts=N[v{i}]"
        for i, n in enumerate(lengths)
    ]
    joined = "".join(f"[v{i}]" for i in range(len(lengths))) + f"concat=n={len(lengths)}[v]"
    codec = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-tune", "stillimage", "-threads", "1"]
    clean = ["-r", str(FPS), "-fflags", "+bitexact", "-flags:v", "+bitexact"]
    flat = [argument for one in inputs for argument in one]
    _ffmpeg([*flat, "-filter_complex", ";".join([*chains, joined]), "-map", "[v]", *codec, *clean, str(target)])


def _input(clip: Clip) -> list[str]:
    length = [] if clip.seconds is None else ["-t", str(clip.seconds)]
    seek = ["-ss", str(clip.start)] if clip.start else []
    return [*seek, *length, "-i", str(clip.file)]


def _ffmpeg(arguments: Sequence[str], sound: bytes = b"") -> bytes:
    """Run ffmpeg over trusted files and return what it writes to its standard output."""
    command = [str(ffmpeg.program()), "-v", "error", "-y", *arguments]
    done = subprocess.run(command, input=sound, capture_output=True, check=False)  # noqa: S603
    if done.returncode:
        raise RunFailed(f"ffmpeg could not make the bench's media: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
