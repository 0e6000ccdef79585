"""The alignment bench: its videos are what their truth says, and its measures tell right from wrong."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from pipeline.bench.align import LAGS, bench_align, select_lags
from pipeline.bench.listen import with_given
from pipeline.bench.material import BenchKind, demo_material, photo_material
from pipeline.bench.measure import Lag, auc, share, wilson
from pipeline.bench.media import (
    NOTHING,
    RATE_HZ,
    SWAPS,
    Narrated,
    Shot,
    build,
    mux,
    plan,
    timeline,
)
from pipeline.bench.report import BenchReport, LagResult, markdown
from pipeline.cli import app
from schemas.rows import TranscriptRow
from stages.media import ffmpeg
from tests.runs import ROOT, SHARED, demo_config
from tests.stages.rows import KEY

pytestmark = pytest.mark.slow

FLICKR = SHARED / "flickr8k"
DEMO = demo_material(ROOT / "demo")


def decoded_sound(file: Path) -> np.ndarray:
    command = [str(ffmpeg.program()), "-v", "error", "-i", str(file), "-f", "s16le", "pipe:"]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, dtype="<i2")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Narrated:
    (built,) = build(DEMO, tmp_path_factory.mktemp("media"), seed=0)
    return built


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> BenchReport:
    """The bench over the demo's material at lag 0, late by 4 s, and drifting."""
    folder = tmp_path_factory.mktemp("bench")
    return bench_align(DEMO, demo_config(folder), select_lags(["0", "+4", "drift"]), folder)


def line(report: BenchReport, lag: str, mode: str) -> LagResult:
    (found,) = [one for one in report.results if (one.lag, one.mode) == (lag, mode)]
    return found


def test_a_built_video_holds_every_kind_of_shot_without_a_gap(video: Narrated) -> None:
    assert {shot.kind for shot in video.shots} == {"described", "off_topic", "silent", "card"}
    assert [shot.start for shot in video.shots[1:]] == [shot.end for shot in video.shots[:-1]]
    assert len(video.sound) == round(video.seconds * RATE_HZ)


def test_there_is_sound_where_the_truth_says_speech_and_nowhere_else(video: Narrated) -> None:
    spoken = np.zeros(len(video.sound), dtype=bool)
    for shot in video.shots:
        first, last = round(shot.speech_start * RATE_HZ), round(shot.speech_end * RATE_HZ)
        spoken[first:last] = True
        if shot.text:
            assert np.abs(video.sound[first : first + 160]).max() > 0
            assert np.abs(video.sound[last - 160 : last]).max() > 0
    assert not video.sound[~spoken].any()


def test_the_picture_changes_where_the_truth_says_so(video: Narrated) -> None:
    size = 32 * 18
    command = [str(ffmpeg.program()), "-v", "error", "-i", str(video.picture), "-vf", "scale=32:18,format=gray"]
    raw = subprocess.run([*command, "-f", "rawvideo", "pipe:"], capture_output=True, check=True).stdout
    frames = np.frombuffer(raw, dtype=np.uint8).reshape(-1, size).astype(int)
    changes = np.flatnonzero(np.abs(np.diff(frames, axis=0)).mean(axis=1) > 10) + 1
    assert (changes / 10).tolist() == [shot.start for shot in video.shots[1:]]


@pytest.mark.parametrize("lag", [4.0, -8.0])
def test_a_lag_moves_the_sound_against_the_picture_and_changes_nothing_else(
    video: Narrated, tmp_path: Path, lag: float
) -> None:
    on_time = decoded_sound(mux(video, 0.0, tmp_path / "on-time.mkv"))
    moved = decoded_sound(mux(video, lag, tmp_path / "moved.mkv"))
    assert np.array_equal(moved, np.roll(on_time, round(lag * RATE_HZ)))


