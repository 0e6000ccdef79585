"""Numbers in digits and in words."""

from __future__ import annotations

import pytest

from stages.fuse.numbers import lost_numbers


def lost(said: str, answer: str, language: str = "en") -> set[str]:
    return set(lost_numbers(said, language, answer, language))


@pytest.mark.parametrize(
    ("said", "answer", "language"),
    [
        ("ten eggs", "10 eggs", "en"),
        ("10 eggs", "Ten eggs.", "en"),
        ("1,000 people", "1000 people", "en"),
        ("1.000 Leute", "tausend Leute", "de"),
        ("10 000 personnes", "10.000 personnes", "fr"),
        ("1,234.50 dollars", "1234.5 dollars", "en"),
        ("two million views", "2 million views", "en"),
        ("2 million views", "2,000,000 views", "en"),
        ("three point five metres", "3.5 metres", "en"),
        ("in nineteen eighty-four, I think", "in 1984.", "en"),
        ("the twenty-first of May", "May 21st", "en"),
        ("twenty-five percent", "25%", "en"),
        ("twenty-one", "21", "en"),
        ("quatre-vingt-dix-sept", "97", "fr"),
        ("zweihundertfünfzig Gramm", "250 Gramm", "de"),
        ("٣٥ مترا", "35 مترا", "ar"),
        ("１２個", "12個", "ja"),
        ("1, 2, 3", "3, 2, 1", "en"),
        ("1,2,3", "3 and 2 and 1", "en"),
    ],
)
def test_a_number_is_the_same_however_it_is_written(said: str, answer: str, language: str) -> None:
    assert lost(said, answer, language) == set()


@pytest.mark.parametrize(
    ("said", "answer", "missing"),
    [
        ("10 eggs", "eggs", {"10"}),
        ("ten eggs", "some eggs", {"10"}),
        ("10 eggs", "100 eggs", {"10"}),
        ("3.5 metres", "35 metres", {"3.5"}),
        ("1999 and 2001", "2001", {"1999"}),
        ("the 3rd try", "the try", {"3"}),
        ("twenty-one pilots", "twenty pilots", {"21"}),
    ],
)
def test_a_number_that_is_gone_or_another_is_lost(said: str, answer: str, missing: set[str]) -> None:
    assert lost(said, answer) == missing


@pytest.mark.parametrize(
    "said", ["one of these", "first of all", "wait a second", "half a cup, or 1/2", "no one", "this one"]
)
def test_words_that_are_rarely_meant_as_numbers_are_not_asked_for(said: str) -> None:
    assert lost(said, "these") == set()


def test_number_words_of_other_languages_are_not_asked_for() -> None:
    assert lost("двести граммов", "много сахара", "ru") == set()
    assert lost("200 граммов", "много сахара", "ru") == {"200"}
