"""Matching a subtitle track with recognized words: their agreement, and the track's words at recognized times."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from schemas.rows import Segment, Word
from stages.media.subtitles import Cue, is_unspaced, split_words
from stages.media.words import TimedWord
from stages.transcribe.recognizer import DECIMALS

TOLERANCE = 5.0
"""Most seconds between a track's word and the same recognized word: cues are early or late, and a word's place in a
long cue is a guess (our choice)."""

MAX_RATIO = 3
"""A track with more than this many times the recognized words is not matched: it could agree by half at most."""

Match = tuple[int, int]
"""Index of a track's word, and of the recognized word."""


@dataclass(frozen=True)
class Fitted:
    """A subtitle track matched with the recognized words.

    Attributes:
        cues: The track's cues, their words at the recognized times.
        agreement: Twice the matched words over the words of both, 0 to 1 (Dice's coefficient; difflib's ratio).
    """

    cues: list[Cue]
    agreement: float


def fitted(cues: Sequence[Cue], segments: Sequence[Segment], duration: float) -> Fitted:
    """Match a track's words with the recognized ones, in order and near in time, and give them their times.

    Args:
        cues: Of the track, in time order.
        segments: Recognized, in time order.
        duration: Seconds of audio.
    """
    track = [word for cue in cues for word in cue]
    heard = list(_joined(piece for segment in segments for word in segment.words for piece in _pieces(word)))
    matches = matched(track, heard) if len(track) <= MAX_RATIO * len(heard) else []
    timed = _timed(track, heard, matches, duration)
    agreement = 2 * len(matches) / max(1, len(track) + len(heard))
    return Fitted([[next(timed) for _ in cue] for cue in cues], round(agreement, DECIMALS))


def matched(track: Sequence[TimedWord], heard: Sequence[TimedWord]) -> list[Match]:
    """The longest common subsequence of equal words at most `TOLERANCE` seconds apart.

    Hunt and Szymanski's algorithm (1977): a longest increasing subsequence of the candidate pairs, which are few, since
    they are near in time.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for index, word in enumerate(heard):
        places[_plain(word.text)].append(index)
    places.pop("", None)
    starts = {key: [heard[index].start for index in indices] for key, indices in places.items()}
    lasts: list[int] = []  # of the best chain of each length, the index into `heard` that it ends at
    links: list[int] = []  # and its last node
    nodes: list[tuple[int, int, int]] = []  # a pair, and the node before it
    for index, word in enumerate(track):
        key = _plain(word.text)
        if key not in places:
            continue
        first = bisect_left(starts[key], word.start - TOLERANCE)
        last = bisect_right(starts[key], word.start + TOLERANCE)
        for place in reversed(places[key][first:last]):
            length = bisect_left(lasts, place)
            nodes.append((index, place, links[length - 1] if length else -1))
            lasts[length : length + 1] = [place]
            links[length : length + 1] = [len(nodes) - 1]
    chain = []
    node = links[-1] if links else -1
    while node >= 0:
        index, place, node = nodes[node]
        chain.append((index, place))
    return chain[::-1]


def _timed(
    track: Sequence[TimedWord], heard: Sequence[TimedWord], matches: Sequence[Match], duration: float
) -> Iterator[TimedWord]:
    """The track's words at the times of their matches; words between two matches are placed in between."""
    edges = [(-1, -1), *matches, (len(track), len(heard))]
    for (index, place), (following, next_place) in pairwise(edges):
        earliest = heard[place].end if place >= 0 else 0.0
        latest = heard[next_place].start if next_place < len(heard) else duration
        yield from _between(track[index + 1 : following], heard[place + 1 : next_place], earliest, latest)
        if following < len(track):
            at = heard[next_place]
            yield replace(track[following], start=at.start, end=at.end, probability=at.probability)


def _between(
    run: Sequence[TimedWord], heard: Sequence[TimedWord], earliest: float, latest: float
) -> Iterator[TimedWord]:
    """Unmatched words at the times of the recognized words in their gap, or at their cue's times, clamped to the gap.

    A similar number of words at about the same time is taken for the same words in another spelling.
    """
    same = (
        bool(run)
        and len(run) / 2 <= len(heard) <= 2 * len(run)
        and abs(heard[0].start - run[0].start) <= TOLERANCE
        and abs(heard[-1].end - run[-1].end) <= TOLERANCE
    )
    for number, word in enumerate(run):
        if same:
            start = _at(heard, number, len(run))
            end = _at(heard, number + 1, len(run), ends=True)
        else:
            start = min(max(word.start, earliest), latest)
            end = min(max(word.end, earliest), latest)
        yield replace(word, start=start, end=max(start, end))


def _at(heard: Sequence[TimedWord], share: int, shares: int, *, ends: bool = False) -> float:
    """The time, in seconds, at which `share` of `shares` equal parts of the words end; pauses do not count.

    Between two words, `ends` selects the end of the earlier one instead of the start of the later.
    """
    whole, rest = divmod(share * len(heard), shares)
    if rest == 0 and ends:
        return heard[whole - 1].end
    word = heard[whole]
    return word.start + (word.end - word.start) * rest / shares


def _pieces(word: Word) -> Iterator[TimedWord]:
    """A recognized word, split like the words of a track, its time spread evenly."""
    pieces = split_words(word.text)
    step = (word.end - word.start) / max(1, len(pieces))
    for number, piece in enumerate(pieces):
        start = word.start + number * step
        yield TimedWord(start, start + step, piece, word.probability)


def _joined(pieces: Iterable[TimedWord]) -> Iterator[TimedWord]:
    """Join pieces that are written without a space between: recognizers split ``www.example.org``."""
    whole: TimedWord | None = None
    for piece in pieces:
        if whole and not piece.text.startswith(" ") and not is_unspaced(whole.text + piece.text):
            whole = replace(whole, end=piece.end, text=whole.text + piece.text)
            continue
        if whole:
            yield whole
        whole = piece
    if whole:
        yield whole


def _plain(text: str) -> str:
    """A word without case and punctuation, in Unicode normal form."""
    return "".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))
