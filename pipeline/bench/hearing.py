"""How `transcribe` hears: words that it invents where nobody speaks, and words that it misses, sound by sound."""

from __future__ import annotations

import json
import re
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np

from pipeline.bench import sounds
from pipeline.bench.finished import FinishedRun, run_silently
from pipeline.bench.material import Clip, Material, Spoken
from pipeline.bench.sounds import RATE, Wave
from pipeline.config import RunConfig
from schemas.rows import TranscriptRow, Word
from stages.download.probing import probe
from stages.media.audio import decode
from stages.media.sandbox import Limits
from stages.media.sound import SAMPLE_RATE
from stages.media.track import Track

STAGES = frozenset({"download", "transcribe"})

PAUSE = (1.0, 2.5)
"""Seconds between sentences, least and most (our choice)."""

LONG = 60.0
"""Seconds of a sound without speech."""

EDGE = 0.5
"""Seconds around a sentence in which a word counts as part of it (our choice)."""

VOICES = 6
"""Of the babble."""

FEW = 6
"""Sentences around a long sound, and of the song."""

LOUD, SILENT, PEAK = 2000, 328, 16_000
"""Samples of 16 bits: root mean square of a lone sound, what counts as silence, largest sample that is written."""

LIMITS = Limits(seconds=60, memory=4 * 1024**3)