def test_the_same_seed_gives_the_same_bytes(video: Narrated, tmp_path: Path) -> None:
    (again,) = build(DEMO, tmp_path, seed=0)
    assert again.shots == video.shots
    assert again.picture.read_bytes() == video.picture.read_bytes()
    assert np.array_equal(again.sound, video.sound)


@given(first=st.floats(-8, 8), last=st.floats(-8, 8), time=st.floats(0, 99))
def test_a_drift_is_linear_and_a_section_has_a_lag_of_its_own(first: float, last: float, time: float) -> None:
    video = silent_video(sections=[0.0, 40.0])
    drift, sections = Lag("drift", (first, last), drifts=True), Lag("sections", (first, last))
    at = np.array([time])
    assert drift.late(at, video)[0] == pytest.approx(time + first + (last - first) * time / 100)
    assert sections.late(at, video)[0] == pytest.approx(time + (first if time < 40 else last))


def silent_video(sections: list[float]) -> Narrated:
    return Narrated("any", [Shot("card", 0.0, 100.0, 0.0, 0.0, "")], sections, Path("none.mkv"), np.zeros(0, np.int16))


@pytest.mark.parametrize("kind", ["plain", "sections"])
def test_a_sentence_says_which_picture_it_is_about(kind: BenchKind, tmp_path: Path) -> None:
    material = demo_material(ROOT / "demo", kind)
    planned = plan(material.scripts[0], np.random.default_rng(1), in_sections=kind == "sections")
    shots, sections = timeline(planned, [None] * len(planned), np.random.default_rng(1))
    texts = {one.picture: one.text for one in material.scripts[0].described}
    pictures = [None, *(one.picture for one in planned), None]
    for shot in shots:
        if shot.about != NOTHING:
            shown = pictures[shot.about]
            assert shown is not None
            assert texts[shown] == shot.text
    swapped = [shot.about != number for number, shot in enumerate(shots) if shot.about != NOTHING]
    assert sum(swapped) == (2 * SWAPS if kind == "sections" else 0)
    assert any(one.divides for one in planned) == (kind == "sections")
    assert len(sections) == 1 + sum(one.divides for one in planned)


def test_sentences_without_a_recording_have_their_words_evenly_over_their_time() -> None:
    shots = [
        Shot("described", 0.0, 5.0, 0.5, 2.5, "Four words are here.", about=0, recorded=False),
        Shot("described", 5.0, 9.0, 5.5, 7.0, "This was heard.", about=1, recorded=True),
    ]
    (segment,) = with_given(TranscriptRow(video=KEY), shots).segments
    assert [(word.start, word.end, word.text) for word in segment.words] == [
        (0.5, 1.0, " Four"),
        (1.0, 1.5, " words"),
        (1.5, 2.0, " are"),
        (2.0, 2.5, " here."),
    ]


def test_auc_counts_ties_half() -> None:
    assert auc(np.array([0.5, 0.9]), np.array([0.5, 0.1])) == pytest.approx(3.5 / 4)
    assert auc(np.array([0.5]), np.array([])) is None


def test_an_interval_is_wilsons() -> None:
    # Newcombe 1998, table I: 81 of 263, and 0 of 20.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert share(0, 0) is None


def test_without_a_lag_both_modes_give_pictures_their_sentences(report: BenchReport) -> None:
    for mode in ("time", "clip"):
        found = line(report, "0", mode)
        assert found.frames.described == 9
        assert found.frames.right >= 8


def test_a_late_sound_leaves_time_mode_with_wrong_sentences_as_far_off_as_the_lag(report: BenchReport) -> None:
    found = line(report, "+4", "time")
    assert found.recall is not None
    assert found.recall.share < 0.35
    assert found.boundary_median == pytest.approx(4.0, abs=0.1)
    assert found.lag_error is None


def test_kept_frames_are_some_of_the_assigned_ones(report: BenchReport) -> None:
    for found in report.results:
        assert found.frames.right + found.frames.wrong > 0
        assert found.frames.right_kept <= found.frames.right <= found.frames.described


