"""Words of a text, their stems, and which of them carry content."""

from __future__ import annotations

import functools
import re
import threading
import unicodedata
from collections.abc import Callable

from storyloom.format.words import WITHOUT_SPACES

MARKS = "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff"
"""Vowel signs and accents of their own, which Python's ``\\w`` leaves out."""

LETTER = f"(?:(?![_{WITHOUT_SPACES}])[\\w{MARKS}])"

WORD = re.compile(f"[{WITHOUT_SPACES}]|{LETTER}+(?:['’]{LETTER}+)*")
"""A word with what its apostrophes join; a character of a script without spaces."""

LONGEST = 60
"""Characters of a word that count: no word is longer, what is longer is noise (our choice)."""

KEPT = 8
"""Texts whose words are remembered while the checks of one answer run over them."""

STEMMERS = {
    "ar": "arabic",
    "bs": "serbian",
    "ca": "catalan",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "et": "estonian",
    "eu": "basque",
    "fa": "persian",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hr": "serbian",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "ne": "nepali",
    "nl": "dutch",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
}
"""Algorithms of Snowball (Porter 2001) by language."""

BEGINNING = 5
"""Letters that stand for a word of a language without a stemmer (Can et al. 2008, JASIST 59:407-421, for Turkish)."""

KOREAN = 1
"""The same for Korean, whose syllables are letters here and whose particles follow words of one (our choice)."""


@functools.lru_cache(KEPT)
def words(text: str) -> tuple[str, ...]:
    """The words of a text in their order, without case and in one Unicode form."""
    return tuple(found[:LONGEST].replace("’", "'") for found in WORD.findall(plain(text).casefold()))


def plain(text: str) -> str:
    """The text with one character for what looks the same: wide, small and joined forms (NFKC)."""
    return unicodedata.normalize("NFKC", text)


@functools.lru_cache(1 << 16)
def stem(word: str, language: str) -> str:
    """A word without case, possessive and ending, so that plural and tense do not matter.

    Args:
        word: As `words` gives it.
        language: ISO 639-1; of a word of one that Snowball does not know, the beginning is left.
    """
    bare = word.partition("'")[0] if word.endswith(("'s", "'")) else word
    stemmer = _stemmer(language)
    return stemmer(bare) if stemmer else bare[: KOREAN if language == "ko" else BEGINNING]


_OF_THREAD = threading.local()
"""Stemmers of each thread: they hold the word that they work on."""


def _stemmer(language: str) -> Callable[[str], str] | None:
    if language not in STEMMERS:
        return None
    mine: dict[str, Callable[[str], str]] = _OF_THREAD.__dict__
    if language not in mine:
        import snowballstemmer

        mine[language] = snowballstemmer.stemmer(STEMMERS[language]).stemWord
    return mine[language]


@functools.lru_cache(KEPT)
def stems(text: str, language: str) -> frozenset[str]:
    """The stems of all words of a text; parts that an apostrophe joins count on their own, too."""
    found = words(text)
    parts = {part for word in found if "'" in word for part in word.split("'")}
    return frozenset(stem(word, language) for word in {*found, *parts})


@functools.cache
def function_words(language: str) -> frozenset[str]:
    """Words of a language that carry no content: articles, pronouns, auxiliaries (stopwords-iso's list)."""
    import stopwordsiso

    return frozenset(stopwordsiso.stopwords(language)) if stopwordsiso.has_lang(language) else frozenset()


def is_content(word: str, language: str) -> bool:
    """Whether a word, as `words` gives it, carries content: neither a function word, a number, kana nor one letter."""
    if re.match(f"[{WITHOUT_SPACES}]", word):
        return not "\u3040" <= word <= "\u309f"  # hiragana: mostly endings and particles
    known = function_words(language)
    return len(word) > 1 and not word[0].isdigit() and word not in known and word.partition("'")[0] not in known
