from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.rows import Segment, Word
from stages.media.subtitles.cues import Cue, cues
from stages.media.words import TimedWord
from stages.transcribe.agreement import Fitted, fitted
from tests.stages.real_media import TRUTH, shared

DURATION = 60.0


def heard(*words: tuple[float, float, str]) -> list[Segment]:
    spoken = [Word(start=start, end=end, text=text, probability=0.9) for start, end, text in words]
    measured: dict[str, Any] = {"avg_logprob": -0.2, "no_speech_prob": 0.0, "compression_ratio": 1.2}
    return [Segment(start=spoken[0].start, end=spoken[-1].end, words=spoken, **measured)] if spoken else []


def read_aloud() -> list[Segment]:
    """The demo's sentences as a recognizer would time them, evenly."""
    words = []
    for segment in json.loads(TRUTH.read_text())["segments"]:
        if segment["text"]:
            said = segment["text"].split()
            step = (segment["speech_end"] - segment["speech_start"]) / len(said)
            begin = segment["speech_start"]
            words += [(begin + i * step, begin + (i + 1) * step, f" {word}") for i, word in enumerate(said)]
    return heard(*words)


def track(shift: float = 0.0, **replaced: str) -> list[Cue]:
    """The demo's sentences as a track, one cue each, moved by seconds and with some words written otherwise."""
    lines = ["WEBVTT\n"]
    for segment in json.loads(TRUTH.read_text())["segments"]:
        if segment["text"]:
            text = " ".join(replaced.get(word, word) for word in segment["text"].split())
            start, end = segment["start"] + shift, segment["end"] + shift
            lines.append(f"00:{start:06.3f} --> 00:{end:06.3f}\n{text}\n")
    return cues("\n".join(lines).replace("00:6", "01:0").replace("00:7", "01:1").encode())


def words(fit: Fitted) -> list[TimedWord]:
    return [word for cue in fit.cues for word in cue]


def test_a_track_of_what_was_said_agrees_and_has_the_times_at_which_it_was_heard() -> None:
    fit = fitted(track(), read_aloud(), DURATION)
    assert fit.agreement == 1.0
    assert [(w.start, w.end, w.text) for w in words(fit)] == [(w.start, w.end, w.text) for w in read_aloud()[0].words]


def test_another_writing_has_the_times_of_the_words_that_it_stands_for() -> None:
    (cue,) = fitted(
        cues(b"WEBVTT\n\n00:00.000 --> 00:09.000\nAn orange spacesuit by Jean-Paul is here"),
        heard((1, 1.2, " an"), (1.2, 2, " orange"), (2, 2.4, " space"), (2.4, 3, " suit"), (3.2, 3.4, " by"))
        + heard((4, 4.4, " John"), (4.4, 5, " Pole"), (7, 7.2, " is"), (7.2, 8, " here")),
        10.0,
    ).cues
    times = {word.text.strip(): (word.start, word.end) for word in cue}
    assert times["spacesuit"] == (2.0, 3.0)
    assert times["Jean-Paul"] == (4.0, 5.0)


def test_a_word_that_was_not_heard_keeps_its_cue_s_time_between_its_neighbours() -> None:
    fit = fitted(
        cues(
            b"WEBVTT\n\n00:01.000 --> 00:02.000\nhello\n\n"
            b"00:03.000 --> 00:04.000\nquietly\n\n00:05.000 --> 00:06.000\nbye"
        ),
        heard((1.2, 1.5, " Hello"), (3.5, 5.5, " Bye.")),
        10.0,
    )
    assert [(w.start, w.end, w.probability) for w in words(fit)] == [(1.2, 1.5, 0.9), (3.0, 3.5, 0.0), (3.5, 5.5, 0.9)]


def test_what_a_recognizer_parts_without_a_space_is_one_word() -> None:
    fit = fitted(
        cues(b"WEBVTT\n\n00:01.000 --> 00:02.000\nsee www.example.org now"),
        heard((1.0, 1.2, " See"), (1.2, 1.4, " www"), (1.4, 1.8, ".Example"), (1.8, 2, ".org"), (2, 2.2, " now.")),
        10.0,
    )
    assert fit.agreement == 1.0
    assert (words(fit)[1].start, words(fit)[1].end) == (1.2, 2.0)


def test_scripts_without_spaces_are_matched_by_the_character() -> None:
    fit = fitted(
        cues("WEBVTT\n\n00:01.000 --> 00:02.000\nすべて安全だ。".encode()),
        heard((1.0, 1.6, "すべて"), (1.6, 1.8, "安全"), (1.8, 2.0, "だ")),
        10.0,
    )
    assert fit.agreement == 1.0
    assert "".join(word.text for word in words(fit)) == "すべて安全だ。"
    assert words(fit)[3].start == pytest.approx(1.6)


def test_case_and_punctuation_are_no_disagreement() -> None:
    assert fitted(track(woman="WOMAN,", flag="(flag)"), read_aloud(), DURATION).agreement == 1.0


def test_a_few_seconds_off_still_agrees_and_twenty_do_not() -> None:
    early = fitted(track(shift=2.0), read_aloud(), DURATION)
    assert early.agreement > 0.95
    assert words(early)[0].start == read_aloud()[0].start
    assert fitted(track(shift=20.0), read_aloud(), DURATION).agreement < 0.3


def test_a_track_of_half_of_what_was_said_agrees_by_what_it_has() -> None:
    fit = fitted(track()[:5], read_aloud(), DURATION)
    assert 0.6 < fit.agreement < 0.7


def test_a_track_of_far_more_words_than_were_heard_agrees_in_none() -> None:
    flood = [[TimedWord(1.0, 1.0, " the", 0.0)] * 1000]
    assert fitted(flood, read_aloud(), DURATION).agreement == 0.0


def test_a_track_in_another_language_does_not_agree() -> None:
    french = cues(shared("subtitles/accented.srt").read_bytes())
    assert fitted(french, read_aloud(), DURATION).agreement < 0.1


vocabulary = st.sampled_from(["the", "cat", "sat", "猫", "on"])
spans = st.lists(st.tuples(st.integers(0, 50), vocabulary), max_size=25).map(sorted)


@settings(deadline=None)
@given(spans, spans)
def test_fitting_changes_no_text_and_keeps_the_words_in_order(
    written: list[tuple[int, str]], said: list[tuple[int, str]]
) -> None:
    shown = [[TimedWord(start, start + 1.0, f" {text}", 0.0)] for start, text in written]
    fit = fitted(shown, heard(*((start, start, f" {text}") for start, text in said)), DURATION)
    assert [word.text for word in words(fit)] == [f" {text}" for _, text in written]
    assert 0.0 <= fit.agreement <= 1.0
    times = [word.start for word in words(fit)]
    assert times == sorted(times)
    assert all(word.start <= word.end for word in words(fit))
