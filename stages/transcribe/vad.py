"""Where somebody speaks: Silero's voice activity detection, and word times held against it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import FunctionType
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import Field

from schemas.config import Section

if TYPE_CHECKING:
    from faster_whisper.vad import VadOptions

SAMPLE_RATE = 16_000
"""Hz; what Whisper and Silero are trained on."""

CHUNK = 512
"""Samples for which Silero gives one probability; it also sees the `CONTEXT` samples before them."""

CONTEXT = 64

CHUNKS_AT_ONCE = 10_000
"""What faster-whisper gives the network in one call; other numbers might move the last bits."""

Samples = npt.NDArray[np.int16]
"""Shape (samples,), mono at `SAMPLE_RATE`."""

Stretch = tuple[float, float]
"""Start and end of uninterrupted speech, in seconds."""

LEAD_SECONDS = 0.5
"""Speech ahead of a stretch's first word by up to this belongs to that word; more may be a word that was not heard."""


class VadConfig(Section):
    """Voice activity detection by Silero, ahead of the recogniser.

    Whisper sees the speech with pauses shortened to twice `pad`: word times near a pause depend on that most.

    Attributes:
        threshold: Probability above which there is speech, 0 to 1 (faster-whisper's default).
        min_silence: Seconds of silence that end a stretch of speech (our choice: pauses inside a sentence stay).
        pad: Seconds kept on either side of a stretch (our choice, by the errors measured on read captions).
        window: Seconds of speech that are recognised at once; Whisper's own window is 30.
    """

    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    min_silence: Annotated[float, Field(gt=0)] = 0.5
    pad: Annotated[float, Field(ge=0)] = 0.2
    window: Annotated[int, Field(ge=5, le=30)] = 30

    def options(self) -> VadOptions:
        """The same as faster-whisper takes it, in its units."""
        from faster_whisper.vad import VadOptions

        return VadOptions(
            threshold=self.threshold,
            max_speech_duration_s=self.window,
            min_silence_duration_ms=round(self.min_silence * 1000),
            speech_pad_ms=round(self.pad * 1000),
        )


@dataclass(frozen=True)
class Speech:
    """The stretches of speech in a sound, in time order.

    Attributes:
        padded: First sample and the one after the last, with the silence that `pad` leaves around them.
        bare: Seconds, without that silence.
    """

    padded: list[tuple[int, int]]
    bare: list[Stretch]


@dataclass(frozen=True)
class HeardWord:
    """A word as a recogniser gave it: times in seconds, perhaps overlapping or out of bounds."""

    start: float
    end: float
    text: str
    probability: float


class Audio(Protocol):
    """A whole sound, of which parts are asked for by slices: `Samples`, or a file of them."""

    def __len__(self) -> int:
        """Samples in all."""

    def __getitem__(self, part: slice, /) -> Samples:
        """Some of them, in steps of 1."""


def floats(audio: Samples) -> npt.NDArray[np.float32]:
    """The samples from -1 to 1, as models take them."""
    scaled = audio.astype(np.float32)
    scaled /= 32768.0
    return scaled


def speech(audio: Audio, vad: VadConfig) -> Speech:
    """Where somebody speaks; the network goes over the sound once."""
    probabilities = _probabilities(audio)
    padded = _stretches(probabilities, len(audio), vad.options())
    bare = _stretches(probabilities, len(audio), replace(vad.options(), speech_pad_ms=0))
    return Speech(padded, [(start / SAMPLE_RATE, end / SAMPLE_RATE) for start, end in bare])


def _probabilities(audio: Audio) -> npt.NDArray[np.float32]:
    """That of speech, for each chunk: bit for bit what faster-whisper's `SileroVADModel` gives for the whole sound.

    That one holds four copies of the sound in floats; here it is a block at a time.
    """
    from faster_whisper.vad import get_vad_model

    network = get_vad_model().session
    h = c = np.zeros((1, 1, 128), np.float32)
    before = np.zeros((1, CONTEXT), np.float32)
    chunks = len(audio) // CHUNK + 1  # the last one is filled up with silence, or is nothing else
    found = []
    for first in range(0, chunks, CHUNKS_AT_ONCE):
        rows = np.zeros((min(CHUNKS_AT_ONCE, chunks - first), CHUNK), np.float32)
        heard = floats(audio[first * CHUNK : first * CHUNK + rows.size])
        rows.reshape(-1)[: len(heard)] = heard
        if first + len(rows) == chunks:
            rows[-1, -CONTEXT:] = 0  # so does faster-whisper
        context = np.concatenate([before, rows[:-1, -CONTEXT:]])
        out, h, c = network.run(None, {"input": np.concatenate([context, rows], axis=1), "h": h, "c": c})
        found.append(out)
        before = rows[-1:, -CONTEXT:]
    return np.concatenate(found)


def _stretches(probabilities: npt.NDArray[np.float32], samples: int, options: VadOptions) -> list[tuple[int, int]]:
    """What faster-whisper makes of the probabilities: its own function, with a network that has answered already."""
    from faster_whisper import vad

    names: dict[str, Any] = {**vars(vad), "get_vad_model": lambda: lambda _audio: probabilities}
    get_speech_timestamps = FunctionType(vad.get_speech_timestamps.__code__, names)
    length_only = np.broadcast_to(np.int8(0), samples)
    return [(found["start"], found["end"]) for found in get_speech_timestamps(length_only, options, SAMPLE_RATE)]


def snapped(words: list[HeardWord], stretches: list[Stretch]) -> list[HeardWord]:
    """The words with the silence around speech taken off them, and a stretch's first word begun where the speech does.

    Whisper stretches words into pauses and starts the first one after a pause late; Silero is exact to 32 ms there. A
    word that touches no speech keeps its times.
    """
    ends = [end for _, end in stretches]
    out = []
    last = -1
    for word in words:
        first = int(np.searchsorted(ends, word.start, side="right"))
        touched = [index for index in range(first, len(stretches)) if stretches[index][0] < word.end]
        if not touched:
            out.append(word)
            continue
        index = max(touched, key=lambda i: min(word.end, stretches[i][1]) - max(word.start, stretches[i][0]))
        start, end = stretches[index]
        late = index != last and word.start - start <= LEAD_SECONDS
        out.append(replace(word, start=start if late else max(word.start, start), end=min(word.end, end)))
        last = index
    return out
