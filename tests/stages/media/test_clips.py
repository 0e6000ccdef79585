"""A clip is a part of its file, on a clock of its own: a tone sounds whenever the picture changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.manifest import ManifestRow
from schemas.media import MediaRow
from schemas.row import Row
from stages.base import Video, VideoFailed
from stages.download.clip import clipped
from stages.download.probing import probe
from stages.media.audio import decode
from stages.media.decoder import track_of
from stages.media.sound import SAMPLE_RATE
from stages.media.subtitles.tracks import tracks
from stages.media.track import Decoder, opened
from stages.sample.pictures import PictureSettings, Seen, candidates
from stages.sample.stage import SampleConfig, SampleFrames
from storyloom.fs.files import files_at
from tests.stages.real_media import LIMITS, MEDIA, context, linked, made
from tests.stages.real_media import track_of as kept_track

EVERY = 2.0
"""Seconds between changes of the picture, and between tones."""

LENGTH = 40.0

APART = 0.05

PICTURE = f"nullsrc=s=64x64:r=25:d={LENGTH},format=gray,geq=lum='if(mod(floor(T/{EVERY}),2),200,50)'"
SOUND = f"aevalsrc=0.5*sin(2*PI*880*t)*lt(mod(t\\,{EVERY})\\,0.2)*gt(t\\,1):d={LENGTH}:s=48000"
H264 = ("-c:v", "libx264", "-g", "200", "-bf", "3", "-pix_fmt", "yuv420p")

FILES: dict[str, Sequence[str]] = {
    "mp4": (*H264, "-c:a", "aac"),
    "mkv": (*H264, "-c:a", "libopus"),
    "ts": (*H264, "-c:a", "mp2"),
    "avi": ("-c:v", "mpeg4", "-c:a", "mp3"),
    "flv": ("-c:v", "flv1", "-c:a", "mp3", "-ar", "44100"),
}


@pytest.fixture(scope="module", params=FILES)
def media(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("clips") / f"whole.{request.param}"
    return made(out, "-f", "lavfi", "-i", PICTURE, "-f", "lavfi", "-i", SOUND, *FILES[request.param])


def line(start: float, end: float) -> ManifestRow:
    return ManifestRow(video="0" * 20, url="x", source_id="x", start=start, end=end)


def clip(file: Path, start: float, end: float) -> MediaRow:
    return linked(file, **clipped(probe(file, LIMITS), line(start, end)))


def heard(file: Path, row: MediaRow) -> tuple[list[float], float, float]:
    """Seconds at which tones begin, the seconds of sound, and those that were filled or cut."""
    found = decode(track_of(row, [row.audio_tracks[0].stream], file), LIMITS)
    loud = np.abs(found.audio[:]) > 2000
    step = SAMPLE_RATE // 100
    blocks = loud[: len(loud) // step * step].reshape(-1, step).any(axis=1)
    begins = [float(at) / 100 for at in np.flatnonzero(np.diff(blocks.astype(int), prepend=0) == 1)]
    return begins, len(found.audio) / SAMPLE_RATE, found.filled + found.cut


def shown(file: Path, row: MediaRow) -> list[tuple[float, bool]]:
    """Seconds of each frame, and whether a scene begins with it."""
    settings = PictureSettings(interval=60, min_scene=0.5, step=0.01, scene_threshold=0.3, max_side=64, qscale=5)
    with opened(file, row.container) as container:
        decoder = Decoder(container, track_of(row, [row.video_stream], file))
        return [(found.time, found.cut) for found in candidates(Seen().frames(decoder), settings)]


def test_sound_and_pictures_of_a_clip_are_on_its_clock(media: Path) -> None:
    row = clip(media, 25.3, 31.5)
    tones, seconds, mended = heard(media, row)
    frames = shown(media, row)
    expected = [26.0 - 25.3, 28.0 - 25.3, 30.0 - 25.3]
    assert tones == pytest.approx(expected, abs=APART)
    assert [time for time, cut in frames if cut] == pytest.approx(expected, abs=APART)
    assert frames[0][0] == 0.0
    assert frames[-1][0] == pytest.approx(6.2, abs=0.05)
    assert max(time for time, _ in frames) < row.duration == pytest.approx(6.2, abs=APART)
    assert seconds == pytest.approx(6.2, abs=APART)
    assert mended == 0.0


def test_a_clip_of_the_whole_is_the_whole(media: Path) -> None:
    row = clip(media, 0.0, -1.0)
    whole = linked(media)
    assert shown(media, row) == shown(media, whole)
    assert heard(media, row)[0] == heard(media, whole)[0]


@pytest.mark.parametrize("kind", ["mp4", "mkv", "ts"])
def test_what_is_before_a_clip_is_not_decoded(kind: str, tmp_path: Path) -> None:
    file = made(tmp_path / f"long.{kind}", "-f", "lavfi", "-i", "testsrc2=s=64x64:r=25:d=120", *H264, "-g", "50", "-an")
    row = clip(file, 100.0, 104.0)
    with opened(file, row.container) as container:
        decoder = Decoder(container, track_of(row, [row.video_stream], file))
        decoded = sum(1 for _ in decoder.frames())
    assert 100 <= decoded < 400


def test_a_picture_that_stands_when_a_clip_starts_is_its_first_frame(tmp_path: Path) -> None:
    slides = made(tmp_path / "slides.mp4", "-f", "lavfi", "-i", "testsrc2=s=64x64:r=1/10:d=40", *H264)
    assert [time for time, _ in shown(slides, clip(slides, 14.0, 18.0))] == [0.0]
    assert [time for time, _ in shown(slides, clip(slides, 14.0, 25.0))] == [0.0, 6.0]


TONE, MOVING = ("-f", "lavfi", "-i", "sine=r=48000:d=12"), ("-f", "lavfi", "-i", "testsrc2=s=64x64:r=25:d=6")


@pytest.fixture(scope="module")
def patchy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its sound has a gap from 4 to 9 s, its picture begins at 6 s."""
    out = tmp_path_factory.mktemp("patchy") / "patchy.mkv"
    return made(out, *TONE, "-itsoffset", "6", *MOVING, *H264, "-af", "aselect='lt(t,4)+gt(t,9)'", "-c:a", "libopus")


