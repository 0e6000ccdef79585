from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas.rows import TranscriptRow
from stages.align.stage import Align, AlignConfig
from stages.base import Video
from stages.media.subtitles.cues import cues as read_cues
from stages.transcribe.merging import merged
from stages.transcribe.stage import Transcribe
from tests.stages.hearing import first_sentences, heard, loaded, said, words
from tests.stages.real_media import NARRATED, made, run, shared, track_of
from tests.stages.rows import CONTEXT, MANIFEST, frames_row


@pytest.fixture(scope="module")
def stage() -> Transcribe:
    return loaded()


@pytest.fixture(scope="module")
def narrated(stage: Transcribe) -> TranscriptRow:
    return heard(stage, NARRATED, duration=52.08)


@pytest.fixture(scope="module")
def beginning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return first_sentences(tmp_path_factory.mktemp("media"))


@pytest.fixture(scope="module")
def by_ear(stage: Transcribe, beginning: Path) -> TranscriptRow:
    return heard(stage, beginning)


@pytest.fixture(scope="module")
def by_track(stage: Transcribe, beginning: Path) -> TranscriptRow:
    return subtitled(stage, beginning, SPELT_OTHERWISE)


SPELT_OTHERWISE = """WEBVTT

00:00:00.300 --> 00:00:05.000
ANNA: The woman in an orange spacesuit is smiling next to a flag!

00:00:05.000 --> 00:00:06.000
[a cat meows]

00:00:05.200 --> 00:00:09.000
A young brown cat with green eyes is looking to one side.
"""
OF_ANOTHER_VIDEO = "WEBVTT\n\n00:01.000 --> 00:08.000\nWe speak of AI when computer systems perform tasks for us.\n"


def sources(row: TranscriptRow) -> set[str]:
    return {segment.source for segment in row.segments}


def subtitled(stage: Transcribe, media: Path, track: str, **fields: Any) -> TranscriptRow:
    """The row of a video whose manifest names this track."""
    file = media.with_suffix(".vtt")
    file.write_text(track)
    return heard(stage, media, subtitles=track_of(file), **fields)


def test_a_track_that_agrees_gives_the_text_and_the_recognizer_the_times(
    by_ear: TranscriptRow, by_track: TranscriptRow
) -> None:
    row = by_track
    assert said(row).startswith("The woman in an orange spacesuit is smiling next to a flag! A young brown cat")
    assert (sources(row), row.warnings) == ({"subtitles"}, [])
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
    assert "subtitles" in sources(row)
    assert "orange spacesuit" in said(row)


def test_of_several_files_beside_a_video_the_one_that_agrees_gives_the_text(
    stage: Transcribe, beginning: Path, by_track: TranscriptRow, tmp_path: Path
) -> None:
    files = []
    for name, text in (("v.de", OF_ANOTHER_VIDEO), ("v.en", SPELT_OTHERWISE)):
        (tmp_path / f"{name}.vtt").write_text(text)
        files.append(track_of(tmp_path / f"{name}.vtt"))
    row = heard(stage, beginning, subtitles=files[0], other_subtitles=files[1:])
    assert (row.segments, row.warnings) == (by_track.segments, [])


def test_a_track_of_another_video_is_not_used(stage: Transcribe, beginning: Path, by_ear: TranscriptRow) -> None:
    row = subtitled(stage, beginning, OF_ANOTHER_VIDEO)
    assert (sources(row), row.warnings) == ({"asr"}, ["subtitles_disagree"])
    assert 0.0 <= row.agreement < 0.2
    assert row.segments == by_ear.segments


def test_a_track_with_a_lag_gives_the_text_at_the_times_at_which_it_was_heard(
    stage: Transcribe, beginning: Path, by_track: TranscriptRow
) -> None:
    row = subtitled(stage, beginning, SPELT_OTHERWISE.replace("00:00:0", "00:01:2"))
    assert row.segments == by_track.segments
    assert row.lag == pytest.approx(80.0, abs=1.0)
    assert row.warnings == []


def test_tracks_can_be_ignored(beginning: Path, by_ear: TranscriptRow) -> None:
    row = subtitled(loaded(subtitles="ignore"), beginning, SPELT_OTHERWISE)
    assert (row.segments, row.agreement, row.warnings) == (by_ear.segments, -1.0, [])


def test_a_track_of_a_part_adds_that_part(stage: Transcribe, beginning: Path, by_ear: TranscriptRow) -> None:
    row = subtitled(stage, beginning, SPELT_OTHERWISE[: SPELT_OTHERWISE.index("00:00:05.000 --> 00:00:06")])
    found = Align(AlignConfig(), CONTEXT).one(Video(MANIFEST, [row, frames_row([1.0, 6.0])])).sentences
    assert [sentence.source for sentence in found] == ["subtitles", "asr"]
    assert "orange spacesuit" in found[0].text
    assert found[1].text in said(by_ear)


