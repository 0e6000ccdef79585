"""Sound and pictures stay on one clock through every change of a file: a tone sounds whenever the picture changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.base import VideoFailed
from stages.download.probing import probe
from stages.media.clock import Clock
from stages.media.sound import SAMPLE_RATE
from tests.stages.real_media import LIMITS, cuts, decoded, made, shared

EVERY = 2.0
"""Seconds between changes of the picture."""

LENGTH = 12.0
"""Seconds of the whole."""

CUT = 5.0
"""Seconds at which files are put together."""

APART = 0.05
"""Seconds by which a tone and its picture, and both and the truth, may part."""

JOINT = 0.15
"""Seconds that a joint may add: encoders pad the sound, and a picture's last duration is not known."""

PICTURE = f"nullsrc=s=64x64:r=25:d={LENGTH},format=gray,geq=lum='if(mod(floor(T/{EVERY}),2),200,50)'"
SOUND = f"aevalsrc=0.5*sin(2*PI*880*t)*lt(mod(t\\,{EVERY})\\,0.2)*gt(t\\,1):d={LENGTH}:s=48000"

Options = tuple[str, ...]
H264: Options = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac")


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("clock") / "master.mkv"
    return made(out, "-f", "lavfi", "-i", PICTURE, "-f", "lavfi", "-i", SOUND, "-c:v", "ffv1", "-c:a", "pcm_s16le")


def part(master: Path, out: Path, start: float, end: float, *options: str) -> Path:
    return made(out, "-ss", str(start), "-t", str(end - start), "-i", master, *options)


def appended(out: Path, *parts: bytes) -> Path:
    out.write_bytes(b"".join(parts))
    return out


