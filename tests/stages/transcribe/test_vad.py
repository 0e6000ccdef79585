from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from faster_whisper.vad import get_speech_timestamps

from stages.media.audio import decode
from stages.media.sandbox import Limits
from stages.transcribe import vad
from stages.transcribe.vad import SAMPLE_RATE, HeardWord, VadConfig, floats, snapped, speech
from tests.stages.real_media import NARRATED

LIMITS = Limits(seconds=60, memory=4 * 1024**3)


@pytest.mark.parametrize("seconds", [0.001, 3.0, 3.2, 52.0])
@pytest.mark.parametrize("window", [5, 30])
def test_speech_is_where_faster_whisper_finds_it(seconds: float, window: int) -> None:
    audio = decode(NARRATED, LIMITS)[: int(seconds * SAMPLE_RATE)]
    config = VadConfig(window=window)
    found = speech(audio, config)
    padded = get_speech_timestamps(floats(audio), config.options())
    bare = get_speech_timestamps(floats(audio), replace(config.options(), speech_pad_ms=0))
    assert found.padded == [(stretch["start"], stretch["end"]) for stretch in padded]
    assert found.bare == [(stretch["start"] / SAMPLE_RATE, stretch["end"] / SAMPLE_RATE) for stretch in bare]


def test_a_long_sound_goes_through_the_network_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    audio = decode(NARRATED, LIMITS)
    whole = speech(audio, VadConfig())
    monkeypatch.setattr(vad, "CHUNKS_AT_ONCE", 100)
    assert speech(audio, VadConfig()) == whole


def test_silence_has_no_speech() -> None:
    assert speech(np.zeros(SAMPLE_RATE, np.int16), VadConfig()).padded == []


def a_word(start: float, end: float) -> HeardWord:
    return HeardWord(start, end, " word", 0.5)


def test_words_are_held_against_the_speech_around_them() -> None:
    stretched = [a_word(0.2, 1.4), a_word(1.4, 3.5), a_word(3.5, 5.4)]
    assert [(w.start, w.end) for w in snapped(stretched, [(1.0, 2.0), (5.0, 6.0)])] == [
        (1.0, 1.4),
        (1.4, 2.0),
        (5.0, 5.4),
    ]


def test_the_first_word_of_a_stretch_starts_where_the_speech_does() -> None:
    assert snapped([a_word(1.3, 1.6)], [(1.0, 2.0)])[0].start == 1.0
    assert snapped([a_word(1.8, 1.9)], [(1.0, 2.0)])[0].start == 1.8


def test_a_word_that_touches_no_speech_keeps_its_times() -> None:
    assert snapped([a_word(3.0, 3.5)], [(1.0, 2.0)]) == [a_word(3.0, 3.5)]
