"""Words as a recognizer would give them and tracks as files would hold them, for the tests of agreement."""

from __future__ import annotations

import json
from typing import Any

from schemas.rows import Segment, Word
from stages.media.subtitles.cues import Cue, cues
from tests.stages.real_media import TRUTH

SENTENCES = [segment for segment in json.loads(TRUTH.read_text())["segments"] if segment["text"]]
"""The demo's sentences: text, start and end of their pictures, start and end of their speech."""

Line = tuple[float, float, str]
"""Start, end and text of a cue, or of a recognized word."""


def heard(*words: Line, probability: float = 0.9) -> list[Segment]:
    """One segment of recognized words."""
    spoken = [Word(start=start, end=end, text=text, probability=probability) for start, end, text in words]
    measured: dict[str, Any] = {"avg_logprob": -0.2, "no_speech_prob": 0.0, "compression_ratio": 1.2}
    return [Segment(start=spoken[0].start, end=spoken[-1].end, words=spoken, **measured)] if spoken else []


def evenly(start: float, end: float, text: str, probability: float = 0.9) -> list[Segment]:
    """A segment of recognized words, evenly in time."""
    said = text.split()
    step = (end - start) / len(said)
    bounds = [round(start + number * step, 3) for number in range(len(said) + 1)]
    return heard(*((bounds[i], bounds[i + 1], f" {word}") for i, word in enumerate(said)), probability=probability)


def read_aloud(sentences: list[dict[str, Any]] = SENTENCES) -> list[Segment]:
    """The demo's sentences as a recognizer would time them."""
    return [
        segment
        for sentence in sentences
        for segment in evenly(sentence["speech_start"], sentence["speech_end"], sentence["text"])
    ]


def stamp(seconds: float) -> str:
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    return f"{sign}{int(seconds // 3600):02}:{int(seconds // 60 % 60):02}:{seconds % 60:06.3f}"


def track(*lines: Line) -> list[Cue]:
    """The cues of a SubRip file."""
    return cues("\n".join(f"{stamp(start)} --> {stamp(end)}\n{text}\n" for start, end, text in lines).encode())


def as_lines(shift: float = 0.0, stretch: float = 1.0) -> list[Line]:
    """The demo's sentences as cues, moved by seconds and stretched."""
    return [(s["start"] * stretch + shift, s["end"] * stretch + shift, s["text"]) for s in SENTENCES]
