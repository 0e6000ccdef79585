"""Words, their stems, and which of them carry content."""

from __future__ import annotations

import pytest

from stages.fuse.words import is_content, stem, words


@pytest.mark.parametrize(
    ("one", "other", "language"),
    [
        ("tomatoes", "tomato", "en"),
        ("whisked", "whisking", "en"),
        ("anna's", "anna", "en"),
        ("zwiebeln", "zwiebel", "de"),
        ("москву", "москвы", "ru"),
        ("цибулю", "цибулею", "uk"),
        ("물을", "물이", "ko"),
    ],
)
def test_plural_tense_and_case_leave_the_stem(one: str, other: str, language: str) -> None:
    assert stem(one, language) == stem(other, language)


def test_other_words_have_other_stems() -> None:
    assert len({stem(word, "en") for word in ("bread", "board", "bowl", "boil")}) == 4


def test_words_have_no_case_and_one_form() -> None:
    assert words("Don’t STOP, ﬁsh!") == ("don't", "stop", "fish")


def test_characters_are_words_where_no_spaces_are_and_signs_belong_to_theirs() -> None:
    assert words("我们 bake") == ("我", "们", "bake")
    assert words("हिन्दी में") == ("हिन्दी", "में")


def test_function_words_numbers_and_hiragana_carry_no_content() -> None:
    assert [word for word in words("the bowl don't 10 i と 丼") if is_content(word, "en")] == ["bowl", "丼"]
