"""Names, as far as capitals show them."""

from __future__ import annotations

import pytest

from stages.fuse.names import lost_names, names


@pytest.mark.parametrize(
    ("said", "language", "found"),
    [
        ("So today Anna and I meet Bob.", "en", {"anna", "bob"}),
        ("Today we cook. Pour it in!", "en", set()),
        ("Anna's bread is on sale", "en", {"anna"}),
        ("so NASA and the FBI said no", "en", {"nasa", "fbi"}),
        ("my iPhone and a McLaren", "en", {"iphone", "mclaren"}),
        ("see you on Tuesday in May", "en", {"tuesday"}),
        ("we asked Dr. Okafor, OK?", "en", {"okafor"}),
        ("GRAB THE ROPE AND PULL HARD", "en", set()),
        ("Ten Easy Ways To Clean Your Old Kitchen", "en", set()),
        ("Das Brot von BOSCH liegt auf dem Tisch", "de", {"bosch"}),
        ("hier wohnt l'ami d'Étienne", "fr", {"étienne"}),
        ("мы едем в Москву", "ru", {"москву"}),
        ("今天安娜做面包", "zh", set()),
        ("anna and bob", "en", set()),
        ("“Hello,” said Anna. “Where is it?”", "en", {"anna"}),
    ],
)
def test_names_are_capitals_inside_sentences_acronyms_and_mixed_case(said: str, language: str, found: set[str]) -> None:
    assert names(said, language) == found


@pytest.mark.parametrize(
    ("said", "language", "answer"),
    [
        ("meet Anna", "en", "ANNA waves."),
        ("this is Anna's", "en", "It is of Anna."),
        ("go to YouTube", "en", "You Tube is on."),
        ("he saw Beyoncé", "en", "Beyonce sings."),
        ("мы едем в Москву", "ru", "Дорога до Москвы."),
        ("the F.B.I. came", "en", "The FBI came."),
        ("drink Coca-Cola", "en", "A Coca Cola."),
    ],
)
def test_a_name_may_change_its_case_ending_accent_and_spaces(said: str, language: str, answer: str) -> None:
    assert lost_names(said, language, answer) == set()


def test_a_name_of_which_another_word_holds_the_letters_is_lost() -> None:
    assert lost_names("this is Ana here", "en", "A banana lies here.") == {"ana"}
