"""The subtitle tracks of a video, beside it and in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.base import VideoFailed
from stages.media.sandbox import Limits
from stages.media.source import MediaMissing
from stages.media.subtitles.cues import Cue, cues
from stages.media.subtitles.tracks import embedded, tracks
from tests.stages.real_media import NARRATED, context, linked, made, shared, track_of

LIMITS = Limits(60, 4 * 2**30)


def said(cue: Cue) -> str:
    return "".join(word.text for word in cue).strip()


LAYERED = """[Script Info]
ScriptType: v4.00+

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:00.10,0:00:03.30,Default,,0,0,0,,A family, playing\\Non a tractor.
Dialogue: 1,0:00:00.10,0:00:03.30,Default,,0,0,0,,{\\blur4}A family, playing\\Non a tractor.
Dialogue: 1,0:00:00.10,0:00:03.30,Default,,0,0,0,,{\\p1\\pos(9,9)}m 0 0 l 100 0{\\p0}
Comment: 0,0:00:00.10,0:00:03.30,Default,,0,0,0,,check this
"""


@pytest.mark.parametrize("codec", ["ass", "ssa", "srt"])
def test_a_layered_track_inside_a_video_says_its_text_once(tmp_path: Path, codec: str) -> None:
    (tmp_path / "t.ass").write_text(LAYERED)
    inputs: list[str | Path] = ["-t", "5", "-i", NARRATED, "-i", tmp_path / "t.ass"]
    video = made(tmp_path / "v.mkv", *inputs, "-c:v", "copy", "-c:a", "copy", "-c:s", codec)
    assert said(cues(embedded(video, "", 0, LIMITS))[0]) == "A family, playing on a tractor."
    if codec != "srt":
        assert len(cues(embedded(video, "", 0, LIMITS))) == 1


def test_a_text_track_inside_a_video_is_read_on_its_clock(tmp_path: Path) -> None:
    track = tmp_path / "t.srt"
    track.write_text("1\n00:00:00,600 --> 00:00:04,600\nThe woman in an orange spacesuit\n")
    video = made(tmp_path / "v.mp4", "-t", "5", "-i", NARRATED, "-i", track, "-c:v", "copy", "-c:s", "mov_text")
    (cue,) = cues(embedded(video, "", 0, LIMITS))
    assert said(cue) == "The woman in an orange spacesuit"
    assert (cue[0].start, round(cue[-1].end, 3)) == (0.6, 4.6)


def test_tracks_that_are_unreadable_come_out_empty(tmp_path: Path) -> None:
    (tmp_path / "page.vtt").write_text("<html><body>404 Not Found</body></html>")
    media = linked(NARRATED, subtitles=track_of(tmp_path / "page.vtt"), subtitle_tracks=[0])
    assert list(tracks(media, context().media, LIMITS)) == [[], []]


def test_the_files_beside_a_video_come_in_their_order_before_its_own_tracks(tmp_path: Path) -> None:
    files = []
    for name in ("one", "two", "three"):
        (tmp_path / f"{name}.vtt").write_text(f"WEBVTT\n\n00:01.000 --> 00:02.000\n{name}\n")
        files.append(track_of(tmp_path / f"{name}.vtt"))
    inside = made(tmp_path / "v.mkv", "-t", "3", "-i", NARRATED, "-i", tmp_path / "three.vtt", "-c:v", "copy")
    media = linked(inside, subtitles=files[0], other_subtitles=files[1:2])
    found = [said(cue) for one in tracks(media, context().media, LIMITS) for cue in one]
    assert found == ["one", "two", "three"]


def test_a_track_that_is_gone_or_damaged_is_for_the_machine_to_bring_back(tmp_path: Path) -> None:
    (tmp_path / "talk.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n")
    media = linked(NARRATED, subtitles=track_of(tmp_path / "talk.vtt"))
    kept = Path(context().media.address) / media.subtitles
    kept.write_text(kept.read_text().replace("Hello", "Jello"))
    with pytest.raises(MediaMissing, match="-subtitles-"):
        list(tracks(media, context().media, LIMITS))
    kept.unlink()
    with pytest.raises(MediaMissing) as missing:
        list(tracks(media, context().media, LIMITS))
    assert (missing.value.video, missing.value.path) == (media.video, str(kept))


def test_a_track_inside_a_video_that_was_replaced_is_not_read(tmp_path: Path) -> None:
    video = tmp_path / "v.mp4"
    video.write_bytes(NARRATED.read_bytes())
    media = linked(video, subtitle_tracks=[0])
    video.write_bytes(NARRATED.read_bytes() + b"x")
    with pytest.raises(VideoFailed, match="media_changed"):
        list(tracks(media, context().media, LIMITS))


@pytest.mark.parametrize("name", ["edge/mov_text.mp4", "edge/webvtt.mkv"])
def test_real_tracks_inside_videos_are_read(name: str) -> None:
    assert [said(cue) for cue in cues(embedded(shared(name), "", 0, LIMITS))] == ["oop", "boop"]
