"""Words that a subtitle track and the recognizer have in common, in order and near in time."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from schemas.rows import Segment, Word
from stages.align.sentences import TERMINAL
from stages.media.subtitles.cues import is_unspaced, split_words
from stages.media.words import TimedWord

TOLERANCE = 5.0
"""Most seconds between a track's word and the same recognized word: cues are early or late, and a word's place in a
long cue is a guess (our choice)."""

ALIKE = 0.75
"""Least similarity, 0 to 1 (difflib's ratio), of two spellings of one word: ``with`` and ``without`` measure 0.73 (our
choice)."""

MAX_GAP_WORDS = 40
"""Words between two matches beyond which no other spellings are looked for (our choice)."""

LONGEST_WORD = 64
"""Characters of a word beyond which no other spelling of it is looked for (our choice)."""

NUMBER_WORDS = 6
"""Most words that are written as one number: ``$2,500``, two thousand five hundred dollars (our choice)."""

EQUAL, NEXT = 1 << 50, 1 << 30
"""What a pair of equal words counts, and what one counts that follows another: more than all the milliseconds between
the words of a track and those heard, of which each costs 1."""

FloatArray = npt.NDArray[np.float64]

Match = tuple[int, int]
"""Index of a track's word, and of the recognized word."""


@dataclass(frozen=True)
class HeardWord(TimedWord):
    """A recognized word, split or joined as a track would write it.

    Attributes:
        segment: Index of its segment.
    """

    segment: int = 0


def heard_words(segments: Sequence[Segment]) -> list[HeardWord]:
    """The recognized words as a track would write them."""
    return list(
        _joined(
            piece for index, segment in enumerate(segments) for word in segment.words for piece in _pieces(word, index)
        )
    )


