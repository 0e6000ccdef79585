"""What is a video and what is not: the one list of demuxers and decoders, in probe, decoders and the ffmpeg program."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import pytest

from stages.base import VideoFailed
from stages.download.probing import probe
from stages.media import ffmpeg, formats
from stages.media.sandbox import ChildFailed, Limits, child
from tests.stages.real_media import NARRATED, ROOT, decoded, made, shared

LIMITS = Limits(seconds=60.0, memory=4 * 2**30)
ZERO_WIDTH = "\u200b"

MPD = (
    '<?xml version="1.0" encoding="UTF-8"?><!-- {mark} --><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"'
    ' mediaPresentationDuration="PT60S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period>'
    '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1000" width="320" height="240">'
    "<BaseURL>{secret}</BaseURL></Representation></AdaptationSet></Period><!-- {junk} --></MPD>"
)
NSV = "NSVsVP61MP3 \t\t\t\t\x21   \t\t\t\t" + "." * 60_000
LISTS = {
    "dash": MPD.format(mark=ZERO_WIDTH, secret=NARRATED, junk=NSV),
    "dash behind an escape": MPD.format(mark="\x1b[0m", secret=NARRATED, junk=NSV),
    "hls": f"{ZERO_WIDTH}\n#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{NARRATED}\n#EXT-X-ENDLIST\n",
    "concat": f"ffconcat version 1.0\n#\x01\nfile {NARRATED}\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=\x01\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "asx": '\x01<asx version="3.0"><entry><ref href="mms://127.0.0.1/x"/></entry></asx>',
    "vobsub": "# VobSub index file, v7\n#\x01\ntimestamp: 00:00:00:000, filepos: 000000000\n",
    "imf": '<?xml version="1.0"?>\x01<CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016">',
    "text art": "\x1b[2J\x1b[1;1H\x1b[31mHello\x1b[0m\n" * 200,
    "microdvd": "{0}{25}Hello\x01\n{25}{50}World\n",
}


@pytest.mark.parametrize(
    ("name", "encoding"), [*((name, "utf-8") for name in LISTS), ("dash", "utf-8-sig"), ("hls", "utf-16")]
)
def test_a_text_that_names_or_draws_something_is_no_video(tmp_path: Path, name: str, encoding: str) -> None:
    file = tmp_path / "video.mp4"
    file.write_text(LISTS[name], encoding)
    with pytest.raises(VideoFailed) as failed:
        probe(file, LIMITS)
    assert failed.value.code == "not_media"
    with pytest.raises(ChildFailed), child(ffmpeg.writing(file, "", "v:0", "framecrc"), LIMITS) as out:
        assert out.read() == b""


@pytest.mark.parametrize("ending", ["nsv", "g722", "tty", "bin", "sln"])
def test_the_ending_of_a_name_makes_no_video_of_it(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"video.{ending}"
    file.write_bytes(b"a\x00b\x01c\xff" * 5000)
    with pytest.raises(VideoFailed) as failed:
        probe(file, LIMITS)
    assert failed.value.code == "not_media"


def test_the_number_in_a_name_does_not_lead_to_other_pictures(tmp_path: Path) -> None:
    made(tmp_path / "p%03d.png", "-f", "lavfi", "-i", "testsrc=d=1:s=64x48:r=5")
    pattern = tmp_path / "p%03d.ppm"
    made(tmp_path / "one.ppm", "-i", tmp_path / "p001.png").rename(pattern)
    with pytest.raises(VideoFailed) as failed:
        probe(pattern, LIMITS)
    assert failed.value.code == "not_media"


STILLS = ("png", "jpg", "gif", "bmp", "tiff", "ppm", "webp", "avif", "jp2", "tga", "sgi", "xbm", "pcx", "apng", "qoi")


@pytest.mark.parametrize("ending", STILLS)
def test_a_picture_alone_is_no_video(tmp_path: Path, ending: str) -> None:
    still = ["-f", "lavfi", "-i", "testsrc=s=64x48", "-frames:v", "1"]
    try:
        file = made(tmp_path / f"picture.{ending}", *still)
    except subprocess.CalledProcessError:
        pytest.skip(f"this ffmpeg writes no {ending}")
    with pytest.raises(VideoFailed) as failed:
        probe(file, LIMITS)
    assert failed.value.code == "not_media"


CONTAINERS = {
    "mp4": "-c:v libx264 -c:a aac",
    "mov": "-c:v mpeg4 -c:a pcm_s16le",
    "3gp": "-c:v mpeg4 -c:a aac",
    "mkv": "-c:v libx264 -c:a libopus",
    "webm": "-c:v libvpx -c:a libvorbis",
    "ts": "-c:v mpeg2video -c:a mp2",
    "m2ts": "-c:v libx264 -c:a ac3",
    "avi": "-c:v mpeg4 -c:a libmp3lame",
    "flv": "-c:v flv -c:a libmp3lame -ar 44100",
    "mpg": "-c:v mpeg1video -r 25 -c:a mp2",
    "vob": "-c:v mpeg2video -c:a ac3",
    "wmv": "-c:v wmv2 -c:a wmav2",
    "ogv": "-c:v libtheora -c:a libvorbis",
    "mxf": "-c:v mpeg2video -r 25 -c:a pcm_s16le -ar 48000",
    "dv": "-target pal-dv",
    "rm": "-c:v rv20 -s 176x144 -c:a ac3 -ar 44100",
    "nut": "-c:v ffv1 -c:a pcm_s16le",
    "ivf": "-c:v libvpx -an",
    "y4m": "-an -pix_fmt yuv420p",
    "obu": "-c:v libaom-av1 -cpu-used 8 -an",
    "mp3": "-vn -c:a libmp3lame",
    "m4a": "-vn -c:a aac",
    "aac": "-vn -c:a aac",
    "ac3": "-vn -c:a ac3",
    "dts": "-vn -c:a dca -strict -2",
    "flac": "-vn -c:a flac",
    "wav": "-vn -c:a pcm_s16le",
    "aiff": "-vn -c:a pcm_s16be",
    "caf": "-vn -c:a pcm_s16be",
    "au": "-vn -c:a pcm_s16be",
    "ogg": "-vn -c:a libvorbis",
    "opus": "-vn -c:a libopus",
    "tta": "-vn -c:a tta",
    "wv": "-vn -c:a wavpack",
    "amr": "-vn -c:a libopencore_amrnb -ar 8000 -ac 1",
}
"""What people have, by ending, and how ffmpeg makes it."""


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of moving picture and sound."""
    inputs = ["-f", "lavfi", "-i", "testsrc=d=1:s=64x48:r=10", "-f", "lavfi", "-i", "sine=d=1"]
    return made(tmp_path_factory.mktemp("raw") / "raw.nut", *inputs, "-c:v", "rawvideo", "-c:a", "pcm_s16le")