def tones(media: Path) -> list[float]:
    """Seconds at which tones begin."""
    loud = np.abs(decoded(media).audio[:]) > 2000
    step = SAMPLE_RATE // 100
    heard = loud[: len(loud) // step * step].reshape(-1, step).any(axis=1)
    return [float(at) / 100 for at in np.flatnonzero(np.diff(heard.astype(int), prepend=0) == 1)]


def assert_on_one_clock(media: Path, joints: int) -> None:
    expected = np.arange(EVERY, LENGTH, EVERY)
    seen, heard = cuts(media), tones(media)
    assert heard == pytest.approx(expected, abs=APART + JOINT * joints)
    assert seen == pytest.approx(heard, abs=APART)
    found = probe(media, LIMITS)
    assert found["duration"] == pytest.approx(LENGTH, abs=0.1 + JOINT * joints)
    assert ("clock_jumps" in found["warnings"]) == (joints > 0)


@pytest.mark.parametrize(
    "sound",
    [
        ("-c:a", "aac", "-ar", "22050"),
        ("-c:a", "aac", "-ac", "2"),
        ("-c:a", "mp2", "-ar", "32000"),
        ("-c:a", "ac3", "-ac", "6"),
    ],
    ids=["rate", "layout", "codec", "codec and layout"],
)
def test_words_stay_in_time_where_the_sound_changes_its_format(master: Path, tmp_path: Path, sound: Options) -> None:
    first = part(master, tmp_path / "a.ts", 0, CUT, *H264, "-ac", "1")
    offset = ("-output_ts_offset", str(CUT))
    second = part(master, tmp_path / "b.ts", CUT, LENGTH, *H264[:6], *sound, *offset)
    media = appended(tmp_path / "v.ts", first.read_bytes(), second.read_bytes())
    assert tones(media) == pytest.approx(np.arange(EVERY, LENGTH, EVERY), abs=APART)
    assert cuts(media) == pytest.approx(np.arange(EVERY, LENGTH, EVERY), abs=APART)


@pytest.mark.parametrize("picture", [("mpeg2video", "libx264"), ("libx264", "mpeg4")], ids=" to ".join)
def test_pictures_go_on_where_a_broadcast_changes_their_codec(
    master: Path, tmp_path: Path, picture: tuple[str, str]
) -> None:
    sound = ("-pix_fmt", "yuv420p", "-c:a", "aac")
    first = part(master, tmp_path / "a.ts", 0, CUT, "-c:v", picture[0], *sound)
    second = part(master, tmp_path / "b.ts", CUT, LENGTH, "-c:v", picture[1], *sound, "-output_ts_offset", str(CUT))
    media = appended(tmp_path / "v.ts", first.read_bytes(), second.read_bytes())
    assert cuts(media) == pytest.approx(np.arange(EVERY, LENGTH, EVERY), abs=APART + JOINT)
    assert tones(media) == pytest.approx(np.arange(EVERY, LENGTH, EVERY), abs=APART + JOINT)


def test_a_programme_goes_on_where_it_changes_its_streams(master: Path, tmp_path: Path) -> None:
    first = part(master, tmp_path / "a.ts", 0, CUT, *H264)
    moved = ("-output_ts_offset", str(CUT), "-mpegts_start_pid", "0x200")
    second = part(master, tmp_path / "b.ts", CUT, LENGTH, *H264, *moved)
    media = appended(tmp_path / "v.ts", first.read_bytes(), second.read_bytes())
    assert cuts(media) == pytest.approx(np.arange(EVERY, LENGTH, EVERY), abs=APART + JOINT)
    assert tones(media) == pytest.approx(cuts(media), abs=APART)
    found = probe(media, LIMITS)
    assert (found["video_followers"], len(found["audio_tracks"])) == ([2], 1)


@pytest.mark.parametrize("offsets", [(0, 50_000), (0, -20), (0, -0.9), (0, -0.3), (0, 1_000, 0)], ids=str)
def test_a_clock_that_jumps_is_put_right(master: Path, tmp_path: Path, offsets: tuple[float, ...]) -> None:
    bounds = np.linspace(0, LENGTH, len(offsets) + 1)
    parts = [
        part(master, tmp_path / f"{i}.ts", start, end, *H264, "-output_ts_offset", str(100 + start + offset))
        for i, (start, end, offset) in enumerate(zip(bounds[:-1], bounds[1:], offsets, strict=True))
    ]
    media = appended(tmp_path / "v.ts", *(one.read_bytes() for one in parts))
    assert_on_one_clock(media, joints=len(offsets) - 1)


@pytest.mark.parametrize(
    ("suffix", "options", "skipped"),
    [
        ("flv", ("-c:v", "flv", "-c:a", "mp3", "-ar", "44100"), 0),
        ("wmv", ("-c:v", "wmv2", "-c:a", "wmav2"), 0),
        ("flv", ("-c:v", "flv", "-c:a", "mp3", "-ar", "44100"), 13),  # the tags alone: a recorder that reconnected
        ("webm", ("-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"), 0),
        ("mkv", H264, 0),
        ("ts", H264, 0),
        ("mpg", ("-c:v", "mpeg1video", "-c:a", "mp2"), 0),
    ],
)
def test_a_clock_that_restarts_goes_on(
    master: Path, tmp_path: Path, suffix: str, options: Options, skipped: int
) -> None:
    first, second = (
        part(master, tmp_path / f"{start}.{suffix}", start, end, *options) for start, end in ((0, CUT), (CUT, LENGTH))
    )
    media = appended(tmp_path / f"v.{suffix}", first.read_bytes(), second.read_bytes()[skipped:])
    assert_on_one_clock(media, joints=1)


@pytest.mark.parametrize("suffix", ["webm", "mkv"])
def test_three_recordings_in_one_file_are_one_video(master: Path, tmp_path: Path, suffix: str) -> None:
    """Each with codecs of its own, where the format allows it."""
    codecs = [("libvpx", "libopus"), ("libvpx-vp9", "libvorbis"), ("libvpx", "libopus")]
    if suffix == "mkv":
        codecs = [("libx264", "aac"), ("mpeg4", "libmp3lame"), ("libx264", "pcm_s16le")]
    parts = [
        part(master, tmp_path / f"{i}.{suffix}", 4 * i, 4 * i + 4, "-c:v", picture, "-c:a", sound)
        for i, (picture, sound) in enumerate(codecs)
    ]
    media = appended(tmp_path / f"v.{suffix}", *(one.read_bytes() for one in parts))
    assert_on_one_clock(media, joints=2)


def test_an_edit_list_moves_sound_and_picture_alike(master: Path, tmp_path: Path) -> None:
    whole = part(master, tmp_path / "whole.mp4", 0, LENGTH, *H264, "-g", "250")
    media = made(tmp_path / "v.mp4", "-ss", "3", "-i", whole, "-c", "copy")
    assert tones(media) == pytest.approx([1, 3, 5, 7], abs=APART)
    assert cuts(media) == pytest.approx([1, 3, 5, 7], abs=APART)


def test_a_gap_of_hours_in_sound_and_picture_is_not_decoded(master: Path, tmp_path: Path) -> None:
    gap = f"'PTS+gte(T,{CUT})*3*3600/TB'"
    encoded = ("-c:v", "mpeg4", "-c:a", "pcm_s16le", "-fps_mode", "passthrough", "-bsf:a", "null")
    media = made(tmp_path / "v.mkv", "-i", master, "-vf", f"setpts={gap}", "-af", f"asetpts={gap}", *encoded)
    assert_on_one_clock(media, joints=1)


def test_a_gap_that_the_picture_fills_is_silence(master: Path, tmp_path: Path) -> None:
    gap = "asetpts='PTS+gte(T,5)*20/TB'"
    picture = ("-f", "lavfi", "-i", "color=s=64x64:r=5:d=32")
    media = made(
        tmp_path / "v.mkv", *picture, "-i", master, "-map", "0:v", "-map", "1:a", "-af", gap, "-c:a", "pcm_s16le"
    )
    assert tones(media) == pytest.approx([2, 4, 26, 28, 30], abs=APART)
    assert decoded(media).filled == pytest.approx(20, abs=0.1)


def test_the_last_picture_is_seen_however_long_it_stays(tmp_path: Path) -> None:
    slides = "testsrc=s=64x64:r=1:d=5,setpts='(4*N-2*gte(N,3))/TB/1'"
    options = ("-fps_mode", "vfr", "-c:v", "libx264", "-bf", "2", "-c:a", "aac")
    media = made(tmp_path / "v.mp4", "-f", "lavfi", "-i", slides, "-f", "lavfi", "-i", "anullsrc=d=22", *options)
    found = probe(media, LIMITS)
    assert found["duration"] == pytest.approx(22, abs=0.1)
    assert found["longest_picture"] == pytest.approx(8, abs=0.1)


def test_a_stray_cue_does_not_make_a_video_long(master: Path, tmp_path: Path) -> None:
    (tmp_path / "s.srt").write_text(
        "1\n00:00:01,000 --> 00:00:02,000\nhere\n\n2\n10:00:00,000 --> 10:00:01,000\nthere\n"
    )
    media = made(tmp_path / "v.mkv", "-i", master, "-i", tmp_path / "s.srt", *H264)
    found = probe(media, LIMITS)
    assert found["duration"] == pytest.approx(LENGTH, abs=0.1)
    assert found["stated_duration"] > 36_000
    assert not found["cut_off"]


@pytest.mark.parametrize("name", ["gap3h.mkv", "gap20x3h.mkv"])
def test_an_attackers_gaps_are_not_filled(name: str) -> None:
    audio = decoded(shared(f"attack/{name}")).audio
    assert len(audio) / SAMPLE_RATE < 10


@pytest.mark.parametrize(
    ("name", "duration"),
    [
        ("01-audio-format-changes/in.ts", 14.7),
        ("03-timestamp-jump/in.ts", 14.7),
        ("04-flv-time-restarts/in.flv", 14.8),
        ("24-last-picture-of-vfr/in.mp4", 26.88),
        ("25-subtitle-stream-outlasts/in.mkv", 14.76),
    ],
)
def test_the_length_of_a_file_from_the_field_is_its_own(name: str, duration: float) -> None:
    media = shared(f"field/{name}")
    assert probe(media, LIMITS)["duration"] == pytest.approx(duration, abs=0.12)
    assert len(decoded(media).audio) / SAMPLE_RATE == pytest.approx(duration, abs=0.12)


def test_streams_that_jump_together_stay_in_step() -> None:
    clock = Clock()
    for number in range(100):
        clock.add(0, number * 0.04, 0.04)
        clock.add(1, number * 0.04, 0.04)
    clock.add(1, 4.0, 0.3)  # the sound goes on for longer
    for number in range(100):
        clock.add(0, 500 + number * 0.04, 0.04)
        clock.add(1, 500 + number * 0.04, 0.04)
    assert [(one.stream, one.packet) for one in clock.corrections()] == [(0, 100), (1, 101)]
    assert len({one.offset for one in clock.corrections()}) == 1
    assert clock.corrections()[0].offset == pytest.approx(4.3 - 500, abs=0.01)


def test_a_single_wrong_time_is_passed_over() -> None:
    clock = Clock()
    for number in range(100):
        clock.add(0, 90_000.0 if number == 50 else number * 0.04, 0.04)
    assert [one.packet for one in clock.corrections()] == [50, 51]
    assert clock.corrections()[-1].offset == 0.0


def test_what_the_probe_cannot_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "v.mkv").write_bytes(b"\x1a\x45\xdf\xa3" + bytes(100))
    with pytest.raises(VideoFailed, match="unreadable_media"):
        probe(tmp_path / "v.mkv", LIMITS)
