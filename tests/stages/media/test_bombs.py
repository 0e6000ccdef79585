"""Small files that unpack to much: each ends in time, within its memory, as a row or a typed failure."""

from __future__ import annotations

import errno
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.base import VideoFailed
from stages.download.probing import probe
from stages.media.audio import decode
from stages.media.decoder import track_of, video_failed
from stages.media.forkserver import DISK
from stages.media.sandbox import ChildFailed, Limits, Program, child
from stages.sample.stage import SampleConfig, SampleFrames
from tests.stages.real_media import ROOT, context, decoded, linked, made, run

LIMITS = Limits(seconds=20.0, memory=2**30)
SECONDS = 45.0
"""Most that any of them takes, on a busy machine (our choice)."""

TONE = ("-f", "lavfi", "-i", "sine=d=1:r=8000")
PICTURE = ("-f", "lavfi", "-i", "testsrc=d=1:s=64x48:r=5")


def patched(file: Path, change: Callable[[bytearray], None]) -> Path:
    content = bytearray(file.read_bytes())
    change(content)
    file.write_bytes(content)
    return file


def wav(folder: Path, rate: int, channels: int) -> Path:
    """A second of sound at 8 kHz that claims to be something else."""

    def change(content: bytearray) -> None:
        at = content.index(b"fmt ") + 10
        content[at : at + 6] = struct.pack("<HI", channels, rate)

    return patched(made(folder / "v.wav", *TONE, "-c:a", "pcm_u8"), change)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def many_streams(folder: Path) -> Path:
    """Ten thousand tracks."""
    whole = made(folder / "v.mp4", *TONE, "-c:a", "aac").read_bytes()
    moov = whole.index(b"moov") - 4
    trak = whole.index(b"trak", moov) - 4
    size = int.from_bytes(whole[trak : trak + 4], "big")
    (folder / "v.mp4").write_bytes(
        whole[:moov] + box(b"moov", whole[moov + 8 : trak] + whole[trak : trak + size] * 10_000)
    )
    return folder / "v.mp4"


def long_tags(folder: Path) -> Path:
    """A title of 10 MB."""
    (folder / "tags.txt").write_text(";FFMETADATA1\ntitle=" + "x" * 10_000_000 + "\n")
    return made(folder / "v.mkv", *TONE, "-i", folder / "tags.txt", "-map_metadata", "1", "-c:a", "flac")


def deep_atoms(folder: Path) -> Path:
    """Boxes in boxes, 20,000 deep."""
    content = made(folder / "v.mp4", *TONE, "-c:a", "aac").read_bytes()
    nested = b"".join(struct.pack(">I", 8 * (20_000 - level)) + b"udta" for level in range(20_000))
    moov = content.index(b"moov") - 4
    (folder / "v.mp4").write_bytes(content[:moov] + box(b"moov", nested + content[moov + 8 :]))
    return folder / "v.mp4"


def deep_elements(folder: Path) -> Path:
    """Elements in elements, 20,000 deep, each of unknown size."""
    head = made(folder / "v.mkv", *TONE, "-c:a", "flac").read_bytes()
    start = head.index(bytes.fromhex("18538067"))
    (folder / "v.mkv").write_bytes(head[:start] + bytes.fromhex("1853806701ffffffffffffff") * 20_000 + head[start:])
    return folder / "v.mkv"


def huge_frame(folder: Path) -> Path:
    """An uncompressed picture of 60,000 by 60,000, as it says."""

    def change(content: bytearray) -> None:
        at = content.index(b"strf") + 12
        content[at : at + 8] = struct.pack("<ii", 60_000, 60_000)

    return patched(made(folder / "v.avi", *PICTURE, "-c:v", "rawvideo", "-pix_fmt", "bgr24"), change)