def test_a_late_file_is_heard_as_the_words_moved_by_the_lag(report: BenchReport) -> None:
    assert report.real_lag
    assert report.real_lag.same_words >= 0.95 * report.real_lag.words
    assert report.real_lag.p95 <= 0.05


def test_recognized_sentences_begin_and_end_where_the_truth_does(report: BenchReport) -> None:
    assert report.boundaries.sentences == 10
    assert report.boundaries.missed == 0
    assert report.boundaries.start_median < 0.15
    assert report.boundaries.end_median < 0.15


def test_the_table_has_a_line_per_lag_and_mode(report: BenchReport) -> None:
    table = [row for row in markdown(report) if row.startswith("|")]
    assert [row.split(" | ")[:2] for row in table[2:]] == [
        [f"| {lag}", mode] for lag in ("0", "+4", "drift") for mode in ("time", "clip")
    ]


def test_an_unknown_lag_is_refused_with_the_known_ones() -> None:
    result = CliRunner().invoke(app, ["bench", "align", "--only-lag", "3"])
    assert "no lag '3'; the lags are 0, +1, -1, +2, -2, +4, -4, +8, -8, drift" in str(result.exception)


def test_outside_a_checkout_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = CliRunner().invoke(app, ["bench", "align"])
    assert f"no config at {tmp_path / 'configs' / 'demo.yaml'}: name a config of yours" in str(config.exception)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "narrated.mp4").touch()
    video = CliRunner().invoke(app, ["bench", "align", str(ROOT / "configs" / "demo.yaml")])
    assert str(video.exception).startswith(f"no narrated.gt.json in {tmp_path / 'demo'}: ")


def test_no_lag_named_means_all() -> None:
    assert select_lags([]) == list(LAGS["plain"].values())
    assert select_lags([], "sections") == list(LAGS["sections"].values())
    assert [lag.name for lag in select_lags(["-4", "0"])] == ["0", "-4"]


@pytest.mark.skipif(not FLICKR.exists(), reason="needs ../shared/data/flickr8k")
@pytest.mark.parametrize("kind", ["plain", "similar", "sections"])
def test_no_photo_of_the_demo_models_fit_is_used(kind: BenchKind) -> None:
    from demo.fit_model import split_photos

    scripts = photo_material(FLICKR, kind).scripts
    spoken = [one.picture for script in scripts for one in [*script.described, *script.off_topic]]
    pictures = spoken + [picture for script in scripts for picture in script.unmentioned]
    fitted_on = set(split_photos(FLICKR)[1])
    assert not {picture.file.name for picture in pictures} & fitted_on


@pytest.mark.skipif(not FLICKR.exists(), reason="needs ../shared/data/flickr8k")
@pytest.mark.parametrize("kind", ["plain", "similar", "sections"])
def test_a_line_rests_on_at_least_150_pictures_with_a_sentence(kind: BenchKind) -> None:
    assert sum(len(script.described) for script in photo_material(FLICKR, kind).scripts) >= 150


@pytest.mark.skipif(not FLICKR.exists(), reason="needs ../shared/data/flickr8k")
def test_sentences_about_nothing_shown_belong_to_no_picture_of_their_video() -> None:
    for script in photo_material(FLICKR).scripts:
        shown = {one.picture for one in script.described} | set(script.unmentioned)
        assert script.off_topic
        assert not shown & {one.picture for one in script.off_topic}


@pytest.mark.skipif(not FLICKR.exists(), reason="needs ../shared/data/flickr8k")
def test_pictures_of_a_similar_video_are_of_one_kind() -> None:
    dogs = photo_material(FLICKR, "similar").scripts[0]
    assert sum("dog" in one.text.lower() for one in dogs.described) >= 9


def test_the_report_is_plain_json(report: BenchReport) -> None:
    from dataclasses import asdict

    assert json.loads(json.dumps(asdict(report)))["results"][0]["frames"]["described"] == 9
