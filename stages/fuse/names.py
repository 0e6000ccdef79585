"""Names of a speech, as far as capitals show them."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from stages.fuse.words import WORD, function_words, plain, stem, stems, words

NOUNS_IN_CAPITALS = frozenset({"de", "lb", "nds"})
"""German and its neighbours write every noun with a capital, so that it shows no name: only acronyms and mixed case
do there (our choice)."""

OPENS = re.compile(r"[.!?…:;\"“”«»„()\[\]\n¿¡—–•*।。！？]|(?:^|\s)-")
"""Between two words: what lets the second begin a sentence, a quotation or a line."""

DOTTED = re.compile(r"(?<=\b[^\W\d_])\.(?=[^\W\d_]\b)")
"""Full stops within an acronym."""

TITLES = frozenset({"dr", "jr", "mme", "mr", "mrs", "ms", "prof", "sr", "sra", "st"})
"""Abbreviations whose full stop ends no sentence, and which are no names."""

NO_NAMES = frozenset({"dvd", "faq", "god", "hmm", "lol", "ok", "okay", "tv", "usb", *TITLES})
"""In capitals without being names (our choice)."""

TITLE_CASE = 0.5
"""Share of capitalised words within a sentence above which capitals say nothing (our choice)."""

FEW = 4
"""Words within a sentence below which that share says nothing either (our choice)."""

LONG_ENOUGH = 5
"""Letters of a name that may also be a part of a longer word of the answer (our choice)."""

ACRONYM = 6
"""Letters that an acronym has at most (our choice)."""


@dataclass(frozen=True)
class Token:
    """A word as written, and whether it begins a sentence."""

    text: str
    first: bool


def lost_names(said: str, language: str, answer: str) -> frozenset[str]:
    """Names of what was said that the answer lacks, without case and ending.

    Args:
        said: Without capitals it has no names.
        language: ISO 639-1 of both.
        answer: In which a name may have another case, ending, accent or space.
    """
    there = stems(_bare(answer), language)
    joined = "".join(words(_bare(answer)))
    wanted = {_bare(name) for name in names(said, language)}
    return frozenset(
        name
        for name in wanted
        if stem(name, language) not in there and not (len(name) >= LONG_ENOUGH and name in joined)
    )


def names(said: str, language: str) -> frozenset[str]:
    """Names in casefold: capitalised words inside sentences, acronyms, mixed case.

    The first word of a sentence is a name by its capital only where it has a possessive.
    """
    found: set[str] = set()
    for sentence in _sentences(said):
        by_capital = language not in NOUNS_IN_CAPITALS and not _title_case(sentence)
        shouted = _shouted(sentence)
        for token in sentence:
            parts = _parts(token.text)
            begins = token.first and len(parts) == 1 and parts[0] == token.text
            for word in parts:
                acronym = word.isupper() and len(word) <= ACRONYM and not shouted
                capital = by_capital and word[0].isupper() and not begins
                if (_mixed(word) or acronym or capital) and _may_name(word, token.text, language):
                    found.add(word.casefold())
    return frozenset(found)


def _may_name(word: str, token: str, language: str) -> bool:
    folded = word.casefold()
    known = function_words(language)
    return len(word) > 1 and folded not in NO_NAMES and folded not in known and token.casefold() not in known


def _parts(token: str) -> list[str]:
    """What apostrophes join, without a possessive: Anna of Anna's, l and Espagne of l'Espagne."""
    *before, last = re.split("['’]", token)
    return [part for part in ([*before] if before and last in {"", "s", "S"} else [*before, last]) if part]


def _sentences(said: str) -> Iterator[list[Token]]:
    sentence: list[Token] = []
    end = 0
    text = DOTTED.sub("", plain(said))
    for found in WORD.finditer(text):
        opens = OPENS.search(text, end, found.start()) is not None
        follows_title = bool(sentence) and sentence[-1].text.casefold() in TITLES
        first = not sentence or (opens and not follows_title)
        if first and sentence:
            yield sentence
            sentence = []
        sentence.append(Token(found.group(), first))
        end = found.end()
    if sentence:
        yield sentence


def _title_case(sentence: list[Token]) -> bool:
    """Whether a headline, or another text in which capitals are a habit, from its first word on."""
    first, *rest = [token.text for token in sentence if token.text.casefold() not in NO_NAMES] or [""]
    capitals = sum(word[0].isupper() for word in rest)
    return first[:1].isupper() and len(rest) >= FEW and capitals > TITLE_CASE * len(rest)


def _shouted(sentence: list[Token]) -> bool:
    """Whether more than one long word of it stands in capitals, so that they are a voice and no acronym."""
    return sum(len(token.text) >= FEW and token.text.isupper() for token in sentence) > 1


def _mixed(word: str) -> bool:
    """Whether a capital follows a small letter: iPhone, McLaren, YouTube."""
    return any(one.islower() and other.isupper() for one, other in itertools.pairwise(word))


def _bare(text: str) -> str:
    """Without case, accents and the full stops of acronyms."""
    split = unicodedata.normalize("NFKD", DOTTED.sub("", text).casefold())
    return "".join(c for c in split if not "\u0300" <= c <= "\u036f")
