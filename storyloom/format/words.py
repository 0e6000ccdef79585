"""Counting the words of a text; every word count uses this."""

from __future__ import annotations

import re

WITHOUT_SPACES = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese: they write no spaces, so that a character counts as a word."""


WORD = re.compile(f"[{WITHOUT_SPACES}]|[^\\s{WITHOUT_SPACES}]+")


def count_words(text: str) -> int:
    """Words of a text; a character of a script without spaces counts as one."""
    return len(WORD.findall(text))
