"""The words of a window with their times, from CTranslate2's alignment of tokens with audio.

The rules are openai-whisper's (whisper/timing.py), as faster-whisper applies them to batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from stages.media.words import TimedWord

FRAMES_PER_SECOND = 100
"""Frames of a spectrogram per second."""

TOKENS_PER_SECOND = 50
"""Encoder positions per second, the unit of alignments."""

OPENING = "\"'“¿([{-"
"""Punctuation that is joined to the word after it (both libraries' default)."""

CLOSING = "\"'.。,，!！?？:：”)]}、"
"""Punctuation that is joined to the word before it (both libraries' default)."""

SENTENCE_ENDS = ".。!！?？"

LONGEST_MEDIAN = 0.7
"""Upper bound, in seconds, of the median length of a window's words."""

SLACK = 0.5
"""Seconds by which a word may exceed its window."""


@dataclass
class _Word:
    start: float
    end: float
    text: str
    probability: float

    @property
    def length(self) -> float:
        return self.end - self.start


def timed_words(
    tokens: Sequence[int], aligned: Any, tokenizer: Any, *, offset: float, duration: float, last_speech: float
) -> tuple[list[TimedWord], float]:
    """The words of a window, and the end of the last one in seconds.

    Args:
        tokens: Of the text alone.
        aligned: CTranslate2's `WhisperAlignmentResult` of these tokens.
        tokenizer: faster-whisper's, for the window's language.
        offset: Seconds at which the window begins.
        duration: Seconds of the window.
        last_speech: End of the last word before the window, in seconds: a first word long after it is shortened.
    """
    words = _aligned(tokens, aligned, tokenizer)
    lengths = [word.length for word in words if word.length]
    median = min(LONGEST_MEDIAN, float(np.median(lengths))) if lengths else 0.0
    if lengths:
        _shorten_at_sentence_ends(words, 2 * median)
    words = _with_punctuation(words)
    if not words:
        return [], last_speech
    begin = int(offset * FRAMES_PER_SECOND) / FRAMES_PER_SECOND
    for word in words:
        word.start, word.end = round(begin + word.start, 2), round(begin + word.end, 2)
    _shorten_after_pause(words, median, last_speech)
    last_speech = _hold_inside(words, median, offset, offset + duration)
    return [TimedWord(float(w.start), float(w.end), w.text, float(w.probability)) for w in words], last_speech


def _aligned(tokens: Sequence[int], aligned: Any, tokenizer: Any) -> list[_Word]:
    """The tokens joined to words, each from its first token's position to that of the next word."""
    texts, tokens_of_words = tokenizer.split_to_word_tokens([*tokens, tokenizer.eot])
    if len(tokens_of_words) <= 1:  # only the end token
        return []
    positions = np.array(aligned.alignments)  # pairs of token and position, in order
    first = np.diff(positions[:, 0], prepend=positions[0, 0] - 1).astype(bool)
    times = positions[first, 1] / TOKENS_PER_SECOND
    edges = np.cumsum([0, *map(len, tokens_of_words[:-1])])
    return [
        _Word(times[start], times[end], text, np.mean(aligned.text_token_probs[start:end]))
        for text, start, end in zip(texts[:-1], edges[:-1], edges[1:], strict=True)
    ]


def _shorten_at_sentence_ends(words: Sequence[_Word], longest: float) -> None:
    """Shorten sentence-ending punctuation, and the word after it, to `longest` seconds: they stretch into pauses."""
    for before, word in pairwise(words):
        if word.length > longest:
            if word.text in SENTENCE_ENDS:
                word.end = word.start + longest
            elif before.text in SENTENCE_ENDS:
                word.start = word.end - longest


def _with_punctuation(words: Sequence[_Word]) -> list[_Word]:
    """The words with the punctuation around them; a word keeps its own times."""
    forward: list[_Word] = []
    for word in reversed(words):
        if forward and word.text.startswith(" ") and word.text.strip() in OPENING:
            forward[-1].text = word.text + forward[-1].text
        else:
            forward.append(word)
    joined: list[_Word] = []
    for word in reversed(forward):
        if joined and not joined[-1].text.endswith(" ") and word.text in CLOSING:
            joined[-1].text += word.text
        else:
            joined.append(word)
    return joined


def _shorten_after_pause(words: Sequence[_Word], median: float, last_speech: float) -> None:
    """Shorten the first two words after a pause to twice the median length: they stretch into it."""
    first, second = words[0], words[1] if len(words) > 1 else None
    longest = 2 * median
    long = first.length > longest or (second is not None and second.end - first.start > 2 * longest)
    if first.end - last_speech > 2 * longest and long:
        if second is not None and second.length > longest:
            first.end = second.start = max(second.end / 2, second.end - longest)
        first.start = max(0.0, first.end - longest)


def _hold_inside(words: Sequence[_Word], median: float, start: float, end: float) -> float:
    """Move the first and last word into their window if they exceed it by far; returns the last one's end."""
    first, last = words[0], words[-1]
    if first.start < start - SLACK and start < first.end:
        first.start = max(0.0, min(first.end - median, start))
    if last.end > end + SLACK and end > last.start:
        last.end = max(last.start + median, end)
        return end
    return last.end
