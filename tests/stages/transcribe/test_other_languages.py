"""Speech of another language and a model that knows English only: nothing is invented."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.row import Row
from schemas.rows import TranscriptRow
from stages.media.words import TimedWord
from stages.transcribe.recognizer import RecognizedSegment, believed
from stages.transcribe.stage import LEAST_BELIEVED, Transcribe
from tests.stages.hearing import heard, loaded
from tests.stages.real_media import NARRATED, made, run, shared


@pytest.fixture(scope="module")
def stage() -> Transcribe:
    return loaded()


@pytest.fixture(scope="module")
def backwards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Speech in no language that anybody knows: the demo's narrator played backwards."""
    out = tmp_path_factory.mktemp("backwards") / "backwards.wav"
    return made(out, "-t", "14", "-i", NARRATED, "-vn", "-af", "areverse")


def nothing_invented(row: Row) -> None:
    """Either the language is unknown, or not a word is believed and the row says what else it may be."""
    assert isinstance(row, TranscriptRow)
    assert row.segments == []
    if row.dropped is not None:
        assert row.dropped.reason == "no_speech"
        assert row.dropped.detail.endswith("knows English only, and this may be another language")
        return
    assert row.error is not None
    assert (row.error.code, row.error.retryable) == ("language_unknown", False)
    assert "name a multilingual model" in row.error.message


def test_speech_of_an_unknown_language_makes_no_words(stage: Transcribe, backwards: Path) -> None:
    nothing_invented(run(stage, backwards))


def test_who_says_that_it_is_english_gets_what_was_heard(stage: Transcribe, backwards: Path) -> None:
    row = run(stage, backwards, language="en")
    assert row.error is None
    assert row.dropped is None or "another language" not in row.dropped.detail


@pytest.mark.parametrize("name", ["dj_video1.mp4", "mdn_french_greenscreen.mp4"])
def test_chinese_and_french_are_not_taken_for_english(name: str, stage: Transcribe) -> None:
    nothing_invented(run(stage, shared(f"videos/{name}")))


def test_english_with_an_accent_and_noise_is_still_english(stage: Transcribe) -> None:
    assert heard(stage, shared("videos/googlework_short.mp4")).language == "en"


def segment(words: int, avg_logprob: float) -> RecognizedSegment:
    return RecognizedSegment([TimedWord(0.0, 1.0, " word", 0.5)] * words, avg_logprob, 0.1, 1.0, "en")


def test_a_long_segment_counts_for_more_than_a_short_one() -> None:
    assert believed([segment(9, -0.1), segment(1, -1.1)]) == pytest.approx(-0.2)
    assert believed([]) == 0.0
    assert believed([segment(3, LEAST_BELIEVED)]) == LEAST_BELIEVED
