"""Strangers' text as it may be shown on a terminal or a page: it says what it says, and does nothing."""

from __future__ import annotations

import re

LONGEST_NAME = 200
"""Characters of a title, a licence or another name that are shown (our choice)."""

LONGEST_SENTENCE = 2000
"""Characters of a sentence that are shown (our choice)."""

UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # controls
    "\u202a-\u202e\u2066-\u2069"  # embeddings, overrides and isolates of the reading direction
    "\u180e\u200b\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb"  # invisible
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\u2028\u2029"  # line breaks
    "\ud800-\udfff]"
)
"""Characters that are not shown as they are: Unicode's categories Cc, Cf, Cs, Zl and Zp without what is part of words:
joiners, the soft hyphen, marks of a direction, and signs that a script shows, such as Arabic's signs of numbers."""


def shown(text: str, most: int = 0) -> str:
    r"""A text without characters that control a terminal, turn the reading direction or cannot be seen.

    They are written as escapes such as ``\x1b``; so are line breaks and lone surrogates.

    Args:
        text: Of a manifest, a transcript, a finished dataset or another package's error.
        most: Characters after which the rest is cut off and counted; 0 for all.
    """
    if most and len(text) > most:
        return f"{shown(text[:most])}… ({len(text) - most:,} more characters)"
    if text.isprintable():  # most are, and the expression takes its time
        return text
    return UNSEEN.sub(lambda one: one[0].encode("unicode_escape").decode("ascii"), text)
