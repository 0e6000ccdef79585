"""The words of a sentence with their times, as its text spells them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

from schemas.rows import Sentence, Word
from storyloom.format.model import to_milliseconds
from storyloom.format.sample import TimedWord
from storyloom.format.tokens import letter, special_token, without_marks


def timed_words(sentence: Sentence, run: Sequence[Word]) -> list[TimedWord]:
    """The words of a sentence, in time order, trimmed: they spell its text, spaces aside, and lie in its interval.

    Where they would form a special token of trainers, joined by spaces or by nothing, they lose its marks.

    Args:
        sentence: Made of these words.
        run: The words as they were recognized.
    """
    found = list(_in_the_interval(sentence, run))
    if any(special_token(between.join(word.text for word in found)) for between in ("", " ")):
        bare = (word._replace(text=without_marks(word.text).strip()) for word in found)
        found = [word for word in bare if word.text]
    return found


def _in_the_interval(sentence: Sentence, run: Sequence[Word]) -> Iterator[TimedWord]:
    earliest = sentence.start
    for word, spelling in zip(run, _spellings(sentence.text, [word.text for word in run]), strict=True):
        start = min(max(earliest, to_milliseconds(word.start)), sentence.end)
        end = min(max(start, to_milliseconds(word.end)), sentence.end)
        if spelling:
            yield TimedWord(spelling, start, end)
        earliest = start


def _spellings(text: str, words: Sequence[str]) -> list[str]:
    """The part of a sentence's text that stands for each word; empty for one of which nothing is left.

    The text is the words without spaces, control characters and marks of tokens, so its letters are found among theirs
    in the same order.
    """
    letters = [(folded, number) for number, word in enumerate(words) for char in word if (folded := _folded(char))]
    owners: dict[int, list[int]] = {}
    position = owner = 0
    for place, char in enumerate(text):
        if folded := _folded(char):
            while position < len(letters) - 1 and letters[position][0] != folded:
                position += 1
            owner = letters[position][1]
            position = min(position + 1, len(letters) - 1)
        if not char.isspace():
            owners.setdefault(owner, []).append(place)
    spans = (owners.get(number, []) for number in range(len(words)))
    return [text[span[0] : span[-1] + 1] if span else "" for span in spans]


@cache
def _folded(char: str) -> str:
    return "" if char.isspace() else letter(char)
