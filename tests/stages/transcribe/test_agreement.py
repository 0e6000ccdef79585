"""Words that a track and a recognizer have in common."""

from __future__ import annotations

import pytest

from schemas.rows import Segment
from stages.media.subtitles.cues import Cue
from stages.transcribe.agreement import heard_words, matched, with_other_spellings
from tests.stages.transcribe.spoken import Line, evenly, heard, track


def pairs(lines: list[Cue], segments: list[Segment]) -> list[tuple[str, str]]:
    shown, said = [word for cue in lines for word in cue], heard_words(segments)
    found = with_other_spellings(matched(shown, said), shown, said)
    return [(shown[i].text.strip(), said[j].text.strip()) for i, j in found]


def test_what_a_recognizer_parts_without_a_space_is_one_word() -> None:
    said = heard((1.0, 1.2, " See"), (1.2, 1.4, " www"), (1.4, 1.8, ".Example"), (1.8, 2, ".org"), (2, 2.2, " now."))
    found = heard_words(said)
    assert [(word.start, word.end, word.text) for word in found][1] == (1.2, 2.0, " www.Example.org")
    assert len(pairs(track((1, 2, "see www.example.org now")), said)) == 3


def test_scripts_without_spaces_are_matched_by_the_character() -> None:
    said = heard((1.0, 1.6, "すべて"), (1.6, 1.8, "安全"), (1.8, 2.0, "だ"))
    assert len(pairs(track((1, 2, "すべて安全だ。")), said)) == 6
    assert heard_words(said)[3].start == pytest.approx(1.6)


def test_case_and_punctuation_are_no_disagreement() -> None:
    assert len(pairs(track((1, 3, "THE (Flag), is “red”!")), evenly(1, 3, "the flag is red"))) == 4


def test_words_are_matched_in_order_and_near_in_time_only() -> None:
    said = [*evenly(1, 3, "a red cup"), *evenly(20, 22, "a red cat")]
    assert pairs(track((1, 3, "cup red a")), said) in ([("a", "a")], [("red", "red")], [("cup", "cup")])
    assert pairs(track((10, 12, "a red cup")), said) == []


@pytest.mark.parametrize(
    ("shown", "said", "matches"),
    [
        ("the tracter stops", "the tractor stops", [("tracter", "tractor")]),
        ("the wetsuit stops", "the wet suit stops", []),
        ("the wet suit stops", "the wetsuit stops", []),
        ("the dog stops", "the car stops", []),
    ],
)
def test_other_spellings_are_found_word_by_word(shown: str, said: str, matches: list[tuple[str, str]]) -> None:
    lines: list[Line] = [(1, 3, shown)]
    found = pairs(track(*lines), evenly(1, 3, said))
    assert [pair for pair in found if pair[0] != pair[1]] == matches
