"""What every speech recogniser has in common: what it is asked, what it answers, and how that becomes rows."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from schemas.rows import Segment, Word
from stages.transcribe.vad import Audio, HeardWord, Speech, Stretch, snapped
from storyloom.format.model import to_milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterator

DECIMALS = 4
"""Of probabilities: beyond these, batch sizes and devices disagree."""

WHISPER_CODES = {"cmn": "zh", "fil": "tl", "iw": "he", "jv": "jw", "nb": "no"}
"""Primary subtags of BCP 47 that Whisper knows by another code."""


@dataclass(frozen=True)
class Sound:
    """What a recogniser is given of one video.

    Attributes:
        video: The video's key.
        audio: Its sound.
        speech: Where somebody speaks in it.
        language: Whisper's code; an empty one asks for detection.
    """

    video: str
    audio: Audio
    speech: Speech
    language: str


@dataclass(frozen=True)
class HeardSegment:
    """A segment as the library gave it; `schemas.rows.Segment` says what the numbers are."""

    words: list[HeardWord]
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float


@dataclass(frozen=True)
class Heard:
    """What a recogniser heard: segments in time order, Whisper's language code, and its probability (1.0: given)."""

    segments: list[HeardSegment]
    language: str
    language_probability: float


class Recogniser(Protocol):
    """A loaded speech recogniser. Several threads may call it; its model works for one of them at a time."""

    @property
    def languages(self) -> frozenset[str]:
        """Whisper's codes of the languages it knows."""

    def heard(self, sounds: Iterable[Sound]) -> Iterator[tuple[str, Heard | Exception]]:
        """The key of each video with its words and their times, in any order.

        A sound over which the model fails has the exception and costs no other sound its words; `MemoryError` and
        `OSError` are raised. Sounds are taken one by one, and few are held: the iterable may make them as it goes.
        """


def whisper_language(bcp47: str) -> str:
    """Whisper's code of a BCP 47 language, e.g. ``pt`` for ``pt-BR``."""
    primary = bcp47.replace("_", "-").split("-")[0].lower()
    return WHISPER_CODES.get(primary, primary)


def bcp47_language(whisper: str) -> str:
    """The BCP 47 code of Whisper's; they differ for Javanese alone."""
    return "jv" if whisper == "jw" else whisper


def segments_of(heard: Iterable[HeardSegment], speech: list[Stretch], duration: float) -> list[Segment]:
    """Rows of what was heard: times rounded to 1 ms, in order, not overlapping, inside 0 to `duration` seconds.

    Words are held against the speech (see `snapped`). Where two words overlap, the earlier one ends as the later one
    starts. Segments without words are left out.
    """
    groups = [(segment, [word for word in segment.words if word.text.strip()]) for segment in heard]
    groups = [(segment, words) for segment, words in groups if words]
    timed = snapped([word for _, words in groups for word in words], speech)
    starts = _rising([word.start for word in timed], duration)
    ends = [word.end for word in timed]
    ceilings = [*starts[1:], to_milliseconds(duration)]
    spans = iter(
        (start, max(start, min(to_milliseconds(end), ceiling)))
        for start, end, ceiling in zip(starts, ends, ceilings, strict=True)
    )
    return [_segment(segment, [_word(word, *next(spans)) for word in words]) for segment, words in groups]


def _rising(times: list[float], duration: float) -> list[float]:
    """The times rounded, held inside the audio, and none before the one ahead of it."""
    if not times:
        return []
    inside = np.clip(times, 0.0, to_milliseconds(duration))
    return [to_milliseconds(time) for time in np.maximum.accumulate(inside)]


def _word(heard: HeardWord, start: float, end: float) -> Word:
    probability = min(1.0, max(0.0, round(heard.probability, DECIMALS)))
    return Word(start=start, end=end, text=heard.text, probability=probability)


def _segment(heard: HeardSegment, words: list[Word]) -> Segment:
    return Segment(
        start=words[0].start,
        end=words[-1].end,
        avg_logprob=round(heard.avg_logprob, DECIMALS),
        no_speech_prob=round(heard.no_speech_prob, DECIMALS),
        compression_ratio=round(heard.compression_ratio, DECIMALS),
        words=words,
    )


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Run torch on so many CPU threads; the other stages of this process get theirs back."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
