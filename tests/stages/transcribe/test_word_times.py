"""Words of a window: what punctuation, pauses and the window's edges do to them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from stages.media.words import TimedWord
from stages.transcribe.word_times import TOKENS_PER_SECOND, timed_words

END = 99


class OneTokenAWord:
    """A tokenizer whose tokens are the indices of words."""

    eot = END

    def __init__(self, words: list[str]) -> None:
        self._words = words

    def split_to_word_tokens(self, tokens: list[int]) -> tuple[list[str], list[list[int]]]:
        return [*(self._words[token] for token in tokens[:-1]), ""], [[token] for token in tokens]


def window(words: list[str], edges: list[float], **given: Any) -> tuple[list[TimedWord], float]:
    """The words of a window in which each begins at its edge, in seconds, and ends at the next one's."""
    positions = [(index, round(edge * TOKENS_PER_SECOND)) for index, edge in enumerate(edges)]
    aligned = SimpleNamespace(alignments=positions, text_token_probs=[0.5] * len(words))
    where: dict[str, Any] = {"offset": 0.0, "duration": 30.0, "last_speech": 0.0} | given
    return timed_words(range(len(words)), aligned, OneTokenAWord(words), **where)


def times(words: list[TimedWord]) -> list[tuple[str, float, float]]:
    return [(word.text, round(word.start, 3), round(word.end, 3)) for word in words]


def test_words_lie_between_the_first_positions_of_their_tokens_after_the_offset() -> None:
    words, last_speech = window([" A", " cup"], [0.2, 0.4, 0.8], offset=10.0)
    assert times(words) == [(" A", 10.2, 10.4), (" cup", 10.4, 10.8)]
    assert last_speech == 10.8


def test_punctuation_joins_its_word_which_keeps_its_times() -> None:
    words, _ = window([" (", "A", " cup", ")", "."], [0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert times(words) == [(" (A", 0.2, 0.4), (" cup).", 0.4, 0.6)]


def test_a_word_that_stretches_into_the_pause_before_it_is_cut_to_twice_the_median() -> None:
    words, _ = window([" A", " red", " cup"], [0.0, 4.0, 4.2, 4.4])
    assert times(words)[0] == (" A", 3.6, 4.0)


def test_a_word_after_the_end_of_a_sentence_is_cut_to_twice_the_median() -> None:
    words, _ = window([" cup", ".", " A", " dog"], [0.2, 0.4, 0.5, 3.0, 3.2])
    assert times(words) == [(" cup.", 0.2, 0.4), (" A", 2.6, 3.0), (" dog", 3.0, 3.2)]


def test_a_last_word_that_reaches_far_out_of_its_window_ends_with_it() -> None:
    words, last_speech = window([" A", " red", " cup"], [0.2, 0.4, 0.6, 4.0], duration=2.0)
    assert (words[-1].end, last_speech) == (2.0, 2.0)


def test_a_window_without_text_has_no_words_and_the_last_speech_stays() -> None:
    assert window([], [0.0], last_speech=7.0) == ([], 7.0)
