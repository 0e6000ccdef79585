"""The language of an answer beside those of its inputs."""

from __future__ import annotations

import pytest

from stages.fuse.checks import Answer, language, too_new

GERMAN = "Wir schneiden jetzt die Zwiebeln auf dem Brett ganz fein."
ENGLISH = "A woman cuts onions on a wooden board in her kitchen."
CHINESE = "我们现在把洋葱切得很细。"


@pytest.mark.parametrize(
    ("fused", "raw", "caption", "tag"),
    [
        (GERMAN, GERMAN, ENGLISH, "de"),
        (GERMAN, GERMAN, ENGLISH, ""),
        (GERMAN, GERMAN, ENGLISH, "de-AT"),
        (CHINESE, CHINESE, ENGLISH, "zh-Hans"),
        ("Ja!", ENGLISH, ENGLISH, "en"),
        ("Vi skjærer løken fint på brettet i kjøkkenet.", "Vi skjærer løken fint på brettet.", "En kvinne.", "nb"),
    ],
)
def test_an_answer_may_have_the_language_of_the_speech(fused: str, raw: str, caption: str, tag: str) -> None:
    assert not language(Answer(fused, raw, caption, language=tag))


@pytest.mark.parametrize(
    ("fused", "raw", "caption", "tag"),
    [
        (GERMAN, ENGLISH, ENGLISH, "en"),
        (ENGLISH, GERMAN, ENGLISH, "de"),
        (ENGLISH, CHINESE, ENGLISH, "zh"),
        ("The word 洋葱 means an onion, which a woman cuts on a wooden board.", CHINESE, ENGLISH, "zh"),
        (GERMAN, ENGLISH, ENGLISH, ""),
        (CHINESE, ENGLISH, ENGLISH, "en"),
        ("A woman cuts onions on a board 然后放进锅里煮。", ENGLISH, ENGLISH, "en"),
        (ENGLISH, GERMAN, "Eine Frau schneidet Zwiebeln auf einem Brett.", "de"),
    ],
)
def test_an_answer_in_another_language_or_script_is_refused(fused: str, raw: str, caption: str, tag: str) -> None:
    assert language(Answer(fused, raw, caption, language=tag))


def test_words_are_not_new_that_translate_a_caption() -> None:
    fused = "Eine Frau in ihrer Küche schneidet Zwiebeln auf einem hölzernen Schneidebrett."
    assert not too_new(Answer(fused, "Die Zwiebeln ganz fein.", ENGLISH, language="de"))