@dataclass(frozen=True)
class Said:
    """A sentence, and where it is heard, in seconds."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Sound:
    """A sound with what is said in it.

    Attributes:
        name: As the report calls it.
        wave: Of any level.
        said: In time order.
    """

    name: str
    wave: Wave
    said: list[Said]

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.wave) / RATE

    @property
    def unspoken(self) -> float:
        """Seconds in which nobody speaks."""
        return self.seconds - sum(one.end - one.start for one in self.said)


@dataclass(frozen=True)
class Heard:
    """What was heard in a sound.

    Attributes:
        name: The sound's.
        spoken: Words that are said in it.
        missed: Those of them that were not recognized.
        wrong: Words recognized during the sentences that are not said there.
        inserted: Words recognized where nobody speaks.
        unspoken: Seconds in which nobody speaks.
        warnings: The row's.
    """

    name: str
    spoken: int
    missed: int
    wrong: int
    inserted: int
    unspoken: float
    warnings: list[str]


def bench_hearing(material: Material, config: RunConfig, sentences: int, scratch: Path) -> list[Heard]:
    """Make the sounds from spoken sentences, transcribe them, and compare the words with what is said.

    Raises:
        RunFailed: ffmpeg cannot read a sentence, or a stage failed on a sound.
    """
    made = list(_sounds(material.read_aloud[:sentences], np.random.default_rng(0)))
    for sound in made:
        _write(sound.wave, scratch / f"{sound.name}.wav")
    manifest = scratch / "sounds.jsonl"
    lines = [json.dumps({"url": f"{sound.name}.wav", "id": sound.name, "language": "en"}) for sound in made]
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    places = {"manifest": str(manifest), "work": str(scratch / "work"), "output": str(scratch / "shards")}
    config = config.model_copy(update=places)
    run_silently(config, STAGES)
    rows = {video.manifest.source_id: video[TranscriptRow] for video in FinishedRun(config).videos("transcribe")}
    return [heard(sound, rows[sound.name]) for sound in made]


def _sounds(sentences: Sequence[Spoken], rng: np.random.Generator) -> Iterator[Sound]:
    """Every condition; all but the long ones hold all sentences."""
    voices = [_voice(one.speech) for one in sentences if one.speech]
    texts = [one.text for one in sentences]
    clean = _narration(texts, voices, rng)
    length = clean.seconds
    yield clean
    tune = sounds.music(length, rng)
    for decibels in (10, 0, -5):
        yield Sound(f"music_{decibels:+d}dB", sounds.mixed(clean.wave, tune, decibels), clean.said)
    crowd = sounds.babble(voices[:VOICES], length, rng)
    yield Sound("babble_+5dB", sounds.mixed(clean.wave, crowd, 5), clean.said)
    yield Sound("noise_+5dB", sounds.mixed(clean.wave, sounds.noise(length, rng), 5), clean.said)
    yield Sound("telephone", sounds.telephone(clean.wave), clean.said)
    others = {
        "applause": sounds.applause(LONG, rng),
        "music": sounds.music(LONG, rng),
        "vowels": sounds.singing(LONG, rng),
        "song": np.concatenate([sounds.sung(voice, rng) for voice in voices[-FEW:]]),
        "backwards": np.concatenate([np.append(voice[::-1], np.zeros(RATE)) for voice in voices]),
    }
    for name, other in others.items():
        sound = sounds.at_level(other[: round(LONG * RATE)], LOUD)
        yield Sound(name, sound, [])
        yield _narration(texts[:FEW], voices[:FEW], rng, sound, f"{name}_between")
    yield Sound("babble", sounds.at_level(sounds.babble(voices[:VOICES], LONG, rng), LOUD), [])
    yield Sound("noise", sounds.at_level(sounds.noise(LONG, rng), LOUD), [])
    yield Sound("silence", rng.uniform(-3, 3, round(LONG * RATE)), [])


def _narration(
    texts: Sequence[str],
    voices: Sequence[Wave],
    rng: np.random.Generator,
    between: Wave | None = None,
    name: str = "clean",
) -> Sound:
    """The sentences with pauses; after half of them comes the other sound, if there is one."""
    said: list[Said] = []
    parts: list[Wave] = []
    at = 0
    for number, (text, voice) in enumerate(zip(texts, voices, strict=True)):
        pause = np.zeros(round(rng.uniform(*PAUSE) * RATE))
        if between is not None and number == len(texts) // 2:
            pause = np.concatenate([pause, between, pause])
        start = at + len(pause)
        parts += [pause, voice]
        at = start + len(voice)
        said.append(Said(start / RATE, at / RATE, text))
    return Sound(name, np.concatenate([*parts, np.zeros(RATE)]), said)


def _voice(clip: Clip) -> Wave:
    """The recording of a sentence, without the silence before and after it."""
    found = probe(clip.file, LIMITS)
    stream = found["audio_tracks"][0]["stream"]
    audio = decode(Track(str(clip.file), [stream], found["origin"], found["duration"]), LIMITS).audio
    first = round(clip.start * SAMPLE_RATE)
    samples = audio[first : len(audio) if clip.seconds is None else first + round(clip.seconds * SAMPLE_RATE)]
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > SILENT)
    voice: Wave = samples[loud[0] : loud[-1] + 1].astype(np.float64)
    return voice


def _write(sound: Wave, file: Path) -> None:
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes((sound * min(1.0, PEAK / np.abs(sound).max())).astype("<i2").tobytes())


def heard(sound: Sound, row: TranscriptRow) -> Heard:
    """Compare the words of a row with what is said in its sound."""
    words = [word for segment in row.segments for word in segment.words]
    during = [word for word in words if any(_within(word, one) for one in sound.said)]
    said = _plain(" ".join(one.text for one in sound.said))
    recognized = _plain("".join(word.text for word in during))
    same = sum(block.size for block in SequenceMatcher(None, said, recognized, autojunk=False).get_matching_blocks())
    inserted = _plain("".join(word.text for word in words if word not in during))
    return Heard(
        name=sound.name,
        spoken=len(said),
        missed=len(said) - same,
        wrong=len(recognized) - same,
        inserted=len(inserted),
        unspoken=sound.unspoken,
        warnings=row.warnings,
    )


def _within(word: Word, said: Said) -> bool:
    return said.start - EDGE <= (word.start + word.end) / 2 <= said.end + EDGE


def _plain(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def markdown(report: Sequence[Heard]) -> Iterator[str]:
    """The report as lines of Markdown."""
    yield "| sound | words inserted a minute without speech | words missed | wrong words | warnings |"
    yield "|" + " --- |" * 5
    for one in report:
        missed = f"{one.missed / one.spoken:.1%} of {one.spoken}" if one.spoken else "–"
        warnings = ", ".join(one.warnings) or "–"
        yield f"| {one.name} | {60 * one.inserted / one.unspoken:.1f} | {missed} | {one.wrong} | {warnings} |"
