"""The places of a subtitle track, and which of them agree with what was heard.

A place is a line of a cue, or a sentence in it (`CueWord.line`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from stages.align.sentences import TERMINAL
from stages.media.subtitles.cues import Cue, CueWord
from stages.transcribe.agreement import HeardWord, Match, ends_sentence, matched, plain, with_other_spellings
from stages.transcribe.subtitle_clock import Clock

MOST_SKIPPED = 4
"""Recognized words between two matches of a place, beyond the track's own, from which the fewer matches are taken for
chance (our choice)."""

RELIABLE = 0.7
"""Share of a track's words that must be in places that agree, for it to be believed where the recognizer was unsure:
of a track with a translation half the words are (our choice)."""


@dataclass(frozen=True)
class Shown(CueWord):
    """A track's word in the video's time.

    Attributes:
        cue: Index of its cue.
        place: Number of its place in the track.
    """

    cue: int = 0
    place: int = 0


class Places:
    """A track's words, and which of its places agree with what was heard.

    Args:
        track: Its words.
        heard: Recognized words.
        least: Share of a place's words that both must have in common, 0 to 1.
    """

    def __init__(self, track: Sequence[Shown], heard: Sequence[HeardWord], least: float) -> None:
        self.track = track
        self.lengths = Counter(word.place for word in track)
        self.asides = {word.place for word in track if _is_aside(word.text.strip())}
        self.agree = set(self.lengths)
        self.matches: list[Match] = []
        for _ in range(2):  # again without places that do not agree, which may have had a word of one that does
            found = self._found(heard)
            by_place = groupby(found, key=lambda match: self.track[match[0]].place)
            self.matches = [match for _, matches in by_place for match in self._agreeing(list(matches), heard, least)]
            self.agree = {track[index].place for index, _ in self.matches}
        self.common = Counter(track[index].place for index, _ in self.matches)

    def _found(self, heard: Sequence[HeardWord]) -> list[Match]:
        """Words that track and recognizer have in common, in the places that may agree."""
        kept = [index for index, word in enumerate(self.track) if word.place in self.agree]
        words = [self.track[index] for index in kept]
        matches = with_other_spellings(matched(words, heard), words, heard)
        return [(kept[index], place) for index, place in matches]

    def _agreeing(self, matches: list[Match], heard: Sequence[HeardWord], least: float) -> list[Match]:
        """The matches of a place, without those by chance; none if track and recognizer share too little of it.

        Chance are the fewer matches on one side of many other words, or of others and the end of a recognized sentence.
        """
        runs = [matches[:1]]
        for before, match in pairwise(matches):
            skipped = (match[1] - before[1]) - (match[0] - before[0])
            between = match[1] - before[1] > 1 and any(map(ends_sentence, heard[before[1] : match[1]]))
            if skipped > MOST_SKIPPED or between:
                runs.append([])
            runs[-1].append(match)
        run = max(runs, key=len)
        span = run[-1][1] - run[0][1] + 1
        share = 2 * len(run) / (self.lengths[self.track[run[0][0]].place] + span)
        return run if share >= least else []

    def spoken(self, word: Shown) -> bool:
        """Whether a word counts: it is not in brackets and no speaker's name, or it was heard."""
        return word.place not in self.asides or word.place in self.agree

    def reliable(self, duration: float) -> bool:
        """Whether most of the track's words during the sound are in places that agree."""
        inside = [word for word in self.track if self.spoken(word) and 0 <= word.start < duration]
        return bool(inside) and sum(word.place in self.agree for word in inside) >= RELIABLE * len(inside)


def in_video_time(cues: Sequence[Cue], clock: Clock, heard: AbstractSet[str]) -> Iterator[Shown]:
    """A track's words in the video's time, with their places; `heard` are the recognized words, in plain writing."""
    place = -1
    for number, cue in enumerate(cues):
        line = -1
        for word in cue:
            place += word.line != line
            line = word.line
            one, other = _sides(word.text, heard)
            shown = Shown(clock(word.start), clock(word.end), one, 0.0, line, number, place)
            yield shown
            if other:
                place += 1
                yield replace(shown, start=shown.end, text=f" {other}", place=place)


def _sides(text: str, heard: AbstractSet[str]) -> tuple[str, str]:
    """What stands before and after a slash between two languages: after a sentence, or if one side alone was heard."""
    one, _, other = text.partition("/")
    if plain(one) and plain(other) and (TERMINAL.search(one) or (plain(one) in heard) != (plain(other) in heard)):
        return one, other
    return text, ""


def _is_aside(word: str) -> bool:
    """Whether a word begins or ends a place that may be a sound or the speaker's name."""
    return word.startswith(("(", "（")) or word.endswith((":", "："))
