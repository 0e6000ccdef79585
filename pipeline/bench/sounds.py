"""Sounds that are no speech, made from random numbers: music, singing, applause, noise. All numbers are our choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_toeplitz
from scipy.signal import butter, lfilter, resample_poly, sosfilt

RATE = 16_000
"""Samples per second of every sound here."""

Wave = NDArray[np.float64]
"""Shape (samples,), of any level."""

Maker = Callable[[float, np.random.Generator], Wave]
"""Makes a sound of so many seconds."""

CHORDS = ((0, 4, 7), (-3, 0, 4), (-7, -3, 0), (-5, -1, 2))
"""Of the progression I, vi, IV, V: semitones above the key."""

BEAT = 0.5
"""Seconds."""

VOWELS = ((730, 1090, 2440), (530, 1840, 2480), (270, 2290, 3010), (570, 840, 2410), (300, 870, 2240))
"""Formants of a, e, i, o and u in Hz (Peterson and Barney, 1952, men; means)."""

FORMANT_WIDTHS = (80, 100, 140)
"""Hz."""


def music(seconds: float, rng: np.random.Generator) -> Wave:
    """Chords with vibrato, a bass line, and drums."""
    wave = np.zeros(round(seconds * RATE))
    for beat in range(int(seconds / BEAT)):
        chord = CHORDS[beat // 8 % len(CHORDS)]
        at = round(beat * BEAT * RATE)
        if beat % 2 == 0:
            for step in (*chord, chord[0] + 12):
                _add(wave, at, 0.15 * _tone(_pitch(step), 2 * BEAT, rng))
        _add(wave, at, 0.3 * _tone(_pitch(chord[0] - 24), BEAT, rng))
        _add(wave, at, _drum(beat % 4, rng))
    return wave


def singing(seconds: float, rng: np.random.Generator) -> Wave:
    """A voice that sings vowels without words, over soft music."""
    wave = 0.2 * music(seconds, rng)
    for beat in range(int(seconds / BEAT)):
        step = int(rng.choice(CHORDS[beat // 8 % len(CHORDS)]))
        _add(wave, round(beat * BEAT * RATE), _vowel(_pitch(step - 12), VOWELS[rng.integers(len(VOWELS))], rng))
    return wave


def applause(seconds: float, rng: np.random.Generator) -> Wave:
    """Many hands: 300 claps a second, each a short burst of noise."""
    claps = np.zeros(round(seconds * RATE))
    at = rng.integers(0, len(claps), round(300 * seconds))
    np.add.at(claps, at, rng.exponential(1.0, len(at)))
    burst = rng.standard_normal(RATE // 50) * np.exp(-np.arange(RATE // 50) / (0.003 * RATE))
    noise = np.convolve(claps, burst)[: len(claps)] * (1 + 0.3 * rng.standard_normal(len(claps)))
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * np.arange(len(claps)) / (7 * RATE)) ** 2
    return np.asarray(swell * sosfilt(butter(2, (500, 5000), "bandpass", fs=RATE, output="sos"), noise))


def noise(seconds: float, rng: np.random.Generator) -> Wave:
    """Pink noise: 3 dB less an octave."""
    white = np.fft.rfft(rng.standard_normal(round(seconds * RATE)))
    white /= np.sqrt(np.maximum(1, np.arange(len(white))))
    return np.asarray(np.fft.irfft(white, round(seconds * RATE)))


def babble(voices: Sequence[Wave], seconds: float, rng: np.random.Generator) -> Wave:
    """All voices at once, each repeated from a random place of its own."""
    samples = round(seconds * RATE)
    each = [np.resize(np.roll(voice, rng.integers(len(voice))), samples) / _level(voice) for voice in voices]
    return np.asarray(np.sum(each, axis=0))


def telephone(wave: Wave) -> Wave:
    """The sound of a telephone: 300 to 3400 Hz, sampled at 8 kHz."""
    narrow = sosfilt(butter(4, (300, 3400), "bandpass", fs=RATE, output="sos"), wave)
    return np.asarray(resample_poly(resample_poly(narrow, 1, 2), 2, 1)[: len(wave)])


def at_level(wave: Wave, level: float) -> Wave:
    """The sound with this root mean square."""
    return np.asarray(wave * level / _level(wave))


def mixed(speech: Wave, other: Wave, decibels: float) -> Wave:
    """Speech with another sound under it, whose level is so many dB below that of the speech, pauses left out."""
    spoken = speech[np.abs(speech) > 0]
    return np.asarray(speech + other * _level(spoken) / _level(other) * 10 ** (-decibels / 20))


def _level(wave: Wave) -> float:
    return float(np.linalg.norm(wave) / np.sqrt(len(wave)))


def _pitch(step: int) -> float:
    return float(261.6 * np.exp2(step / 12))


def _add(wave: Wave, at: int, sound: Wave) -> None:
    """Add a sound in place, as far as it fits."""
    part = wave[at : at + len(sound)]
    part += sound[: len(part)]


def _tone(pitch: float, seconds: float, rng: np.random.Generator) -> Wave:
    time = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * pitch * time + 0.3 * np.sin(2 * np.pi * 5 * time + rng.uniform(0, 6))
    partials = [np.sin(number * phase) / number**1.5 for number in range(1, 7) if number * pitch < RATE / 2]
    fade = np.minimum(1, time / 0.02) * np.exp(-1.5 * time) * np.minimum(1, (seconds - time) / 0.05)
    return np.asarray(fade * np.sum(partials, 0))


def _drum(beat: int, rng: np.random.Generator) -> Wave:
    time = np.arange(RATE // 5) / RATE
    if beat in (0, 2):
        return np.asarray(0.8 * np.sin(2 * np.pi * 55 * time * (1 + np.exp(-30 * time))) * np.exp(-15 * time))
    return np.asarray(0.3 * rng.standard_normal(len(time)) * np.exp(-25 * time))


def _vowel(pitch: float, formants: Sequence[int], rng: np.random.Generator) -> Wave:
    """A pulse train through the resonances of a throat."""
    time = np.arange(round(BEAT * RATE)) / RATE
    phase = pitch * time + 0.02 * np.sin(2 * np.pi * 5.5 * time + rng.uniform(0, 6)) * pitch / 5.5
    source = 2 * (phase % 1.0) - 1 + 0.02 * rng.standard_normal(len(time))
    for formant, width in zip(formants, FORMANT_WIDTHS, strict=True):
        radius = np.exp(-np.pi * width / RATE)
        poles = [1, -2 * radius * np.cos(2 * np.pi * formant / RATE), radius**2]
        source = lfilter([sum(poles)], poles, source)
    fade = np.minimum(1, time / 0.03) * np.minimum(1, (BEAT - time) / 0.03)
    return np.asarray(fade * source / _level(source))


def sung(voice: Wave, rng: np.random.Generator) -> Wave:
    """A recorded voice, sung: half as fast, each beat on a pitch of the music, over the music.

    A vocoder: linear prediction, frame by frame, shapes a pulse train as the throat shaped the voice.
    """
    slow = 2
    hop = RATE // 100
    frames = len(voice) // hop - 3
    out = np.zeros(slow * hop * (frames + 4))
    window = np.hanning(4 * hop)
    beats = [_pitch(int(rng.choice(CHORDS[beat // 8 % len(CHORDS)])) - 12) for beat in range(len(out) // RATE * 4 + 4)]
    pitch = np.repeat(beats, round(BEAT * RATE))[: len(out)]
    time = np.arange(len(out)) / RATE
    phase = np.cumsum(pitch * (1 + 0.01 * np.sin(2 * np.pi * 5.5 * time))) / RATE
    source = np.diff(np.floor(phase), prepend=0.0) * np.sqrt(RATE / pitch) + 0.1 * rng.standard_normal(len(out))
    for number in range(slow * frames):
        frame = window * voice[number // slow * hop :][: 4 * hop]
        correlation = np.correlate(frame, frame, "full")[len(frame) - 1 :][:19]
        if correlation[0] < len(frame):
            continue
        correlation[0] *= 1.001
        poles = np.concatenate([[1.0], -solve_toeplitz(correlation[:-1], correlation[1:])])
        gain = np.sqrt(max(0.0, float(poles @ correlation)) / len(frame))
        _add(out, number * hop, gain * lfilter([1.0], poles, window * source[number * hop :][: 4 * hop]))
    return mixed(out, music(len(out) / RATE, rng), 6)
