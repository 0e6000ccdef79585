"""Which streams of a file are used: those that a viewer sees and hears."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stages.download.probing import probe
from tests.stages.real_media import LIMITS, NARRATED, made, shared

MOVING = ("-f", "lavfi", "-i", "testsrc=s=64x48:r=10:d=2")
RED = ("-f", "lavfi", "-i", "color=red:s=120x120:d=0.1:r=10")
TONE = ("-f", "lavfi", "-i", "sine=f=300:d=2")
OTHER_TONE = ("-f", "lavfi", "-i", "sine=f=900:d=2")


def first_sound(found: dict[str, Any]) -> tuple[int, str]:
    return found["audio_tracks"][0]["stream"], found["audio_tracks"][0]["reason"]


@pytest.mark.parametrize("still", ["mjpeg", "png", "libx264"])
def test_a_moving_picture_comes_before_a_still(tmp_path: Path, still: str) -> None:
    streams = (*RED, *MOVING, *TONE, "-map", "0", "-map", "1", "-map", "2")
    media = made(tmp_path / "v.mkv", *streams, "-c:v:0", still, "-c:v:1", "mpeg4")
    found = probe(media, LIMITS)
    assert (found["video_stream"], found["width"], found["height"]) == (1, 64, 48)


def test_a_slide_show_of_stills_comes_after_a_moving_picture(tmp_path: Path) -> None:
    slides = ("-f", "lavfi", "-i", "testsrc=s=120x120:r=1:d=4")
    media = made(tmp_path / "v.mkv", *slides, *MOVING, "-map", "0", "-map", "1", "-c:v:0", "mjpeg", "-c:v:1", "mpeg4")
    assert probe(media, LIMITS)["video_stream"] == 1


def test_a_track_without_a_decoder_is_passed_over(tmp_path: Path) -> None:
    media = made(
        tmp_path / "v.mkv",
        *MOVING,
        *TONE,
        "-map",
        "0",
        "-map",
        "1",
        "-map",
        "1",
        "-c:a:0",
        "pcm_s16le",
        "-c:a:1",
        "aac",
    )
    content = media.read_bytes()
    assert content.count(b"A_PCM/INT/LIT") == 1
    media.write_bytes(content.replace(b"A_PCM/INT/LIT", b"A_NOSUCHCODEC"))
    found = probe(media, LIMITS)
    assert first_sound(found) == (2, "only")
    assert found["audio_codec"] == "aac"
    assert found["warnings"] == ["unknown_audio_codec"]


@pytest.mark.parametrize(
    ("language", "default", "aside", "expected"),
    [
        ("", 0, "", (1, "default")),
        ("", 1, "", (2, "default")),
        ("en", 0, "", (2, "language")),
        ("fr", 1, "", (1, "language")),
        ("eng", 0, "", (2, "language")),
        ("de", 1, "", (2, "default")),
        ("en", 1, "comment", (1, "order")),
        ("en", 1, "visual_impaired", (1, "order")),
    ],
)
def test_the_sound_is_chosen_by_language_then_default_and_no_commentary(
    tmp_path: Path, language: str, default: int, aside: str, expected: tuple[int, str]
) -> None:
    """Track 1 is French, track 2 English; `default` and `aside` say which is marked so."""
    marks = ["default" if default == number else "0" for number in (0, 1)]
    marks[1] = aside or marks[1]
    media = made(
        tmp_path / "v.mkv",
        *(*MOVING, *TONE, *OTHER_TONE, "-map", "0", "-map", "1", "-map", "2", "-c:v", "mpeg4", "-c:a", "aac"),
        *("-metadata:s:a:0", "language=fre", "-metadata:s:a:1", "language=eng"),
        *("-disposition:a:0", marks[0], "-disposition:a:1", marks[1]),
    )
    found = probe(media, LIMITS, language)
    assert first_sound(found) == expected
    assert len(found["audio_tracks"]) == 2
    assert "several_audio_tracks" in found["warnings"]


def test_streams_of_files_from_the_field_are_the_right_ones() -> None:
    assert probe(shared("field/05-still-picture-first/in.mkv"), LIMITS)["video_stream"] == 1
    assert first_sound(probe(shared("field/06-first-track-without-decoder/in.mov"), LIMITS)) == (2, "only")
    assert first_sound(probe(shared("field/08-which-audio-track/in.mkv"), LIMITS, "en")) == (2, "language")


def test_a_plain_file_has_one_clock_and_no_warning() -> None:
    found = probe(NARRATED, LIMITS)
    assert (found["video_stream"], first_sound(found)) == (0, (1, "only"))
    assert (found["origin"], found["corrections"], found["warnings"]) == (0.0, [], [])
