"""The interface of speech recognizers: request, recognition, and its conversion to rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from schemas.languages import primary_language
from schemas.rows import Segment, Word
from stages.align.sentences import MAX_COMPRESSION_RATIO, MAX_NO_SPEECH, MIN_LOGPROB
from stages.media.audio import Audio
from stages.media.words import TimedWord
from stages.transcribe.languages import Spoken
from stages.transcribe.speech_segments import Speech, SpeechSegment, snapped
from storyloom.format.model import to_milliseconds

DECIMALS = 4
"""Decimals of probabilities: beyond these, batch sizes and devices disagree."""

WHISPER_CODES = {"fil": "tl", "jv": "jw", "nb": "no"}
"""Primary subtags of BCP 47 with another code in Whisper."""


Doubt = Literal["repetition", "not_speech"]
"""Why a recognized segment is not believed: a loop, or text where Whisper itself doubts that anybody speaks."""


@dataclass(frozen=True)
class Request:
    """The input of a recognizer for one video.

    Attributes:
        video: The video's key.
        audio: Its audio.
        speech: Its speech segments.
        language: Whisper's code; empty to detect it.
    """

    video: str
    audio: Audio
    speech: Speech
    language: str


@dataclass(frozen=True)
class RecognizedSegment:
    """A segment as the library returned it; `schemas.rows.Segment` documents the numbers. The language is Whisper's."""

    words: list[TimedWord]
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    language: str = ""

    @property
    def doubt(self) -> Doubt | None:
        """Why the segment is not believed, by Whisper's own rules (openai-whisper's `transcribe`)."""
        if self.avg_logprob < MIN_LOGPROB and self.no_speech_prob > MAX_NO_SPEECH:
            return "not_speech"
        return "repetition" if self.compression_ratio > MAX_COMPRESSION_RATIO else None


def believed(segments: Sequence[RecognizedSegment]) -> float:
    """How much the model believes what it wrote: the mean of `avg_logprob` over the words; 0.0 without any."""
    words = [len(segment.words) for segment in segments]
    if not sum(words):
        return 0.0
    return float(np.average([segment.avg_logprob for segment in segments], weights=words))


@dataclass(frozen=True)
class Recognition:
    """The result for a video.

    Attributes:
        segments: Those that are believed, in time order.
        spoken: The language of most speech.
        left_out: Words of segments that are not believed, by the reason.
        doubted: The language that is clearly heard instead of the given one, in most windows where one is.
    """

    segments: list[RecognizedSegment]
    spoken: Spoken
    left_out: Mapping[Doubt, int] = field(default_factory=dict)
    doubted: Spoken = field(default_factory=Spoken)


class Recognizer(Protocol):
    """A loaded speech recognizer. It is thread-safe; its model serves one thread at a time."""

    @property
    def languages(self) -> frozenset[str]:
        """Whisper's codes of the languages it knows."""

    def recognize(self, requests: Iterable[Request]) -> Iterator[tuple[str, Recognition]]:
        """Yield the key and the recognition of each video, in any order.

        Requests are taken lazily, and few are held in memory. Exceptions of the model are raised.
        """


def whisper_language(bcp47: str) -> str:
    """Whisper's code of a language, in BCP 47 or ISO 639, e.g. ``pt`` for ``pt-BR`` and ``por``."""
    primary = primary_language(bcp47)
    return WHISPER_CODES.get(primary, primary)


def bcp47_language(whisper: str) -> str:
    """The BCP 47 code of Whisper's; only Javanese differs."""
    return "jv" if whisper == "jw" else whisper


def segments_of(recognized: Iterable[RecognizedSegment], speech: list[SpeechSegment], duration: float) -> list[Segment]:
    """Recognized segments as rows: times rounded to 1 ms, in order, not overlapping, inside 0 to `duration` seconds.

    Words are snapped to the speech (see `snapped`). Where two words overlap, the earlier one ends at the start of the
    later one. Segments without words are left out.
    """
    groups = [(segment, [word for word in segment.words if word.text.strip()]) for segment in recognized]
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
    """The times rounded, clamped to the audio, and non-decreasing."""
    if not times:
        return []
    inside = np.clip(times, 0.0, to_milliseconds(duration))
    return [to_milliseconds(time) for time in np.maximum.accumulate(inside)]


def _word(timed: TimedWord, start: float, end: float) -> Word:
    probability = min(1.0, max(0.0, round(timed.probability, DECIMALS)))
    return Word(start=start, end=end, text=timed.text, probability=probability)


def _segment(recognized: RecognizedSegment, words: list[Word]) -> Segment:
    return Segment(
        start=words[0].start,
        end=words[-1].end,
        avg_logprob=round(recognized.avg_logprob, DECIMALS),
        no_speech_prob=round(recognized.no_speech_prob, DECIMALS),
        compression_ratio=round(recognized.compression_ratio, DECIMALS),
        language=bcp47_language(recognized.language),
        words=words,
    )


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Run torch on this many CPU threads in a block; the previous number is restored."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