def matched(track: Sequence[TimedWord], heard: Sequence[TimedWord]) -> list[Match]:
    """The longest common subsequence of equal words at most `TOLERANCE` seconds apart.

    Of several as long, the one with the most pairs of words that follow each other in both, within a sentence; then the
    nearest in time. After Hunt and Szymanski (1977): the best chain of the candidate pairs, which are few, since they
    are near in time.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for index, word in enumerate(heard):
        places[plain(word.text)].append(index)
    places.pop("", None)
    starts = {key: [heard[index].start for index in indices] for key, indices in places.items()}
    parted = [False, *map(ends_sentence, heard)]  # whether a sentence ends before each word
    nodes: list[tuple[int, int, int]] = []  # a pair, and the node before it
    lasts: list[int] = []  # of the chains that no other beats, the index into `heard` that each ends at, rising
    chains: list[tuple[int, int]] = [(0, -1)]  # none, and these: score and last node, rising
    before: dict[int, tuple[int, int]] = {}  # the chains that end with the track's word before, by their last place
    for index, word in enumerate(track):
        key = plain(word.text)
        following, before = before if index and not ends_sentence(track[index - 1]) else {}, {}
        first = bisect_left(starts.get(key, ()), word.start - TOLERANCE)
        last = bisect_right(starts.get(key, ()), word.start + TOLERANCE)
        for place in reversed(places.get(key, [])[first:last]):
            at = bisect_left(lasts, place)
            score, node = chains[at]
            if place - 1 in following and not parted[place]:
                score, node = max((score, node), (following[place - 1][0] + NEXT, following[place - 1][1]))
            nodes.append((index, place, node))
            apart = round(1000 * abs(heard[place].start - word.start))
            chain = before[place] = (score + EQUAL - apart, len(nodes) - 1)
            beaten = at
            while beaten < len(lasts) and chains[beaten + 1] <= chain:
                beaten += 1
            if beaten > at or lasts[at : at + 1] != [place]:
                lasts[at:beaten] = [place]
                chains[at + 1 : beaten + 1] = [chain]
    matches = []
    node = chains[-1][1]
    while node >= 0:
        index, place, node = nodes[node]
        matches.append((index, place))
    return matches[::-1]


def ends_sentence(word: TimedWord) -> bool:
    """Whether a word closes a sentence."""
    return TERMINAL.search(word.text.strip()) is not None


def with_other_spellings(
    matches: Sequence[Match], track: Sequence[TimedWord], heard: Sequence[TimedWord]
) -> list[Match]:
    """The matches, and between them the pairs of words that are spelt alike, in order."""
    found = list(matches)
    for (index, place), (following, next_place) in pairwise([(-1, -1), *matches, (len(track), len(heard))]):
        here, there = range(index + 1, following), range(place + 1, next_place)
        if here and there and max(len(here), len(there)) <= MAX_GAP_WORDS:
            found += [(here[i], there[j]) for i, j in _alike([track[i] for i in here], [heard[j] for j in there])]
    return sorted(found)


def _alike(track: Sequence[TimedWord], heard: Sequence[TimedWord]) -> list[Match]:
    """Pairs of words spelt alike, in order, with the greatest sum of similarities."""
    alike = _similarities(track, heard)
    best = np.zeros((len(track) + 1, len(heard) + 1))  # of the words from each on
    for i in reversed(range(len(track))):
        for j in reversed(range(len(heard))):
            both = alike[i, j] + best[i + 1, j + 1] if alike[i, j] else 0.0
            best[i, j] = max(both, best[i + 1, j], best[i, j + 1])
    pairs = []
    i = j = 0
    while i < len(track) and j < len(heard):
        if alike[i, j] and best[i, j] == alike[i, j] + best[i + 1, j + 1]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif best[i, j] == best[i + 1, j]:
            i += 1
        else:
            j += 1
    return pairs


def _similarities(track: Sequence[TimedWord], heard: Sequence[TimedWord]) -> FloatArray:
    """Similarity of each track's word to each heard one, shape (track, heard); 0.0 where they are not spelt alike.

    Nor are they where one is more like two words of the other: ``wetsuit`` and ``suit``, after ``wet``.
    """
    shown, said = [plain(word.text) for word in track], [plain(word.text) for word in heard]
    alike = np.zeros((len(track), len(heard)))
    for i, j in np.ndindex(alike.shape):
        if abs(track[i].start - heard[j].start) > TOLERANCE or (ratio := _ratio(shown[i], said[j])) < ALIKE:
            continue
        two = [(shown[i], "".join(said[k : k + 2])) for k in (j - 1, j) if 0 <= k < len(said) - 1]
        two += [("".join(shown[k : k + 2]), said[j]) for k in (i - 1, i) if 0 <= k < len(shown) - 1]
        alike[i, j] = ratio if all(_ratio(*pair) < ratio for pair in two) else 0.0
    return alike


def written_otherwise(track: Sequence[TimedWord], heard: Sequence[TimedWord]) -> bool:
    """Whether words may be recognized ones in another writing: spelt alike, split otherwise, or in digits.

    Most letters of each recognized word must be among the track's.
    """
    shown, said = [plain(word.text) for word in track], [plain(word.text) for word in heard]
    if all(map(_has_digits, shown)) and not any(map(_has_digits, said)):
        return len(said) <= NUMBER_WORDS * len(shown)
    if all(map(_has_digits, said)) and not any(map(_has_digits, shown)):
        return len(shown) <= NUMBER_WORDS * len(said)
    one, other = "".join(said), "".join(shown)
    if _ratio(one, other) < ALIKE:
        return False
    common = np.zeros(len(one), dtype=bool)
    for start, _, length in SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks():
        common[start : start + length] = True
    ends = np.cumsum([len(text) for text in said])
    return all(2 * common[end - len(text) : end].sum() > len(text) for text, end in zip(said, ends, strict=True))


def _has_digits(text: str) -> bool:
    return any(character.isdigit() for character in text)


def _ratio(one: str, other: str) -> float:
    """Similarity of two spellings, 0 to 1; 0.0 below `ALIKE`, and of different numbers."""
    numbers = {digits for text in (one, other) if (digits := re.sub(r"\D", "", text))}
    if len(numbers) > 1:
        return 0.0
    if max(len(one), len(other)) > LONGEST_WORD:
        return 0.0
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    return matcher.ratio() if matcher.real_quick_ratio() >= ALIKE and matcher.quick_ratio() >= ALIKE else 0.0


def _pieces(word: Word, segment: int) -> Iterator[HeardWord]:
    """A recognized word, split like the words of a track, its time spread evenly."""
    pieces = split_words(word.text)
    step = (word.end - word.start) / max(1, len(pieces))
    for number, piece in enumerate(pieces):
        start = word.start + number * step
        yield HeardWord(start, start + step, piece, word.probability, segment)


def _joined(pieces: Iterable[HeardWord]) -> Iterator[HeardWord]:
    """Join pieces that are written without a space between: recognizers split ``www.example.org``."""
    whole: HeardWord | None = None
    for piece in pieces:
        if whole and not piece.text.startswith(" ") and not is_unspaced(whole.text + piece.text):
            whole = replace(whole, end=piece.end, text=whole.text + piece.text)
            continue
        if whole:
            yield whole
        whole = piece
    if whole:
        yield whole


def plain(text: str) -> str:
    """A word without case and punctuation, in Unicode normal form."""
    return "".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))
