"""The language of a video's windows: it changes only where another one is clearly heard."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

CLEAR = 0.8
"""Probability from which Whisper hears a language clearly (our choice: speech of its first language with a foreign
accent reaches 0.76 for the right one; clips in one language reach 0.93)."""

ENOUGH = 5.0
"""Seconds of speech that tell a language (our choice); the first so many decide on a video's first language."""

Probabilities = Mapping[str, float]
"""Probability of each language, by Whisper's code."""


@dataclass(frozen=True)
class Spoken:
    """A language, Whisper's code, with its probability and the seconds of speech in it."""

    language: str = ""
    probability: float = 0.0
    seconds: float = 0.0


@dataclass
class Languages:
    """The languages of a video's windows so far.

    Attributes:
        given: The language that it is transcribed in, Whisper's code; empty where each window's own counts.
        current: The language of the last window.
    """

    given: str
    current: str = ""
    _spoken: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    _doubted: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, heard: Probabilities, seconds: float) -> str:
        """The language to transcribe the next window in, of so many seconds of speech, given what is heard in it."""
        self.current = self.given or self.current
        likeliest = max(heard, key=heard.__getitem__, default="")
        clear = seconds >= ENOUGH and heard.get(likeliest, 0.0) >= CLEAR
        if self.given and clear and likeliest != self.given:
            self._doubted[likeliest].append((seconds, heard[likeliest]))
        if not self.given and (clear or not self.current):
            self.current = likeliest
        probability = 1.0 if self.given else heard.get(self.current, 0.0)
        self._spoken[self.current].append((seconds, probability))
        return self.current

    def most_spoken(self) -> Spoken:
        """The language of most speech."""
        return _most(self._spoken) or Spoken(self.given, 1.0 if self.given else 0.0)

    def most_doubted(self) -> Spoken:
        """The language of most windows in which clearly another one is heard than the given."""
        return _most(self._doubted) or Spoken()


def first_language(windows: Sequence[tuple[Probabilities, float]]) -> str:
    """The likeliest language of windows, given the probabilities and the seconds of each."""
    sums: dict[str, float] = defaultdict(float)
    for heard, seconds in windows:
        for language, probability in heard.items():
            sums[language] += seconds * probability
    return max(sums, key=sums.__getitem__, default="")


def _most(found: Mapping[str, Sequence[tuple[float, float]]]) -> Spoken | None:
    """The language of most seconds, with its mean probability over them."""
    if not found:
        return None
    totals = {language: sum(seconds for seconds, _ in windows) for language, windows in found.items()}
    language = max(totals, key=totals.__getitem__)
    probability = sum(seconds * probability for seconds, probability in found[language]) / totals[language]
    return Spoken(language, probability, totals[language])
