"""Subtitle tracks as they were found in the field, beside speech of five sentences."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.rows import Sentence, TranscriptRow
from stages.align.sentences import SentenceRules, sentences
from stages.transcribe.stage import Transcribe
from tests.stages.hearing import heard, loaded
from tests.stages.real_media import shared, track_of

RULES = SentenceRules(max_gap=1.0, soft_words=20, max_words=60, min_words=3)

SAID = [
    "A family playing on a tractor on a beautiful day.",
    "A little girl holding hands with her ice skating instructor.",
    "A boy in a green shirt is looking down at many inflatable boats.",
    "A boy dressed in soccer attire and holding his shoes getting out of a car.",
    "A man in a wetsuit is throwing a baby wearing a wetsuit up into the air.",
]


@pytest.fixture(scope="module")
def stage() -> Transcribe:
    return loaded()


def case(stage: Transcribe, name: str) -> tuple[TranscriptRow, list[Sentence]]:
    folder = Path(shared(f"field/{name}/README")).parent
    if (folder / "in.srt").exists():
        row = heard(stage, folder / "in.mp4", subtitles=track_of(folder / "in.srt"))
    else:
        row = heard(stage, folder / "in.mkv", subtitle_tracks=[0])
    found = sentences(row.segments, RULES)
    assert all(sentence.end > sentence.start and not sentence.flag for sentence in found)
    return row, found


@pytest.mark.parametrize(
    ("name", "count", "left_out"),
    [
        ("11-bilingual-subtitles", 5, 60),
        ("13-subtitles-beyond-the-end", 3, 31),
        ("14-layered-subtitles", 5, 0),
        ("16-sounds-and-speakers-in-subtitles", 5, 0),
        ("17-negative-time-in-srt", 5, 0),
    ],
)
def test_what_was_said_is_the_text_of_the_track_and_nothing_else(
    stage: Transcribe, name: str, count: int, left_out: int
) -> None:
    row, found = case(stage, name)
    assert [sentence.text for sentence in found] == SAID[:count]
    assert {sentence.source for sentence in found} == {"subtitles"}
    assert row.left_out == left_out


def test_the_sentences_that_a_track_lacks_are_those_that_were_heard(stage: Transcribe) -> None:
    _, found = case(stage, "12-partial-subtitles")
    assert [sentence.source for sentence in found] == ["subtitles"] * 3 + ["asr"] * 2
    assert [sentence.text for sentence in found[:3]] == SAID[:3]
    assert found[3].text == SAID[3]
    assert found[4].text.endswith("up into the air.")


def test_one_bad_byte_costs_its_own_spot_alone(stage: Transcribe) -> None:
    _, found = case(stage, "15-one-bad-byte-in-utf8")
    assert [sentence.text for sentence in found[:4]] == [
        "A family playing on a tractor on a “beautiful” day.",
        "A little girl holding hands with her friend’s ice skating instructor.",
        "A boy in a green shirt is looking down at many inflatable boats – really…",
        "A boy dressed in soccer attire and holding his shoes getting out of a car — “done”.",
    ]
    assert found[4].text.startswith("A man in a wetsuit is throwing a baby wearing a wet")
