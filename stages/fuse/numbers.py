"""Numbers of a text, in digits or in words, in a form that can be compared."""

from __future__ import annotations

import functools
import re

from stages.fuse.words import plain

SPOKEN = frozenset({"da", "de", "en", "es", "fr", "it", "nl", "no", "pt"})
"""Languages whose number words text2num reads."""

CHUNK = 200
"""Words that text2num reads at once, since its time grows with their square (our choice)."""

GROUPED = r"[1-9]\d{0,2}(?P<mark>[.,])\d{3}(?:(?P=mark)\d{3})*(?:(?!(?P=mark))[.,](?P<decimals>\d+))?"
"""Digits grouped by thousands: 1,000 and 1.000 alike. 3.500 may be either, and is the same on both sides."""

NUMBER = re.compile(rf"(?<!\d){GROUPED}(?![.,]?\d)|(?<!\d[.,])\d+(?:[.,]\d+)?(?![.,]?\d)|\d+")
"""With decimals; what has several marks and no groups, such as 1,2,3 or a date, is several numbers."""

SPACED = re.compile(r"(?<=\d)['’\u00a0\u202f\u2009 ](?=000(?!\d))|(?<=\d)['’\u00a0\u202f\u2009](?=\d{3}(?!\d))")
"""Between groups of thousands; a common space only before zeros, since other numbers may stand side by side."""

SCALED = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?) (1000000000|1000000|1000)(?!\d)")

YEAR = re.compile(r"(?<![\d.,])(1[5-9]|20) ([1-9]\d)(?![.,]?\d)")
"""A year as it is spoken: nineteen eighty-four."""

FRACTION = re.compile(r"(?<!\d)\d[/\u2044]\d(?!\d)")
"""One half and the like: said in words that are no numbers, so that nobody is asked for them."""

OTHER_SENSE = {
    "en": re.compile(r"(?<!ty[ -])\bseconds?\b", re.IGNORECASE),
    "fr": re.compile(r"\bsecondes?\b|\bneufs?\b", re.IGNORECASE),
    "it": re.compile(r"\bsecond[oaie]\b|\bsei\b", re.IGNORECASE),
    "pt": re.compile(r"\bsegund[oa]s?\b", re.IGNORECASE),
}
"""Number words that mostly mean something else: a second, French "new", Italian "you are"."""


def lost_numbers(said: str, language: str, answer: str, answer_language: str) -> frozenset[str]:
    """Numbers of what was said that the answer has neither in digits nor in words.

    "One" and "first" as words are not asked for: they are rarely meant as numbers. Number words are read in the
    languages of `SPOKEN`; in others only digits are asked for.
    """
    there = numbers(answer, language) | numbers(answer, answer_language) | numbers(answer, "")
    return asked(said, language) - there


def asked(said: str, language: str) -> frozenset[str]:
    """Numbers of a speech that have to be kept."""
    said = FRACTION.sub(" ", plain(said))
    other = OTHER_SENSE.get(language)
    found = _read(other.sub(" ", said) if other else said, language)
    return found if "1" in numbers(said, "") else found - {"1"}


@functools.lru_cache(16)
def numbers(text: str, language: str) -> frozenset[str]:
    """All numbers of a text as decimal digits, without groups, leading or trailing zeros; ordinals as their number.

    Args:
        text: Any.
        language: ISO 639-1, whose number words are read; empty: digits alone. What is partly in digits, such as
            2 million, counts in both readings.
    """
    return _read(plain(text), "") | _read(plain(text), language)


def _read(text: str, language: str) -> frozenset[str]:
    """The numbers of a text, each in one reading."""
    text = SPACED.sub("", text)
    if language not in SPOKEN:
        return frozenset(_canonical(found.group()) for found in NUMBER.finditer(text))
    digits = _read(text, "")
    spoken = SCALED.sub(lambda pair: _product(*pair.groups()), _in_digits(text, language))
    years = {first + last for first, last in YEAR.findall(spoken) if first not in digits}
    return _read(YEAR.sub(" ", spoken) if years else spoken, "") | years


def _in_digits(text: str, language: str) -> str:
    """The text with its number words as digits."""
    from text_to_num import alpha2digit

    found = re.sub(r"(?<=[^\W\d_])[-\u2010\u2011](?=[^\W\d_])", " ", text).split()
    chunks = (" ".join(found[first : first + CHUNK]) for first in range(0, len(found), CHUNK))
    return " ".join(alpha2digit(chunk, language, threshold=0) for chunk in chunks)


def _canonical(found: str) -> str:
    """One form of a number: Western digits, a point before decimals."""
    western = "".join(str(int(c)) if c.isdigit() else c for c in found)
    if grouped := re.fullmatch(GROUPED, western):
        decimals = grouped["decimals"] or ""
        whole = re.sub("[.,]", "", western.removesuffix(decimals))
    else:
        whole, _, decimals = western.replace(",", ".").partition(".")
    decimals = decimals.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{decimals}" if decimals else "")


def _product(number: str, scale: str) -> str:
    """The number times a power of ten, in digits."""
    whole, _, decimals = number.partition(".")
    places = len(scale) - 1
    return f"{whole}{decimals[:places].ljust(places, '0')}".lstrip("0") or "0"
