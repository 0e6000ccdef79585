"""Narrated videos for the alignment bench, with exact ground truth."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.bench.material import Clip, Material, Script, Spoken
from stages.media import ffmpeg
from storyloom.errors import RunFailed

Samples = NDArray[np.int16]

FPS = 10  # still photos need no more
RATE_HZ = 16_000
CANVAS = "640:360"  # pixels
CARD_SECONDS = 9.0
"""A grey card before and after the narration, so that a lag of 8 s cuts off no speech."""
SILENT_SECONDS = 3.0
BETWEEN_SECTIONS = 6.0
"""Seconds of the silent pictures between sections: a lag that changes by less drives no sentence into another."""
DIVIDERS = 2
"""Silent pictures between the sections of a video, one fewer than sections."""
SWAPS = 2
"""Pairs of neighbouring sentences that change places, in a video with sections; it has twice the pictures."""
LEAD = (0.3, 0.9)
"""Seconds, least and most, from the cut to the first sound; all times here are our choice."""
TAIL = (0.3, 0.8)
PAUSE = (2.0, 3.0)
"""Seconds after the sentence of every fourth shot while its picture stays."""
SPEECH_LEVEL = 0.01
"""Speech is where the wave is above this share of full scale (about -40 dBFS), as in demo/make_video.py."""
SECONDS_PER_WORD = 0.35
"""Of sentences without a recording; those with one have the same mean."""
NOTHING = -1


@dataclass(frozen=True)
class Shot:
    """A picture and the speech during it; times in seconds of the picture's clock.

    Attributes:
        kind: ``described``: some sentence is about it; ``off_topic``: somebody speaks about something that is never
            shown; ``silent``; ``card``.
        start: Of the picture.
        end: Of the picture.
        speech_start: First sound; equal to `speech_end` without speech.
        speech_end: Last sound.
        text: The spoken sentence; empty without speech.
        about: Number of the shot that the sentence is about, or -1.
        recorded: Whether the sentence is in the sound; the times of its words are given otherwise.
    """

    kind: Literal["described", "off_topic", "silent", "card"]
    start: float
    end: float
    speech_start: float
    speech_end: float
    text: str
    about: int = NOTHING
    recorded: bool = True


@dataclass(frozen=True)
class Narrated:
    """A built video at lag 0.

    Attributes:
        name: Its file's stem.
        shots: Without a gap, in time order.
        sections: Seconds at which its sections begin, the first at 0.0.
        picture: File with the picture alone.
        sound: Mono samples at RATE_HZ, shape (n,), as long as the picture.
    """

    name: str
    shots: list[Shot]
    sections: list[float]
    picture: Path
    sound: Samples

    @property
    def seconds(self) -> float:
        """Length of the video."""
        return self.shots[-1].end


@dataclass(frozen=True)
class Planned:
    """A shot whose times are not set yet.

    Attributes:
        kind: As of the shot.
        picture: What it shows.
        speech: What is said while it is shown.
        about: By how many shots the picture that the sentence is about comes later.
        divides: Whether it lies between two sections.
    """

    kind: Literal["described", "off_topic", "silent"]
    picture: Clip
    speech: Spoken | None = None
    about: int = 0
    divides: bool = False


def build(material: Material, folder: Path, seed: int) -> list[Narrated]:
    """Make the pictures and sounds of all videos.

    Raises:
        RunFailed: ffmpeg cannot read or write a file.
    """
    rng = np.random.default_rng(seed)
    plans = [plan(script, rng, in_sections=material.kind == "sections") for script in material.scripts]
    return [_video(shots, folder / f"narrated-{n}", rng) for n, shots in enumerate(plans)]


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


def plan(script: Script, rng: np.random.Generator, *, in_sections: bool) -> list[Planned]:
    """Put the shots of a video into a random order; in sections, silent ones divide it and neighbours are swapped."""
    spoken = len(script.off_topic)
    shots = [Planned("described", one.picture, one) for one in script.described]
    shots += [
        Planned("off_topic", picture, one) for picture, one in zip(script.unmentioned, script.off_topic, strict=False)
    ]
    silent = [Planned("silent", picture) for picture in script.unmentioned[spoken:]]
    dividers = [replace(one, divides=True) for one in silent[:DIVIDERS]] if in_sections else []
    shots += silent[len(dividers) :]
    if not in_sections:
        return [shots[index] for index in rng.permutation(len(shots))]
    shots = _swapped([shots[index] for index in rng.permutation(len(shots))], rng)
    ends = 2 * np.linspace(0, len(shots) / 2, len(dividers) + 2)[1:-1].round().astype(int)  # splits no swapped pair
    for end, divider in reversed(list(zip(ends.tolist(), dividers, strict=True))):
        shots.insert(end, divider)
    return shots


def _swapped(shots: list[Planned], rng: np.random.Generator) -> list[Planned]:
    """Let the sentences of some neighbouring pictures change places; each is about the other's picture then."""
    could = [i for i in range(0, len(shots) - 1, 2) if shots[i].kind == shots[i + 1].kind == "described"]
    for i in rng.permutation(could)[:SWAPS].tolist():
        first, second = shots[i], shots[i + 1]
        shots[i] = replace(first, speech=second.speech, about=1)
        shots[i + 1] = replace(second, speech=first.speech, about=-1)
    return shots