def png(side: int) -> bytes:
    """A black picture of one bit a pixel."""
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(side // 8 + 1)) for _ in range(side)) + packer.flush()
    parts = (b"IHDR" + struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0), b"IDAT" + rows, b"IEND")
    chunks = (struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def huge_cover(folder: Path) -> Path:
    """A cover picture that unpacks to 144 million pixels."""
    (folder / "cover.png").write_bytes(png(12_000))
    tagged = ("-map", "0", "-map", "1", "-c:v", "copy", "-disposition:v", "attached_pic")
    return made(folder / "v.mp3", *TONE, "-i", folder / "cover.png", *tagged, "-c:a", "libmp3lame", "-ar", "8000")


def huge_pictures(folder: Path) -> Path:
    """A picture track of them."""
    (folder / "0.png").write_bytes(png(12_000))
    shutil.copyfile(folder / "0.png", folder / "1.png")
    return made(folder / "v.mkv", "-framerate", "1", "-i", folder / "%d.png", "-c:v", "copy")


def many_samples(folder: Path) -> Path:
    """A table that says four billion samples of one size."""

    def change(content: bytearray) -> None:
        at = content.index(b"stsz") + 8
        content[at : at + 8] = struct.pack(">II", 1, 2**32 - 1)

    return patched(made(folder / "v.mp4", *TONE, "-c:a", "aac"), change)


def endless(folder: Path) -> Path:
    """Ten hours of nothing."""
    return made(folder / "v.mkv", "-f", "lavfi", "-i", "anullsrc=r=100:cl=mono", "-t", "36000", "-c:a", "pcm_u8")


def far_apart(folder: Path) -> Path:
    """A second of sound, a gap of nine minutes, another second."""
    return made(folder / "v.mkv", *TONE, "-af", "asetpts='if(gte(T,0.5),PTS+540/TB,PTS)'", "-c:a", "pcm_s16le")


def outcome(file: Path) -> str:
    """What becomes of a file: the code of its first failure, or what it holds."""
    try:
        found = probe(file, LIMITS)
        if found["has_audio"] and found["duration"] < 3600:
            row = linked(file)
            decode(track_of(row, [row.audio_tracks[0].stream], file), LIMITS)
    except VideoFailed as failed:
        return failed.code
    if found["has_video"]:
        frames = run(SampleFrames(SampleConfig(seconds=20, memory=2**30), context()), file)
        return frames.error.code if frames.error else "picture"
    return "sound"


BOMBS: dict[str, tuple[Callable[[Path], Path], set[str]]] = {
    "4 Hz": (lambda folder: wav(folder, 4, 1), {"sound"}),
    "4 GHz": (lambda folder: wav(folder, 2**32 - 1, 1), {"no_streams", "not_media", "audio_undecodable"}),
    "65,535 channels": (lambda folder: wav(folder, 8000, 65_535), {"no_streams", "not_media", "audio_undecodable"}),
    "streams": (many_streams, {"sound", "unreadable_media"}),
    "tags": (long_tags, {"sound"}),
    "atoms": (deep_atoms, {"sound", "unreadable_media", "no_streams"}),
    "elements": (deep_elements, {"sound", "unreadable_media"}),
    "frame": (huge_frame, {"picture_undecodable", "no_streams", "probe_crashed"}),
    "cover": (huge_cover, {"sound"}),
    "pictures": (huge_pictures, {"picture", "picture_undecodable", "no_streams", "probe_crashed"}),
    "table": (many_samples, {"sound", "unreadable_media", "audio_undecodable", "no_streams"}),
    "ten hours": (endless, {"sound"}),
    "gap": (far_apart, {"sound"}),
}
"""How each is made, and what may become of it: libraries differ."""


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_in_time_as_what_it_is(tmp_path: Path, name: str) -> None:
    make, expected = BOMBS[name]
    file = make(tmp_path)
    start = time.monotonic()
    assert outcome(file) in expected
    assert time.monotonic() - start < SECONDS


def test_silence_in_a_gap_takes_no_room_on_the_disk(tmp_path: Path) -> None:
    found = decoded(far_apart(tmp_path))
    assert len(found.audio) / 16_000 == pytest.approx(541, abs=0.1)
    assert found.audio._file.seek(0) == 0
    assert Path(f"/dev/fd/{found.audio._file.fileno()}").stat().st_blocks * 512 < 200_000
    assert not found.audio[16_000 : 540 * 16_000].any()
    assert abs(found.audio[int(540.6 * 16_000) : int(540.9 * 16_000)]).max() > 1000


def test_a_child_cannot_write_more_than_it_is_given() -> None:
    with tempfile.TemporaryFile() as file:
        program = Program("tests.stages.media.misbehaving", ("fill",), extra=file.fileno(), written=1000)
        with pytest.raises(ChildFailed) as failed, child(program, LIMITS) as output:
            output.read()
    assert failed.value.status == DISK + errno.EFBIG


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_the_machine_s_fault_and_named(number: int) -> None:
    failed = ChildFailed("stages.media.sound", DISK + number, "", timed_out=False)
    with pytest.raises(OSError, match="/") as raised:
        video_failed(failed, "audio_undecodable", LIMITS)
    assert raised.value.errno == number


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS])
def test_a_crash_is_not_said_to_be_an_undecodable_track(number: int) -> None:
    failed = video_failed(ChildFailed("stages.media.sound", -number, "", timed_out=False), "audio_undecodable", LIMITS)
    assert (failed.code, failed.retryable) == ("decoder_crashed", True)
    assert f"stages.media.sound ended with status {-number}" in failed.message
    assert "raise the stage's `memory`" in failed.message


def test_sound_that_fills_the_disk_is_not_the_video_s_fault(tmp_path: Path) -> None:
    code = (
        "from tests.stages.real_media import *; import sys, tempfile; row = linked(NARRATED);"
        "tempfile.tempdir = sys.argv[1]; decode(stream_of(row, [row.audio_tracks[0].stream], NARRATED), LIMITS)"
    )
    small = f"mount -t tmpfs -o size=600k none {tmp_path} && exec {sys.executable} -c '{code}' {tmp_path}"
    if not shutil.which("unshare") or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("this machine gives no small disk to try on")
    said = subprocess.run(["unshare", "-rm", "sh", "-c", small], capture_output=True, text=True, cwd=ROOT, check=False)
    assert f"OSError: [Errno {errno.ENOSPC}] No space left on device: '{tmp_path}'" in said.stderr
