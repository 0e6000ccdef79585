"""What the recognizer makes of singing, music and voices without words."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.bench import sounds
from schemas.rows import TranscriptRow
from stages.media.sandbox import Limits
from stages.media.sound import SAMPLE_RATE
from stages.transcribe.singing import FRAME, is_sung
from stages.transcribe.speech_segments import VadConfig, find_speech
from stages.transcribe.stage import Transcribe
from tests.stages.hearing import heard, loaded, said, words
from tests.stages.real_media import NARRATED, decoded, run, shared

LIMITS = Limits(seconds=60, memory=4 * 1024**3)

Wave = NDArray[np.float64]


@pytest.fixture(scope="module")
def stage() -> Transcribe:
    return loaded()


@pytest.fixture(scope="module")
def sentences() -> list[Wave]:
    """The demo's sentences."""
    audio = decoded(NARRATED).audio
    spans = find_speech(audio, VadConfig()).bare
    return [audio[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)].astype(np.float64) for start, end in spans]


@pytest.fixture(scope="module")
def song(sentences: Sequence[Wave]) -> Wave:
    """Some of them sung, over music."""
    return sounds.at_level(sounds.sung(np.concatenate(sentences[5:9]), np.random.default_rng(0)), 2000)


def written(folder: Path, *parts: Wave) -> Path:
    """A file of these sounds with a second of silence after each."""
    file = folder / "sound.wav"
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE)
        for part in parts:
            out.writeframes(np.concatenate([part, np.zeros(SAMPLE_RATE)]).clip(-32768, 32767).astype("<i2").tobytes())
    return file


def heard_between(row: TranscriptRow, start: float, end: float) -> list[str]:
    return [word.text for word in words(row) if start < (word.start + word.end) / 2 < end]


def test_a_song_between_sentences_is_left_out_and_counted(
    stage: Transcribe, sentences: Sequence[Wave], song: Wave, tmp_path: Path
) -> None:
    row = heard(stage, written(tmp_path, sentences[0], song, sentences[1]))
    first = len(sentences[0]) / SAMPLE_RATE + 1
    assert heard_between(row, first, first + len(song) / SAMPLE_RATE) == []
    assert "woman in an orange space suit" in said(row)
    assert "green eyes" in said(row)
    assert row.singing == pytest.approx(len(song) / SAMPLE_RATE, abs=3)
    assert row.counts()["singing_ms"] == round(row.singing * 1000)
    assert row.warnings == ["singing_left_out"]


def test_singing_may_be_kept(song: Wave) -> None:
    audio = song.astype(np.int16)
    dropped, kept = find_speech(audio, VadConfig()), find_speech(audio, VadConfig(singing="keep"))
    assert (dropped.padded, dropped.bare, kept.singing) == ([], [], 0.0)
    assert sum(end - start for start, end in kept.bare) == pytest.approx(dropped.singing)
    assert dropped.singing > 20


def test_a_song_alone_is_no_speech_and_the_drop_says_how_long_it_is(
    stage: Transcribe, song: Wave, tmp_path: Path
) -> None:
    row = run(stage, written(tmp_path, song))
    assert row.dropped
    assert row.dropped.reason == "no_speech"
    assert "s of it singing or music" in row.dropped.detail


def test_a_loop_costs_the_sentences_of_its_window_nothing_and_is_counted(
    stage: Transcribe, sentences: Sequence[Wave], tmp_path: Path
) -> None:
    # Which of them loop hangs on the kernels that the processor has, so there are many; some do on all that were tried.
    backwards = [sentence[::-1] for sentence in (*sentences, *reversed(sentences))]
    row = heard(stage, written(tmp_path, *sentences[:4], *backwards), language="en")
    for part in ("orange space suit", "green eyes", "red cup of coffee", "white rocket"):
        assert part in said(row)
    assert row.looped_words > 0
    assert row.counts()["words_dropped.repetition"] == row.looped_words
    assert row.warnings == ["words_left_out"]
    spoken = said(row).split()
    assert all(spoken[n : n + 5] != spoken[n + 5 : n + 10] for n in range(len(spoken) - 9))


def test_speech_over_music_is_speech(stage: Transcribe, sentences: Sequence[Wave], tmp_path: Path) -> None:
    speech = np.concatenate(sentences[:3])
    tune = sounds.music(len(speech) / SAMPLE_RATE + 1, np.random.default_rng(0))[: len(speech)]
    row = heard(stage, written(tmp_path, sounds.mixed(speech, tune, 10)))
    assert row.singing == 0.0
    assert "green eyes" in said(row)


def test_speech_under_real_music_of_its_own_level_is_speech() -> None:
    # The network hears hardly any speech in it, but music.
    tune = decoded(shared("videos/googlework_short.mp4")).audio[: 20 * SAMPLE_RATE].astype(np.float64)
    speech = decoded(shared("flickr8k/speech/121971540_0a986ee176.mp3")).audio[:].astype(np.float64)
    both = sounds.at_level(speech, 2000) + sounds.at_level(tune[: len(speech)], 2000)
    found = find_speech(both.clip(-32768, 32767).astype(np.int16), VadConfig())
    assert sum(end - start for start, end in found.bare) > 2
    assert found.singing < 0.5


class Hears:
    """A network that hears the same all the time."""

    def __init__(self, speech: float, singing: float, music: float) -> None:
        self._row = (speech, singing, music)

    def detect_probs(self, samples: NDArray[np.int16]) -> NDArray[np.float32]:
        return np.tile(np.array(self._row, np.float32), (len(samples) // FRAME, 1))


@pytest.mark.parametrize(
    ("speech", "singing", "music", "seconds", "sung"),
    [
        pytest.param(0.2, 0.9, 1.0, 3.0, True, id="song"),
        pytest.param(0.35, 0.9, 1.0, 3.0, False, id="song_with_speech"),
        pytest.param(0.01, 0.1, 1.0, 3.0, False, id="music_that_may_hide_speech"),
        pytest.param(0.01, 0.1, 1.0, 0.3, True, id="music_shorter_than_a_word"),
        pytest.param(0.1, 0.1, 1.0, 0.3, False, id="word_over_music"),
        pytest.param(0.1, 0.9, 0.5, 3.0, False, id="overdriven_voice"),
    ],
)
def test_only_what_is_clearly_no_speech_is_left_out(
    monkeypatch: pytest.MonkeyPatch, *, speech: float, singing: float, music: float, seconds: float, sung: bool
) -> None:
    monkeypatch.setattr("stages.transcribe.singing._network", lambda: Hears(speech, singing, music))
    audio = np.zeros(5 * SAMPLE_RATE, np.int16)
    assert is_sung(audio, SAMPLE_RATE, round((1 + seconds) * SAMPLE_RATE), voiced=0.7) is sung


def test_real_music_that_sounds_like_a_word_is_left_out_and_the_speech_over_it_kept(stage: Transcribe) -> None:
    # Music from the start, speech over it from 21.6 s on; voice activity detection also hears a word at 2.1 s.
    row = heard(stage, shared("videos/googlework_short.mp4"))
    assert heard_between(row, 0.0, 20.0) == []
    assert "strong French culture" in said(row)
    assert row.singing == pytest.approx(0.4, abs=0.2)


def test_sure_speech_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.transcribe.singing._network", lambda: pytest.fail("the second network was asked"))
    assert not is_sung(np.zeros(SAMPLE_RATE, np.int16), 0, SAMPLE_RATE, voiced=0.9)
