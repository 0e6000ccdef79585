"""What is taken out of the text of strangers."""

import pytest

from schemas.text import MAX_TEXT, clean_text


@pytest.mark.parametrize(
    ("written", "clean"),
    [
        ("\x1b]0;owned\x07\x1b[31mred", "]0;owned[31mred"),
        ("a\x9b31mb\x00c\x7fd", "a31mbcd"),
        ("photo\u202egpj.exe\u2066x\u2069", "photogpj.exex"),
        ("two\r\nlines\tand\u2028more", "two lines and more"),
        ("half \ud83d of a pair", "half \ufffd of a pair"),
        ("x" * (MAX_TEXT + 1), "x" * MAX_TEXT),
    ],
)
def test_what_a_reader_does_not_see_goes(written: str, clean: str) -> None:
    assert clean_text(written) == (clean, True)


@pytest.mark.parametrize(
    "text", ["", "Café – naïve", "e\u0301", "שלום\u200f!", "👩\u200d🔬 🏴\U000e0067\U000e007f", "  spaces  "]
)
def test_other_text_stays_as_written(text: str) -> None:
    assert clean_text(text) == (text, False)