def test_words_that_nobody_heard_are_counted_and_warned_of(stage: Transcribe, beginning: Path) -> None:
    more = "\n00:00:20.000 --> 00:00:24.000\nWe speak of AI when computer systems perform tasks for us.\n"
    row = subtitled(stage, beginning, SPELT_OTHERWISE + more)
    assert (row.left_out, row.warnings) == (11, ["subtitles_left_out"])
    assert row.counts()["subtitle_words_left_out"] == 11
    assert "computer" not in said(row)


def test_a_track_that_cannot_be_read_does_not_hide_one_that_can(
    stage: Transcribe, beginning: Path, tmp_path: Path
) -> None:
    (tmp_path / "good.vtt").write_text(SPELT_OTHERWISE)
    (tmp_path / "bad.vtt").write_text("<html>404</html>")
    inputs: list[str | Path] = ["-i", beginning, "-i", tmp_path / "good.vtt"]
    video = made(tmp_path / "v.mp4", *inputs, "-map", "0", "-map", "1", "-c", "copy", "-c:s", "mov_text")
    row = heard(stage, video, subtitles=track_of(tmp_path / "bad.vtt"), subtitle_tracks=[0])
    assert (sources(row), row.warnings) == ({"subtitles"}, ["subtitles_unreadable"])


def test_a_better_track_is_preferred_to_one_without_sentence_ends(
    stage: Transcribe, beginning: Path, tmp_path: Path
) -> None:
    (tmp_path / "good.vtt").write_text(SPELT_OTHERWISE)
    (tmp_path / "auto.vtt").write_text(SPELT_OTHERWISE.lower().replace(".\n", "\n").replace("!", ""))
    inputs: list[str | Path] = ["-i", beginning, "-i", tmp_path / "good.vtt"]
    video = made(tmp_path / "v.mp4", *inputs, "-map", "0", "-map", "1", "-c", "copy", "-c:s", "mov_text")
    row = heard(stage, video, subtitles=track_of(tmp_path / "auto.vtt"), subtitle_tracks=[0])
    assert (sources(row), row.warnings) == ({"subtitles"}, [])
    assert "spacesuit" in said(row)


@pytest.mark.parametrize(
    "track", ["", "\0\1\2", "WEBVTT\n\nsoon --> later\nA cat", "WEBVTT\n\n00:01.000 --> 00:02.000\n[Music]"]
)
def test_a_track_that_cannot_be_read_leaves_what_was_heard(stage: Transcribe, beginning: Path, track: str) -> None:
    row = subtitled(stage, beginning, track)
    assert (sources(row), row.agreement, row.warnings) == ({"asr"}, -1.0, ["subtitles_unreadable"])
    assert said(row).startswith("The woman in an orange space suit")


def test_a_track_over_silence_is_not_used(stage: Transcribe, tmp_path: Path) -> None:
    silent = made(tmp_path / "s.mp4", "-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-t", "9")
    (tmp_path / "s.vtt").write_text(SPELT_OTHERWISE)
    row = run(stage, silent, subtitles=track_of(tmp_path / "s.vtt"))
    assert row.dropped
    assert row.dropped.reason == "no_speech"


@pytest.mark.parametrize(
    ("video", "track", "phrase"),
    [
        ("videos/what_is_ai.webm", "videos/what_is_ai.srt", "What exactly is Artificial Intelligence."),
        ("videos/nasa_13013_multistream.mp4", "", "one of the largest cleanrooms in the world at NASA’s Goddard"),
    ],
)
def test_real_tracks_agree_and_give_the_text(stage: Transcribe, video: str, track: str, phrase: str) -> None:
    given = {"subtitles": track_of(shared(track))} if track else {"subtitle_tracks": [0, 1]}
    row = heard(stage, shared(video), **given)
    assert "subtitles" in sources(row)
    assert row.agreement > 0.8
    assert phrase in said(row)


def test_real_captions_without_sentence_ends_do_not_replace_text_that_has_them(stage: Transcribe) -> None:
    row = heard(stage, shared("videos/manifesto.mp4"), subtitles=track_of(shared("videos/manifesto.vtt")))
    assert row.agreement > 0.8
    assert (sources(row), row.warnings) == ({"asr"}, ["subtitles_unpunctuated"])
    assert "." in said(row)


@pytest.mark.parametrize(
    "track", ["elephantsdream.en.vtt", "elephantsdream.ja.vtt", "accented.srt", "panda_long_1ApFKwvjE.vtt"]
)
def test_real_tracks_of_other_videos_disagree(narrated: TranscriptRow, track: str) -> None:
    other = read_cues(shared(f"subtitles/{track}").read_bytes())
    found = merged(other, narrated.segments, [(0.0, narrated.duration)], narrated.duration, 0.6)
    assert max(found.agreement, found.shared) < 0.1
