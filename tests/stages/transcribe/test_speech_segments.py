from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from faster_whisper.vad import VadOptions, get_speech_timestamps
from hypothesis import given
from hypothesis import strategies as st

from stages.media.audio import floats
from stages.media.sound import SAMPLE_RATE
from stages.media.words import TimedWord
from stages.transcribe import speech_segments
from stages.transcribe.speech_segments import CHUNK, VadConfig, find_speech, snapped, spans_of
from tests.stages.real_media import NARRATED, decoded


@pytest.mark.parametrize("seconds", [0.001, 3.0, 3.2, 52.0])
@pytest.mark.parametrize("window", [5, 30])
def test_speech_is_where_faster_whisper_finds_it(seconds: float, window: int) -> None:
    audio = decoded(NARRATED).audio[: int(seconds * SAMPLE_RATE)]
    config = VadConfig(window=window)
    options = VadOptions(max_speech_duration_s=window, min_silence_duration_ms=500, speech_pad_ms=200)
    found = find_speech(audio, config)
    padded = get_speech_timestamps(floats(audio), options)
    bare = get_speech_timestamps(floats(audio), replace(options, speech_pad_ms=0))
    assert found.padded == [(stretch["start"], stretch["end"]) for stretch in padded]
    assert found.bare == [(stretch["start"] / SAMPLE_RATE, stretch["end"] / SAMPLE_RATE) for stretch in bare]


def test_long_audio_goes_through_the_network_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    audio = decoded(NARRATED).audio
    whole = find_speech(audio, VadConfig())
    monkeypatch.setattr(speech_segments, "CHUNKS_AT_ONCE", 100)
    assert find_speech(audio, VadConfig()) == whole


runs = st.lists(
    st.tuples(st.sampled_from([0.0, 0.2, 0.35, 0.4, 0.5, 0.9]), st.integers(1, 80)), min_size=1, max_size=25
)


@given(runs, st.integers(0, CHUNK - 1), st.sampled_from([0.0, 0.03, 0.2]), st.sampled_from([0.1, 0.5]))
def test_the_rule_is_the_one_that_faster_whisper_applies(
    runs: list[tuple[float, int]], rest: int, pad: float, min_silence: float
) -> None:
    probabilities = np.concatenate([np.full(length, probability, np.float32) for probability, length in runs])
    samples = (len(probabilities) - 1) * CHUNK + rest
    options = VadOptions(
        max_speech_duration_s=5, min_silence_duration_ms=round(1000 * min_silence), speech_pad_ms=round(1000 * pad)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("faster_whisper.vad.get_vad_model", lambda: lambda _audio: probabilities)
        theirs = get_speech_timestamps(np.zeros(samples, np.float32), options)
    ours = spans_of(probabilities, samples, VadConfig(window=5, pad=pad, min_silence=min_silence))
    assert ours == [(span["start"], span["end"]) for span in theirs]


def test_silence_has_no_speech() -> None:
    assert find_speech(np.zeros(SAMPLE_RATE, np.int16), VadConfig()).padded == []


def a_word(start: float, end: float) -> TimedWord:
    return TimedWord(start, end, " word", 0.5)


def test_words_are_held_against_the_speech_around_them() -> None:
    stretched = [a_word(0.2, 1.4), a_word(1.4, 3.5), a_word(3.5, 5.4)]
    assert [(w.start, w.end) for w in snapped(stretched, [(1.0, 2.0), (5.0, 6.0)])] == [
        (1.0, 1.4),
        (1.4, 2.0),
        (5.0, 5.4),
    ]


def test_the_first_word_of_a_segment_starts_where_the_speech_does() -> None:
    assert snapped([a_word(1.3, 1.6)], [(1.0, 2.0)])[0].start == 1.0
    assert snapped([a_word(1.8, 1.9)], [(1.0, 2.0)])[0].start == 1.8


def test_a_word_that_touches_no_speech_keeps_its_times() -> None:
    assert snapped([a_word(3.0, 3.5)], [(1.0, 2.0)]) == [a_word(3.0, 3.5)]


def test_a_word_that_reaches_over_unrecognized_speech_is_cut() -> None:
    assert snapped([a_word(1.0, 9.0)], [(0.0, 20.0)]) == [a_word(1.0, 3.0)]
