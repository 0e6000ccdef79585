from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.media.words import TimedWord
from stages.transcribe.recognizer import RecognizedSegment, segments_of, whisper_language

times = st.floats(-1, 40, allow_nan=False)


@given(st.lists(st.tuples(times, times), max_size=30), st.lists(times, max_size=8, unique=True).map(sorted))
def test_word_times_are_in_order_and_inside_the_audio_whatever_was_recognized(
    spans: list[tuple[float, float]], edges: list[float]
) -> None:
    speech = list(zip(edges[::2], edges[1::2], strict=False))
    recognized = RecognizedSegment([TimedWord(*span, " word", 0.5) for span in spans], -0.1, 0.1, 1.0)
    found = [word for segment in segments_of([recognized], speech, 30.0) for word in segment.words]
    assert len(found) == len(spans)
    edge = 0.0
    for word in found:
        assert edge <= word.start <= word.end <= 30.0
        edge = word.end


def test_regions_and_aliases_of_languages_are_understood() -> None:
    assert [whisper_language(code) for code in ("en-US", "pt_BR", "nb", "fil-PH", "")] == ["en", "pt", "no", "tl", ""]


@pytest.mark.parametrize(
    ("code", "language"),
    [
        *(("fra", "fr"), ("fre", "fr"), ("deu", "de"), ("ger", "de"), ("zho", "zh"), ("chi", "zh"), ("cmn", "zh")),
        *(("por-BR", "pt"), ("FRA", "fr"), ("nob", "no"), ("nno", "nn"), ("jav", "jw"), ("iw", "he"), ("haw", "haw")),
        *(("yue", "yue"), ("und", ""), ("mul", ""), ("zxx", ""), ("klingon", "klingon")),
    ],
)
def test_codes_of_three_letters_are_those_of_the_model(code: str, language: str) -> None:
    assert whisper_language(code) == language
