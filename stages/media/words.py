"""A word with times, as a recognizer or a subtitle track gives it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TimedWord:
    """A word with its times in seconds, which may overlap those of others or be out of bounds.

    Attributes:
        start: Its beginning.
        end: Its end.
        text: With the space before it, if one is written.
        probability: The recognizer's, 0 to 1; 0.0 of a subtitle's word.
    """

    start: float
    end: float
    text: str
    probability: float