def sampled(row: MediaRow) -> Row:
    stage = SampleFrames(SampleConfig(), context())
    return stage.guarded(Video(line(0.0, -1.0), [row]))


def test_a_gap_of_the_sound_that_holds_a_clip_is_silence_and_costs_no_picture(patchy: Path) -> None:
    row = clip(patchy, 5.0, 8.0)
    assert heard(patchy, row) == ([], 3.0, 0.0)
    assert sampled(row).error is None


def test_sound_that_begins_after_a_clip_is_silence(tmp_path: Path) -> None:
    file = made(tmp_path / "late.mp4", *MOVING, "-itsoffset", "2.5", *TONE, *H264, "-c:a", "aac")
    assert heard(file, clip(file, 0.0, 2.0)) == ([], 2.0, 0.0)


def test_a_picture_that_begins_after_a_clip_is_none_and_costs_no_sound(patchy: Path) -> None:
    row = clip(patchy, 0.0, 5.0)
    found = sampled(row)
    assert found.error is None
    assert found.dropped
    assert found.dropped.reason == "no_picture"
    assert heard(patchy, row)[0] == pytest.approx([0.0], abs=APART)


def test_a_clip_of_what_cannot_be_decoded_fails(tmp_path: Path) -> None:
    whole = made(tmp_path / "whole.mkv", *MOVING, *TONE, *H264, "-c:a", "flac")
    noise = made(tmp_path / "noise.mkv", "-i", whole, "-c", "copy", "-bsf", "noise=amount=1")
    row = clip(noise, 2.0, 5.0)
    with pytest.raises(VideoFailed, match="audio_undecodable"):
        heard(noise, row)
    failed = sampled(row).error
    assert failed
    assert failed.code == "picture_undecodable"


@pytest.mark.parametrize(("start", "end", "expected"), [(0.0, 2.0, [0.0]), (0.0, 7.0, [0.0, 2.4, 4.8])])
def test_keyframes_of_open_groups_are_in_order(tmp_path: Path, start: float, end: float, expected: list[float]) -> None:
    open_groups = ("-c:v", "libx264", "-x264-params", "open-gop=1:keyint=60:scenecut=0", "-bf", "3")
    file = made(tmp_path / "v.mp4", "-f", "lavfi", "-i", "testsrc2=s=64x64:r=25:d=10", *open_groups)
    row = clip(file, start, end)
    with opened(file, row.container) as container:
        decoder = Decoder(container, track_of(row, [row.video_stream], file), "NONKEY")
        times = [frame.pts / 1_000_000 for frame, _ in Seen().frames(decoder)]
    assert times == pytest.approx(expected, abs=0.05)


def test_cues_of_a_clip_are_shifted_and_cut(tmp_path: Path) -> None:
    srt = tmp_path / "all.srt"
    srt.write_text(
        "1\n00:00:02,000 --> 00:00:04,000\nbefore it\n\n2\n00:00:09,000 --> 00:00:11,000\nhalf inside\n\n"
        "3\n00:00:12,000 --> 00:00:13,000\nwithin\n\n4\n00:00:30,000 --> 00:00:31,000\nafter it\n"
    )
    file = made(tmp_path / "v.mkv", "-f", "lavfi", "-i", "testsrc2=s=64x64:r=5:d=40", "-i", srt, *H264, "-c:s", "srt")
    row = clip(file, 10.0, 20.0).model_copy(update={"subtitles": kept_track(srt)})
    for cues in tracks(row, files_at(MEDIA.name), LIMITS):
        words = [(word.text.strip(), word.start, word.end) for cue in cues for word in cue]
        assert [text for text, *_ in words] == ["inside", "within"]
        times = [time for _, start, end in words for time in (start, end)]
        assert times == pytest.approx([0.0, 1.0, 2.0, 3.0], abs=0.1)


def test_a_clip_outside_its_file_fails_and_one_that_leaves_it_is_cut() -> None:
    probed: dict[str, Any] = {"duration": 40.0, "origin": 1.4, "cut_off": False, "has_video": True, "video_end": 39.9}
    probed |= {"audio_tracks": [{"end": 20.0}], "warnings": []}
    for start, end in ((40.0, 50.0), (10.0, 10.0), (50.0, -1.0)):
        with pytest.raises(VideoFailed, match=r"clip_outside.*lasts 40 s"):
            clipped(probed, line(start, end))
    found = clipped(probed, line(30.0, 50.0))
    assert (found["duration"], found["video_end"], found["origin"]) == (10.0, 9.9, 31.4)
    assert (found["warnings"], found["has_audio"]) == (["clip_cut"], False)
