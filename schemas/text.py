"""Text of strangers: what is taken out of it where it enters."""

from __future__ import annotations

import re

MAX_TEXT = 4096
"""Most characters of a field such as a title (our choice)."""

BREAKS = "\t\n\x0b\x0c\r\x1c-\x1f\x85\u2028\u2029"
"""Control characters that part words, for a character class of a regular expression."""

HIDDEN = "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\u206a-\u206f\ufff9-\ufffb"
"""The other control characters (Unicode's C0 and C1), embeddings, overrides and isolates of bidirectional text (Unicode
annex 9), deprecated format characters and annotations, for a character class. Marks of direction stay: they turn no
other text around."""

_BREAKS = re.compile(f"(?:\r\n|[{BREAKS}])")
_HIDDEN = re.compile(f"[{HIDDEN}]")
_UNSEEN = re.compile(f"[{BREAKS}{HIDDEN}]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def escaped_text(text: str) -> str:
    """A text with its control characters and bidirectional overrides as Python's escapes: they stay apart."""
    return _UNSEEN.sub(lambda found: repr(found[0])[1:-1], text)


def clean_text(text: str, longest: int = MAX_TEXT) -> tuple[str, bool]:
    """A text without what a reader does not see and a terminal obeys, and whether anything was changed.

    Line breaks and tabs become spaces, other control characters and bidirectional overrides go, a lone surrogate
    becomes U+FFFD, and what is over `longest` characters is cut. All else stays as written.
    """
    clean = _SURROGATE.sub("\ufffd", _HIDDEN.sub("", _BREAKS.sub(" ", text)))[:longest]
    return clean, clean != text
