"""Each rule over texts that break it and over those that look as if they did."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from stages.fuse.checks import CHECKS, Answer, refused, told
from stages.fuse.words import stem

RAW = "So today Anna and I whisk ten eggs until they are stiff."
CAPTION = "A woman whisks eggs in a steel bowl."
FUSED = "Anna whisks 10 eggs in a steel bowl until they are stiff."
PROMPT = "Merge what was said and what is shown into one text that keeps every detail."

WORDS = [f"{start}{end}" for start in ("walk", "jump", "boil", "plant") for end in ("", "s", "ed", "ing")] * 200

HOSTILE = {
    "letters": "a" * 100_000,
    "spaces": " " * 100_000,
    "lines": "\n" * 100_000,
    "digits": "1" * 100_000,
    "points": "1." * 50_000,
    "number_words": "one " * 25_000,
    "stops": "." * 100_000,
    "apostrophes": "a'" * 50_000,
    "brackets": "(" * 100_000,
    "tags": "<|" * 50_000,
    "apologies": "I'm " * 25_000,
    "openings": "here is the " * 8_000,
    "names": " ".join(f"Name{number}x" for number in range(11_000)),
    "words": " ".join(f"w{number}" for number in range(15_000)),
    "hyphens": "a-" * 50_000,
    "accents": "\u0301" * 100_000,
    "vowel_signs": "कि" * 50_000,
    "han": "中" * 100_000,
}
"""Texts of 100 kB that regular expressions, stemmers and counters may choke on."""


def answer(fused: str, raw: str = RAW, caption: str = CAPTION, language: str = "en") -> Answer:
    return Answer(fused=fused, raw=raw, caption=caption, prompt=PROMPT, language=language)


def test_an_answer_that_keeps_all_and_adds_nothing_passes() -> None:
    assert refused(answer(FUSED)) == ""


@pytest.mark.parametrize(
    ("fused", "reason"),
    [
        ("I'm sorry, but I am unable to merge these.", "refusal"),
        ("Anna whisks 10 eggs, 10 eggs, 10 eggs, 10 eggs, 10 eggs.", "loop"),
        ("The caption shows that Anna whisks 10 eggs.", "leaked_prompt"),
        ("Anna schlägt zehn Eier in einer Schüssel, bis sie steif sind.", "language"),
        ("Anna whisks 10 eggs in a steel bowl until they", "cut_sentence"),
        ("Anna: 10.", "length"),
        ("Anna buys 10 tickets for a concert while her neighbours paint their garage.", "too_new"),
        ("Anna whisks eggs in a steel bowl until they are stiff.", "lost_number"),
        ("A woman whisks 10 eggs in a steel bowl until they are stiff.", "lost_name"),
    ],
)
def test_an_answer_that_breaks_one_rule_is_refused_for_it(fused: str, reason: str) -> None:
    assert refused(answer(fused)) == reason


def test_every_reason_has_a_sentence_for_the_second_try() -> None:
    assert all(told(reason).endswith(".") for reason in CHECKS)


def test_threads_stem_words_at_once_and_get_what_one_alone_gets() -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda word: stem.__wrapped__(word, "en"), WORDS))
    assert set(found) == {"walk", "jump", "boil", "plant"}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("reason", CHECKS)
def test_texts_of_100_kb_take_no_time_that_grows_faster_than_they_do(reason: str, text: str) -> None:
    started = time.process_time()
    CHECKS[reason](Answer(text, text, text, text))
    CHECKS[reason](Answer("It is.", text, "A bowl.", PROMPT))
    CHECKS[reason](Answer(text, RAW, CAPTION, PROMPT))
    assert time.process_time() - started < 10  # a quadratic rule takes minutes


@pytest.mark.parametrize(
    ("language", "raw", "caption", "fused"),
    [
        ("zh", "首先加入两勺糖。", "A woman stands in a kitchen.", "一位女士站在厨房里，首先加入两勺糖。"),
        ("ru", "Теперь добавим соль.", "A pot on a stove.", "На плите стоит кастрюля, теперь добавим соль."),
        ("ja", "ここで塩を入れます。", "A pot on a stove.", "コンロの上の鍋に、ここで塩を入れます。"),
        ("ar", "الآن نضيف الملح.", "A pot on a stove.", "قدر على الموقد، والآن نضيف الملح."),
        (
            "fr",
            "Ajoutons maintenant le sel.",
            "A pot on a stove.",
            "Une casserole est posée sur la cuisinière ; ajoutons maintenant le sel.",
        ),
    ],
)
def test_a_short_caption_in_another_language_makes_no_answer_too_new(
    language: str, raw: str, caption: str, fused: str
) -> None:
    assert refused(Answer(fused, raw, caption, PROMPT, language)) == ""