def _video(planned: Sequence[Planned], base: Path, rng: np.random.Generator) -> Narrated:
    recordings = [_speech(one.speech.speech) if one.speech and one.speech.speech else None for one in planned]
    shots, sections = timeline(planned, [None if one is None else len(one) for one in recordings], rng)
    sound = np.zeros(round(shots[-1].end * RATE_HZ), np.int16)
    for shot, samples in zip(shots[1:], recordings, strict=False):
        if samples is not None:
            first = round(shot.speech_start * RATE_HZ)
            sound[first : first + len(samples)] = samples
    picture = base.with_suffix(".picture.mkv")
    _encode([one.picture for one in planned], [round((s.end - s.start) * FPS) for s in shots], picture)
    return Narrated(base.name, shots, sections, picture, sound)


def timeline(
    planned: Sequence[Planned], samples: Sequence[int | None], rng: np.random.Generator
) -> tuple[list[Shot], list[float]]:
    """The shots with their times, a grey card before and after them, and the times at which sections begin.

    Args:
        planned: The video's shots in order.
        samples: Length of the recording of each shot's sentence at RATE_HZ; None without one.
        rng: For the seconds before and after a sentence.
    """
    shots, sections = [_silence("card", 0.0, CARD_SECONDS)], [0.0]
    spoken_shots = 0
    for number, (one, recorded) in enumerate(zip(planned, samples, strict=True), start=1):
        start = shots[-1].end
        if one.speech is None:
            length = BETWEEN_SECTIONS if one.divides else SILENT_SECONDS
            if one.divides:
                sections.append(start + length / 2)
            shots.append(_silence(one.kind, start, length))
            continue
        spoken_shots += 1
        lead, tail = rng.uniform(*LEAD), rng.uniform(*(PAUSE if spoken_shots % 4 == 0 else TAIL))
        given = round(len(one.speech.text.split()) * SECONDS_PER_WORD * RATE_HZ)
        first, length_of_speech = round(lead * RATE_HZ), given if recorded is None else recorded
        frames = int(np.ceil((first + length_of_speech + tail * RATE_HZ) * FPS / RATE_HZ))
        begins = start + first / RATE_HZ
        shots.append(
            Shot(
                kind=one.kind,
                start=start,
                end=round(start + frames / FPS, 3),
                speech_start=begins,
                speech_end=begins + length_of_speech / RATE_HZ,
                text=one.speech.text,
                about=number + one.about if one.kind == "described" else NOTHING,
                recorded=recorded is not None,
            )
        )
    shots.append(_silence("card", shots[-1].end, CARD_SECONDS))
    return shots, sections


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