@pytest.mark.parametrize("ending", CONTAINERS)
def test_a_format_that_people_have_is_read(raw: Path, tmp_path: Path, ending: str) -> None:
    try:
        file = made(tmp_path / f"v.{ending}", "-i", raw, *CONTAINERS[ending].split())
    except subprocess.CalledProcessError:
        pytest.skip(f"this ffmpeg writes no {ending}")
    options = CONTAINERS[ending].split()
    found = probe(file, LIMITS)
    assert (found["has_video"], found["has_audio"]) == ("-vn" not in options, ending != "y4m" and "-an" not in options)
    assert formats.first_name(found["container"]) in formats.DEMUXERS
    if found["has_audio"]:
        assert 0.8 < len(decoded(file).audio) / 16_000 < 1.3


def test_the_lists_hold_names_that_ffmpeg_knows() -> None:
    import av

    assert {one for one in formats.DEMUXERS if not av.ContainerFormat(one).is_input} == set()
    program = imageio_ffmpeg.get_ffmpeg_exe()
    printed = subprocess.run([program, "-hide_banner", "-decoders"], capture_output=True, text=True, check=True).stdout
    assert formats.DECODERS - set(re.findall(r"^ [VAS]\S{5} (\S+)", printed, re.MULTILINE)) == set()


def test_a_stream_whose_decoder_is_not_on_the_list_is_not_read(raw: Path, tmp_path: Path) -> None:
    odd = made(tmp_path / "odd.nut", "-i", raw, "-c:v", "asv1", "-c:a", "pcm_s16le")
    found = probe(odd, LIMITS)
    assert (found["has_video"], found["has_audio"]) == (False, True)


def test_the_demuxer_that_was_found_is_the_one_that_reads_a_file_again(raw: Path, tmp_path: Path) -> None:
    video = made(tmp_path / "v.mkv", "-i", raw, "-c:v", "libx264", "-c:a", "aac")
    asked = ffmpeg.writing(video, "mov,mp4,m4a,3gp,3g2,mj2", "v:0", "framecrc")
    with pytest.raises(ChildFailed), child(asked, LIMITS) as out:
        assert out.read() == b""


def reference(video: bytes) -> bytes:
    """A QuickTime file whose samples are said to lie in another one, by absolute path."""
    alias = b"\0" * 10 + b"\x04demo".ljust(140, b"\0")
    path = str(NARRATED).encode()
    alias += (18).to_bytes(2, "big") + len(path).to_bytes(2, "big") + path + b"\0" * (len(path) % 2) + b"\xff\xff\0\0"
    found = video.index(b"url \0\0\0\1")
    changed = bytearray(video)
    entry = (12 + len(alias)).to_bytes(4, "big") + b"alis" + bytes(4) + alias
    grown = len(entry) - 12
    for box in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        at = changed.rindex(box, 0, found) - 4
        changed[at : at + 4] = (int.from_bytes(changed[at : at + 4], "big") + grown).to_bytes(4, "big")
    return bytes(changed[: found - 4]) + entry + bytes(changed[found + 8 :])


def test_a_reference_to_another_file_inside_a_container_is_not_followed(raw: Path, tmp_path: Path) -> None:
    whole = made(tmp_path / "whole.mov", "-i", raw, "-an", "-c:v", "mpeg4")
    file = tmp_path / "reference.mov"
    file.write_bytes(reference(whole.read_bytes()))
    found = probe(file, LIMITS)  # the samples are read from the file itself, whatever it says
    assert (found["width"], found["height"], found["duration"]) == (64, 48, 1.0)


def test_the_list_that_two_libraries_read_differently_is_refused(tmp_path: Path) -> None:
    script = shared("attack/dash_list.py")
    out = tmp_path / "out.nsv"
    subprocess.run([sys.executable, script, ROOT / "demo" / "narrated.mp4", out], check=True)
    with pytest.raises(VideoFailed) as failed:
        probe(out, LIMITS)
    assert failed.value.code == "not_media"
