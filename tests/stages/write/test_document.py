"""A document as a sample."""

from __future__ import annotations

import pytest

from stages.write.document import jpeg_size
from storyloom.format.words import count_words
from tests.documents import jpeg


def test_the_size_of_a_jpeg_is_read_from_its_header() -> None:
    assert jpeg_size("key", jpeg(1, 64, 48)[:700]) == (64, 48)


@pytest.mark.parametrize(
    ("text", "words"),
    [("so here we go.", 4), ("", 0), ("你好世界", 4), ("我有 two 只猫", 5), ("สวัสดี", 6), ("naïve café", 2)],
)
def test_words_are_counted_and_characters_where_a_script_writes_no_spaces(text: str, words: int) -> None:
    assert count_words(text) == words
