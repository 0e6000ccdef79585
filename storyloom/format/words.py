"""Counting the words of a text; every word count uses this."""

from __future__ import annotations

import re

WITHOUT_SPACES = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese: they write no spaces, so that a character counts as a word."""


WORD = re.compile(f"[{WITHOUT_SPACES}]|[^\\s{WITHOUT_SPACES}]+")


PIECE = re.compile(
    f"'(?:s|t|re|ve|m|ll|d)| ?[{WITHOUT_SPACES}]| ?[^\\W\\d_{WITHOUT_SPACES}]+| ?\\d+| ?(?:[^\\s\\w]|_)+"
    r"|\s+(?!\S)|\s+"
)
"""GPT-2's splitting rule, which byte-level BPE tokenizers share in the main: a token never spans two pieces. Here a
character of a script without spaces counts as one (our choice): the rule makes one piece of a whole sentence of it."""


def count_pieces(text: str) -> int:
    """Pieces into which byte-level BPE tokenizers split a text before they look anything up: about its tokens."""
    return len(PIECE.findall(text))


def count_words(text: str) -> int:
    """Words of a text; a character of a script without spaces counts as one."""
    return len(WORD.findall(text))
