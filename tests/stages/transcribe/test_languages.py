from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from faster_whisper.vad import SpeechTimestampsMap
from hypothesis import given
from hypothesis import strategies as st

from stages.transcribe.batches import Progress
from stages.transcribe.faster_whisper import FasterWhisper, _Window
from stages.transcribe.languages import CLEAR, ENOUGH, Languages, Spoken, first_language

ENGLISH = {"en": 0.99, "fr": 0.01}
FRENCH = {"en": 0.05, "fr": 0.95}


def in_order(languages: Languages, *windows: tuple[dict[str, float], float]) -> list[str]:
    return [languages.add(heard, seconds) for heard, seconds in windows]


def test_a_window_that_is_clearly_in_another_language_is_transcribed_in_it() -> None:
    assert in_order(Languages(""), (ENGLISH, 29.0), (FRENCH, 29.0), (ENGLISH, 29.0)) == ["en", "fr", "en"]


def test_a_few_words_do_not_change_the_language() -> None:
    assert in_order(Languages(""), (ENGLISH, 29.0), (FRENCH, ENOUGH - 0.1), (ENGLISH, 29.0)) == ["en", "en", "en"]


def test_a_language_that_is_hardly_likelier_does_not_change_it() -> None:
    doubtful = {"en": 1 - CLEAR + 0.01, "fr": CLEAR - 0.01}
    assert in_order(Languages(""), (ENGLISH, 29.0), (doubtful, 29.0)) == ["en", "en"]


def test_the_language_of_most_speech_is_the_videos_with_its_mean_probability() -> None:
    languages = Languages("")
    in_order(languages, (ENGLISH, 12.0), (FRENCH, 30.0), ({"fr": 0.85}, 10.0))
    assert languages.most_spoken() == Spoken("fr", (0.95 * 30 + 0.85 * 10) / 40, 40.0)


def test_a_given_language_stays_and_the_one_that_is_heard_is_named_with_its_seconds() -> None:
    languages = Languages("en")
    assert in_order(languages, (FRENCH, 20.0), (FRENCH, 4.0), (ENGLISH, 29.0)) == ["en", "en", "en"]
    assert languages.most_spoken() == Spoken("en", 1.0, 53.0)
    assert languages.most_doubted() == Spoken("fr", 0.95, 20.0)


def test_without_speech_there_is_no_language_but_the_given() -> None:
    assert Languages("").most_spoken() == Spoken()
    assert Languages("de").most_spoken() == Spoken("de", 1.0)


def test_the_first_windows_decide_together_by_their_length() -> None:
    assert first_language([({"fr": 0.9, "en": 0.1}, 1.0), (ENGLISH, 9.0)]) == "en"


shares = st.floats(0, 1).map(lambda share: {"en": share, "fr": 1 - share})


@given(st.lists(st.tuples(shares, st.floats(0.1, 30)), max_size=8))
def test_every_second_of_speech_is_in_one_language(windows: list[tuple[dict[str, float], float]]) -> None:
    languages = Languages("")
    spoken = in_order(languages, *windows)
    most = languages.most_spoken()
    seconds = sum(length for language, (_, length) in zip(spoken, windows, strict=True) if language == most.language)
    assert abs(most.seconds - seconds) < 1e-6
    assert 0 <= most.probability <= 1 + 1e-9


lengths = st.lists(st.floats(0.1, 30), max_size=6)


@given(lengths)
def test_windows_come_out_once_and_in_order_whenever_the_first_language_is_known(durations: list[float]) -> None:
    recognizer = object.__new__(FasterWhisper)
    progress = Progress("a", Languages(""))
    clock = SpeechTimestampsMap([], 16_000)
    windows = [_Window(np.zeros((80, 1), np.float32), at, length, clock) for at, length in enumerate(durations)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recognizer, "_heard", lambda window: replace(window, heard=FRENCH), raising=False)
        found = list(recognizer._with_languages(progress, iter(windows)))
    assert [window.offset for window in found] == list(range(len(durations)))
    assert progress.languages.current == ("fr" if durations else "")
