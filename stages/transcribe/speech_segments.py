"""Speech segments by Silero's voice activity detection, and snapping of word times to them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from schemas.config import Section
from stages.media.audio import Audio, floats
from stages.media.sound import SAMPLE_RATE
from stages.media.words import TimedWord
from stages.transcribe.singing import is_sung

CHUNK = 512
"""Samples per probability of Silero; its input also has the `CONTEXT` samples before them."""

CONTEXT = 64

CHUNKS_AT_ONCE = 10_000
"""Chunks per call of the network, as in faster-whisper; other numbers might change the last bits."""

HYSTERESIS = 0.15
"""Speech ends when its probability is this far below the threshold (Silero's)."""

LOWEST = 0.01
"""Least probability at which speech ends (Silero's)."""

BRIEF_SILENCE = 98 * SAMPLE_RATE // 1000
"""Samples; overlong speech is split at its last silence longer than this (Silero's)."""

SpeechSegment = tuple[float, float]
"""Start and end of uninterrupted speech, in seconds."""

Span = tuple[int, int]
"""The first sample, and the one after the last."""

LEAD_SECONDS = 0.5
"""Speech up to this long before a segment's first word belongs to that word; longer speech may be an unrecognized
word."""


LONGEST_WORD = 2.0
"""Seconds; a longer word is cut, since it reaches over speech that was not recognized (openai-whisper counts what
exceeds it as an anomaly)."""


class VadConfig(Section):
    """Settings of voice activity detection by Silero, before recognition.

    Whisper gets the speech with pauses shortened to twice `pad`, which mostly affects word times near pauses.

    Attributes:
        threshold: Probability of speech above which a chunk is speech, 0 to 1 (faster-whisper's default).
        min_silence: Seconds of silence that end a speech segment (our choice: pauses inside a sentence stay).
        pad: Seconds kept on either side of a segment (our choice, from errors measured on read captions).
        window: Most seconds of speech in a window; Whisper's own window is 30.
        singing: ``drop`` leaves out segments that a second network hears as singing or music without speech, see
            `stages.transcribe.singing`; ``keep`` does not look.
    """

    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    min_silence: Annotated[float, Field(gt=0, le=3600)] = 0.5
    pad: Annotated[float, Field(ge=0, le=30)] = 0.2
    window: Annotated[int, Field(ge=5, le=30)] = 30
    singing: Literal["drop", "keep"] = "drop"


@dataclass(frozen=True)
class Speech:
    """The speech segments of an audio track, in time order.

    Attributes:
        padded: With the silence that `VadConfig.pad` leaves around them.
        bare: Without it.
        singing: Seconds of segments that are singing or music, and left out.
    """

    padded: list[Span]
    bare: list[SpeechSegment]
    singing: float = 0.0


def find_speech(audio: Audio, vad: VadConfig) -> Speech:
    """The speech segments of an audio track, in one pass of the network."""
    probabilities = _probabilities(audio)
    padded = spans_of(probabilities, len(audio), vad)
    bare = spans_of(probabilities, len(audio), vad.model_copy(update={"pad": 0.0}))
    sung = [span for span in bare if vad.singing == "drop" and is_sung(audio, *span, _mean(probabilities, span))]
    if sung:
        bare = [span for span in bare if span not in sung]
        padded = [span for span in padded if any(start < span[1] and span[0] < end for start, end in bare)]
    seconds = [(start / SAMPLE_RATE, end / SAMPLE_RATE) for start, end in bare]
    return Speech(padded, seconds, sum(end - start for start, end in sung) / SAMPLE_RATE)


def _mean(probabilities: npt.NDArray[np.float32], span: Span) -> float:
    return float(probabilities.reshape(-1)[span[0] // CHUNK : -(-span[1] // CHUNK)].mean())


def _probabilities(audio: Audio) -> npt.NDArray[np.float32]:
    """Probability of speech per chunk, bit for bit as faster-whisper's `SileroVADModel` gives for the whole audio.

    That one holds four float copies of the audio in memory; this one processes it in blocks.
    """
    from faster_whisper.vad import get_vad_model

    network = get_vad_model().session
    h = c = np.zeros((1, 1, 128), np.float32)
    before = np.zeros((1, CONTEXT), np.float32)
    chunks = len(audio) // CHUNK + 1  # the last one is padded with silence, or is all silence
    found = []
    for first in range(0, chunks, CHUNKS_AT_ONCE):
        rows = np.zeros((min(CHUNKS_AT_ONCE, chunks - first), CHUNK), np.float32)
        samples = floats(audio[first * CHUNK : first * CHUNK + rows.size])
        rows.reshape(-1)[: len(samples)] = samples
        if first + len(rows) == chunks:
            rows[-1, -CONTEXT:] = 0  # as in faster-whisper
        context = np.concatenate([before, rows[:-1, -CONTEXT:]])
        out, h, c = network.run(None, {"input": np.concatenate([context, rows], axis=1), "h": h, "c": c})
        found.append(out)
        before = rows[-1:, -CONTEXT:]
    return np.concatenate(found)


def spans_of(probabilities: npt.NDArray[np.float32], samples: int, vad: VadConfig) -> list[Span]:
    """Speech spans from the probabilities of chunks, by Silero's rule as in faster-whisper.

    Speech begins at a chunk above the threshold and ends with a silence of `VadConfig.min_silence`. When it grows
    longer than `VadConfig.window` holds, it is split at its last brief silence, or in the middle where it has none.
    """
    pad = round(vad.pad * 1000) * SAMPLE_RATE // 1000
    min_silence = round(vad.min_silence * 1000) * SAMPLE_RATE // 1000
    longest = vad.window * SAMPLE_RATE - CHUNK - 2 * pad
    voiced = (probabilities.reshape(-1) >= vad.threshold).tolist()
    silent = (probabilities.reshape(-1) < max(vad.threshold - HYSTERESIS, LOWEST)).tolist()
    spans: list[Span] = []
    start = -1  # of the current speech; below 0 outside
    silence = split = resumed = 0  # the current silence; the last brief one, and the speech after it; 0 for none
    for at, is_voiced, is_silent in zip(range(0, len(voiced) * CHUNK, CHUNK), voiced, silent, strict=True):
        if is_voiced and silence:
            silence = 0
            if resumed < split:
                resumed = at
        if start < 0:
            start = at if is_voiced else -1
            continue
        if at - start > longest:
            spans.append((start, split or at))
            start = resumed if split and resumed >= split else -1
            silence = split = resumed = 0
        if is_silent and start >= 0:
            silence = silence or at
            if at - silence > BRIEF_SILENCE:
                split = silence
            if at - silence >= min_silence:
                spans.append((start, silence))
                start = -1
                silence = split = resumed = 0
    if 0 <= start < samples:
        spans.append((start, samples))
    return _padded(spans, pad, samples)


def _padded(spans: list[Span], pad: int, samples: int) -> list[Span]:
    """The spans padded by `pad` samples on either side; neighbours that would overlap share the silence."""
    if not spans:
        return []
    before = [min(pad, spans[0][0])]
    after = []
    for (_, end), (start, _) in pairwise(spans):
        share = (start - end) // 2 if start - end < 2 * pad else pad
        after.append(share)
        before.append(share)
    after.append(pad)
    return [
        (start - lead, min(samples, end + tail)) for (start, end), lead, tail in zip(spans, before, after, strict=True)
    ]


def snapped(words: list[TimedWord], segments: list[SpeechSegment]) -> list[TimedWord]:
    """The words without the silence around speech, at most `LONGEST_WORD` long; a segment's first word starts with it.

    Whisper stretches words into pauses and starts the first one after a pause late; Silero is exact to 32 ms there. A
    word that touches no speech keeps its start.
    """
    ends = [end for _, end in segments]
    out = []
    last = -1
    for word in words:
        first = int(np.searchsorted(ends, word.start, side="right"))
        touched = [index for index in range(first, len(segments)) if segments[index][0] < word.end]
        if not touched:
            out.append(replace(word, end=min(word.end, word.start + LONGEST_WORD)))
            continue
        index = max(touched, key=lambda i: min(word.end, segments[i][1]) - max(word.start, segments[i][0]))
        start, end = segments[index]
        late = index != last and word.start - start <= LEAD_SECONDS
        begin = start if late else max(word.start, start)
        out.append(replace(word, start=begin, end=min(word.end, end, begin + LONGEST_WORD)))
        last = index
    return out
