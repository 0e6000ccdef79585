"""The lag and the drift of a subtitle track, estimated from words that it shares with the recognizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

RATES = (24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0)
"""Pictures per second of films and television: a track made for one and played with another drifts."""

STRETCHES = tuple(sorted({a / b for a in RATES for b in RATES if 0.9 < a / b < 1.1}, key=lambda s: abs(s - 1)))  # noqa: PLR2004
"""Factors between these rates, the nearest to 1 first; 24 and 30 do not occur together."""

FREE = (0.5, 2.0)
"""Bounds of other factors (our choice)."""

LENGTHS = (3, 2, 1)
"""Words of a phrase: the longest of which enough are common to both are taken."""

MOST_TIMES = 20
"""Times that such a phrase occurs at most (our choice)."""

ENOUGH = 8
"""Common phrases from which no shorter ones are looked at (our choice)."""

FEWEST = 5
"""Common phrases that must agree on a lag (our choice)."""

LEAST_SHARE = 0.3
"""Share of the common phrases that must agree on it; unrelated tracks measure under 0.1 (our choice)."""

SLACK = 1.5
"""Most seconds between a phrase and where the lag puts it: a word's place in its cue is a guess (our choice)."""

SMALLEST = 1.5
"""Seconds of a lag below which there is none: cues come a little before or after the words, whose places in them are
guessed (our choice)."""

CLEARLY = 1.25
"""A drift must bring this many times as many phrases into agreement as none does (our choice)."""

MOST_LINES = 64
"""Phrases through each two of which a line is tried, evenly chosen among all: 2016 lines (our choice)."""


@dataclass(frozen=True)
class Clock:
    """What turns a track's times into the video's: ``time * stretch - lag``.

    Attributes:
        lag: Seconds by which the track is late; negative when it is early.
        stretch: Factor; 1.0 without drift.
        known: Whether enough words are common to both to tell.
    """

    lag: float = 0.0
    stretch: float = 1.0
    known: bool = False

    def __call__(self, time: float) -> float:
        return time * self.stretch - self.lag


def estimated(track: Sequence[tuple[str, float]], heard: Sequence[tuple[str, float]]) -> Clock:
    """The clock of a track.

    Phrases that occur as often in the track as in what was heard are points of a line. Lags come from votes: the most
    phrases within `SLACK` of each other. A drift is believed when clearly more phrases agree with it, the rates of
    films and television before any other.

    Args:
        track: Words in plain form with their starts in seconds, in order.
        heard: Recognized words likewise.

    Returns:
        The clock; without lag and drift where too few phrases agree.
    """
    shown, spoken = _common(track, heard)
    if len(shown) < FEWEST:
        return Clock()
    stretch = _clearest(shown, spoken, np.array(STRETCHES), 1.0)
    free = _clearest(shown, spoken, _slopes(shown, spoken), stretch)
    agree = _agreeing(shown, spoken, free)
    if len(agree) < max(FEWEST, LEAST_SHARE * len(shown)):
        return Clock()
    if free != stretch:
        stretch = float(np.polyfit(shown[agree], spoken[agree], 1)[0])
        agree = _agreeing(shown, spoken, stretch)
    lag = round(float(np.median(shown[agree] * stretch - spoken[agree])), 2)
    return Clock(lag if stretch != 1.0 or abs(lag) >= SMALLEST else 0.0, round(stretch, 6), known=True)


def _common(track: Sequence[tuple[str, float]], heard: Sequence[tuple[str, float]]) -> tuple[FloatArray, FloatArray]:
    """Starts of the phrases that occur as often in each, in the track and as heard."""
    shown: list[float] = []
    spoken: list[float] = []
    for length in LENGTHS:
        one, other = _starts(track, length), _starts(heard, length)
        common = [phrase for phrase, times in one.items() if len(times) == len(other.get(phrase, ())) <= MOST_TIMES]
        if len(common) > len(shown):
            shown = [time for phrase in common for time in one[phrase]]
            spoken = [time for phrase in common for time in other[phrase]]
        if len(common) >= ENOUGH:
            break
    order = np.argsort(shown, kind="stable")
    return np.array(shown)[order], np.array(spoken)[order]


def _starts(words: Sequence[tuple[str, float]], length: int) -> dict[tuple[str, ...], list[float]]:
    """Starts of each phrase of this many words."""
    found: dict[tuple[str, ...], list[float]] = {}
    texts = [text for text, _ in words]
    for number in range(len(words) - length + 1):
        found.setdefault(tuple(texts[number : number + length]), []).append(words[number][1])
    return found


def _clearest(shown: FloatArray, spoken: FloatArray, stretches: FloatArray, default: float) -> float:
    """The stretch with the most phrases in agreement; the default unless one is clearly better."""
    if not len(stretches):
        return default
    votes = [_votes(shown, spoken, stretch) for stretch in stretches.tolist()]
    best = int(np.argmax(votes))
    clear = votes[best] > CLEARLY * _votes(shown, spoken, default) + 1
    return float(stretches[best]) if clear else default


def _votes(shown: FloatArray, spoken: FloatArray, stretch: float) -> int:
    return len(_agreeing(shown, spoken, stretch))


def _agreeing(shown: FloatArray, spoken: FloatArray, stretch: float) -> npt.NDArray[np.int64]:
    """The most phrases whose lags under this stretch are within `SLACK` of a common one."""
    lags = shown * stretch - spoken
    order: npt.NDArray[np.int64] = np.argsort(lags, kind="stable")
    ends = np.searchsorted(lags[order], lags[order] + 2 * SLACK, side="right")
    first = int(np.argmax(ends - np.arange(len(lags))))
    return order[first : ends[first]]


def _slopes(shown: FloatArray, spoken: FloatArray) -> FloatArray:
    """Slopes of the lines through two phrases that are not near each other."""
    chosen = np.unique(np.linspace(0, len(shown) - 1, min(len(shown), MOST_LINES)).astype(int))
    one, two = np.triu_indices(len(chosen), 1)
    across = shown[chosen][two] - shown[chosen][one]
    far = np.abs(across) > np.ptp(shown) / 3
    slopes: FloatArray = (spoken[chosen][two] - spoken[chosen][one])[far] / across[far]
    return slopes[(slopes > FREE[0]) & (slopes < FREE[1])]
