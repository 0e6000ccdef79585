from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest

from stages.base import Context, StageSetupError, VideoFailed
from stages.download.probing import check, probe
from stages.download.settings import DownloadConfig
from stages.download.stage import Download
from stages.media.sandbox import Limits
from storyloom.fs.files import files_at

ROOT = Path(__file__).parents[3]
EDGE = ROOT.parent / "shared" / "data" / "edge"
NARRATED = ROOT / "demo" / "narrated.mp4"
LIMITS = Limits(seconds=60.0, memory=4 * 2**30)


def edge(name: str) -> Path:
    if not EDGE.is_dir():
        pytest.skip("the edge files in ../shared/data are not here")
    return EDGE / name


def made(path: Path, *arguments: str) -> Path:
    """A file made by ffmpeg."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *arguments, str(path)]
    subprocess.run(command, check=True)
    return path


def failure(path: Path) -> VideoFailed:
    with pytest.raises(VideoFailed) as failed:
        probe(path, LIMITS)
    return failed.value


def test_a_video_with_speech_is_described() -> None:
    found = probe(NARRATED, LIMITS)
    assert found["has_audio"] is True
    assert found["container"] == "mov,mp4,m4a,3gp,3g2,mj2"
    assert found["has_video"] is True
    assert found["duration"] > 1
    assert found["fps"] > 0
    assert found["video_codec"] == "h264"
    assert found["audio_codec"] == "aac"
    assert found["warnings"] == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nasa_noaudio.mp4", {"has_audio": False, "has_video": True, "audio_codec": "", "duration": 13.013}),
        ("nasa_silent_track.mp4", {"has_audio": True, "has_video": True}),
        ("audio_only_dts_speech.mp4", {"has_audio": True, "has_video": False, "audio_codec": "dts"}),
        ("nasa_audio_delayed_2.5s.mp4", {"duration": 15.556, "fps": 29.97}),
        ("nasa_start_offset10.ts", {"container": "mpegts", "duration": 13.12, "origin": 11.336}),
        ("unordered.mov", {"width": 50, "height": 50, "duration": 0.125}),
        ("no_duration.webm", {"duration": 4.938, "stated_duration": -1.0, "warnings": []}),
        ("nasa_rot.mp4", {"width": 270, "height": 480}),
        ("video_90.mov", {"width": 320, "height": 568}),
        ("video_1.mp4", {"width": 288, "height": 352}),
        ("SAR-2by3.mp4", {"width": 427, "height": 360}),
        ("nasa_odd_427x241.webm", {"width": 428, "height": 241}),
        ("av1_video.mkv", {"video_codec": "av1", "width": 640, "height": 360}),
        ("h265_10bits.mp4", {"video_codec": "hevc", "width": 200, "height": 200}),
        ("sample.avi", {"container": "avi", "video_codec": "mpeg4", "audio_codec": "mp3", "width": 960}),
        ("h264-mjpeg.mkv", {"video_codec": "h264", "width": 640, "warnings": []}),
        ("nasa_two_audio_eng_fra.mp4", {"has_audio": True, "warnings": ["several_audio_tracks"]}),
        ("multiple-aac-tracks.mp4", {"has_video": False, "warnings": ["several_audio_tracks"]}),
        ("mov_text.mp4", {"width": 300, "height": 200, "warnings": []}),
        ("webvtt.mkv", {"container": "matroska,webm", "width": 300}),
        ("nasa_webm_named.mp4", {"container": "matroska,webm", "video_codec": "vp9", "audio_codec": "opus"}),
        ("corrupted.mp4", {"has_video": True, "width": 1280, "height": 720}),
        ("video_with_failing_audio.mp4", {"has_video": True, "has_audio": True, "audio_codec": "mp3"}),
    ],
)
def test_odd_media_is_described_as_it_is_shown(name: str, expected: dict[str, Any]) -> None:
    found = probe(edge(name), LIMITS)
    assert {field: found[field] for field in expected} == expected


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("nasa_truncated_nomoov.mp4", "unreadable_media", "moov"),
        ("bad_video.mp4", "not_media", "a text"),
        ("random_bytes.mp4", "not_media", "c5 c6 6f 34"),
        ("zero_bytes.mp4", "not_media", "an empty file"),
        ("html_error_page.mp4", "not_media", "an HTML page"),
    ],
)
def test_what_is_no_media_says_what_it_is_instead(name: str, code: str, says: str) -> None:
    failed = failure(edge(name))
    assert (failed.code, failed.retryable) == (code, False)
    assert says in failed.message


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "an empty file"),
        (b"\xef\xbb\xbf\n <!DOCTYPE html>\n<title>x</title>", "an HTML page"),
        (b"<!-- moved --><html lang=fr></html>", "an HTML page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML document"),
        (b'{"error": "quota"}', "JSON"),
        ("Ce fichier n'est plus là. ".encode() * 300, "a text"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG picture"),
        (b"PK\x03\x04\x14\0", "a ZIP archive"),
        (b"\x1f\x8b\x08\0", "gzip data"),
    ],
)
def test_other_content_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "video.mp4"
    file.write_bytes(content)
    failed = failure(file)
    assert failed.code == "not_media"
    assert says in failed.message


@pytest.mark.parametrize("head", ["#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n", "ffconcat version 1.0\nfile "])
def test_a_playlist_does_not_lead_to_other_files(tmp_path: Path, head: str) -> None:
    playlist = tmp_path / "video.mp4"
    playlist.write_text(f"{head}{NARRATED}\n")
    failed = failure(playlist)
    assert failed.code == "not_media"
    assert "only names other files" in failed.message


def test_a_file_cut_before_its_index_says_so(tmp_path: Path) -> None:
    content = made(tmp_path / "whole.mp4", "-f", "lavfi", "-i", "testsrc=d=1:s=64x48", "-f", "mp4").read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(content[: content.index(b"moov") - 4])
    failed = failure(cut)
    assert failed.code == "unreadable_media"
    assert "cut short" in failed.message


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    cover = made(tmp_path / "cover.jpg", "-f", "lavfi", "-i", "testsrc=s=64x48", "-frames:v", "1")
    sound = ("-f", "lavfi", "-i", "sine=d=1", "-i", str(cover), "-map", "0", "-map", "1", "-c:v", "mjpeg")
    marked = made(tmp_path / "marked.m4a", *sound, "-disposition:v", "attached_pic", "-f", "mp4")
    unmarked = made(tmp_path / "unmarked.mkv", *sound)
    for file in (marked, unmarked):
        found = probe(file, LIMITS)
        assert (found["has_audio"], found["has_video"]) == (True, False)
        assert "width" not in found


def test_motion_jpeg_is_a_video(tmp_path: Path) -> None:
    file = made(tmp_path / "camera.mkv", "-f", "lavfi", "-i", "testsrc=d=1:s=64x48:r=10", "-c:v", "mjpeg")
    found = probe(file, LIMITS)
    assert (found["has_video"], found["video_codec"], found["fps"]) == (True, "mjpeg", 10.0)
    assert found["warnings"] == []


def test_subtitles_alone_are_not_enough(tmp_path: Path) -> None:
    subtitles = tmp_path / "words.srt"
    subtitles.write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n")
    failed = failure(made(tmp_path / "words.mkv", "-i", str(subtitles)))
    assert failed.code == "no_streams"
    assert "only subtitle" in failed.message


def test_a_picture_turned_and_with_oblong_pixels_has_its_shown_size(tmp_path: Path) -> None:
    flat = made(tmp_path / "flat.mp4", "-f", "lavfi", "-i", "testsrc=d=1:s=64x48,setsar=3/2")
    turned = made(tmp_path / "turned.mp4", "-display_rotation", "90", "-i", str(flat), "-c", "copy")
    found = probe(turned, LIMITS)
    assert (found["width"], found["height"]) == (48, 96)


def test_too_little_time_can_be_tried_again() -> None:
    with pytest.raises(VideoFailed) as failed:
        probe(NARRATED, Limits(seconds=0.001, memory=4 * 2**30))
    assert (failed.value.code, failed.value.retryable) == ("probe_timeout", True)


def test_titles_that_are_not_utf_8_do_not_matter(tmp_path: Path) -> None:
    titles = ("-metadata", "title=caf\udce9", "-metadata:s:v", "title=caf\udce9")  # Latin 1, as surrogateescape has it
    file = made(tmp_path / "old.mkv", "-f", "lavfi", "-i", "testsrc=d=1:s=64x48:r=10", *titles)
    assert b"caf\xe9" in file.read_bytes()
    found = probe(file, LIMITS)
    assert (found["has_video"], found["width"], found["warnings"]) == (True, 64, [])


def library(folder: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let children import other code by the name of the library."""
    (folder / "av.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(folder))


BROKEN = {
    "raise ImportError('libavformat.so.63: cannot open shared object file')": "libavformat.so.63",
    "__version__ = '20.0.0'\nclass FFmpegError(Exception): pass\ndef open(file): pass": "unexpected keyword argument",
    "version = '0.1'": "has no attribute",
}
"""What stands in the library's place, and what Python says of it."""


@pytest.mark.parametrize("code", BROKEN)
def test_a_library_that_cannot_be_called_is_not_the_video_s_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    library(tmp_path, code, monkeypatch)
    with pytest.raises(RuntimeError, match=BROKEN[code]) as broken:
        probe(NARRATED, LIMITS)
    assert not isinstance(broken.value, VideoFailed)


@pytest.mark.parametrize("code", BROKEN)
def test_a_library_that_cannot_be_called_ends_the_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    library(tmp_path, code, monkeypatch)
    check.cache_clear()
    with pytest.raises(StageSetupError, match=rf"av {version('av')} on Python .*{BROKEN[code]}.*pip install"):
        Download(DownloadConfig(), Context(seed=0, media=files_at(tmp_path))).setup()


def test_a_child_that_a_video_crashes_costs_that_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import os\n__version__ = '20.0.0'\nclass FFmpegError(Exception): pass\ndef open(*_, **__): os.abort()\n"
    library(tmp_path, code, monkeypatch)
    failed = failure(NARRATED)
    assert (failed.code, failed.retryable) == ("probe_crashed", True)  # of the file, the library or the machine
    assert "download.probe_memory" in failed.message


def test_the_child_prints_one_line_of_json_and_loads_no_model_of_rows() -> None:
    code = "import sys, stages.media.probe as p; p.inspect(p.Path(sys.argv[1])); print('pydantic' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code, str(NARRATED)], check=True, capture_output=True, cwd=ROOT)
    assert loaded.stdout.decode().strip() == "False"
    code = "import sys, stages.media.probe as p; p.run(sys.argv[1])"
    said = subprocess.run([sys.executable, "-c", code, str(NARRATED)], check=True, capture_output=True, cwd=ROOT)
    assert json.loads(said.stdout)["has_video"] is True
