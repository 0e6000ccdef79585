"""Where somebody speaks: Silero's voice activity detection, and word times held against it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from schemas.config import Section

if TYPE_CHECKING:
    from faster_whisper.vad import VadOptions

SAMPLE_RATE = 16_000
"""Hz; what Whisper and Silero are trained on."""

Audio = npt.NDArray[np.float32]
"""Shape (samples,), mono at `SAMPLE_RATE`, -1 to 1."""

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
class HeardWord:
    """A word as a recogniser gave it: times in seconds, perhaps overlapping or out of bounds."""

    start: float
    end: float
    text: str
    probability: float


def speech(audio: Audio, vad: VadConfig, *, padded: bool) -> list[Stretch]:
    """The stretches of speech, in time order; with or without the silence that `pad` leaves around them."""
    from faster_whisper.vad import get_speech_timestamps

    options = vad.options() if padded else replace(vad.options(), speech_pad_ms=0)
    found = get_speech_timestamps(audio, options)
    return [(stretch["start"] / SAMPLE_RATE, stretch["end"] / SAMPLE_RATE) for stretch in found]


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
