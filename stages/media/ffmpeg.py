"""The ffmpeg program: its location, and the options of every child that decodes media."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

from stages.base import StageSetupError, VideoFailed
from stages.media.sandbox import ChildFailed, Limits, child

OLDEST = (7, 0)
"""The first release that decodes, filters and encodes in parallel threads."""

QUIET = ("-nostdin", "-hide_banner", "-loglevel", "error")

ONE_THREAD = ("-filter_threads", "1", "-filter_complex_threads", "1")
"""A machine has many workers; a child that used every core would slow the others."""

CLOCK = ("-map", "0:v?", "-map", "0:a?", "-c", "copy", "-f", "null", "-")
"""A second output that reads every picture and sound and writes nothing. In an MPEG transport stream, ffmpeg sets time
0 at the earliest stream that is read: without this output, frames and audio would have different clocks."""

TAIL_SECONDS = 2.0
"""A track that ends at most this many seconds before the container's stated end is complete: containers round, and the
last packet's duration is often unknown (our choice)."""


@functools.cache
def program() -> Path:
    """The system's ffmpeg when it is new enough, otherwise the one of the package imageio-ffmpeg.

    Raises:
        StageSetupError: There is neither.
    """
    system = shutil.which("ffmpeg")
    if system and _release(_version_of(system)) >= OLDEST:
        return Path(system)
    import imageio_ffmpeg

    needed = "an ffmpeg of at least {}.{}".format(*OLDEST)
    way_out = f"install {needed}, or a wheel of imageio-ffmpeg that holds one for this platform"
    try:
        bundled = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as missing:
        raise StageSetupError(f"there is no ffmpeg: {way_out}") from missing
    if _release(_version_of(bundled)) < OLDEST:
        raise StageSetupError(f"{bundled} is too old: {way_out}")
    return Path(bundled)


def version() -> str:
    """The program's version, e.g. ``5.1.9-0+deb12u1``."""
    return _version_of(str(program()))


def missing_device(kind: str) -> str:
    """The reason why ffmpeg cannot use a kind of hardware, e.g. ``cuda``; empty when it can."""
    probe = ["-init_hw_device", kind, "-f", "lavfi", "-i", "nullsrc", "-frames:v", "1", "-f", "null", "-"]
    done = subprocess.run([program(), *QUIET, *probe], capture_output=True, text=True, check=False)  # noqa: S603
    lines = done.stderr.strip().splitlines()
    return (lines[0] if lines else f"status {done.returncode}") if done.returncode else ""


def source(media: Path, **options: Any) -> Any:
    """The media file as an input of ffmpeg-python: local reading only, decoded on one thread.

    One thread also gives the same damaged pictures in every run.

    Args:
        media: The file.
        options: Further options of the input, e.g. ``skip_frame``.
    """
    import ffmpeg

    return ffmpeg.input(f"file:{media}", protocol_whitelist="file,pipe", threads=1, **options)


def command(*outputs: Any) -> list[str]:
    """The argument list that decodes into output nodes of ffmpeg-python, on the clock that all children share."""
    import ffmpeg

    merged = ffmpeg.merge_outputs(*outputs)
    return [*merged.compile(cmd=[str(program()), *QUIET, *ONE_THREAD]), *CLOCK]


def video_failed(failed: ChildFailed, code: str, limits: Limits) -> VideoFailed:
    """The failure of a video whose child failed: ``decode_timeout``, or the given code."""
    if failed.timed_out:
        message = f"decoding took over {limits.seconds:g} s; raise the stage's `seconds`, or leave the video out"
        return VideoFailed("decode_timeout", message, retryable=True)
    return VideoFailed(code, f"{failed}. If it speaks of memory, raise the stage's `memory`")


def ends_early(media: Path, decoded: float, stated: float, limits: Limits) -> bool:
    """Whether a track ends early because the file is truncated.

    Tracks of a complete file may differ in length, e.g. audio that ends before the picture. So a short track counts
    only when no picture or audio of the file has packets near the stated end.

    Args:
        media: The file.
        decoded: Seconds of the track that were decoded.
        stated: Seconds that the container states; below 0 when it states none, and then the answer is False.
        limits: Bounds of the child that lists the packets.
    """
    if stated - decoded <= TAIL_SECONDS:
        return False
    return stated - last_packet(media, limits) > TAIL_SECONDS


def last_packet(media: Path, limits: Limits) -> float:
    """End of the last packet of any picture or audio, in seconds from the container's start; nothing is decoded."""
    import ffmpeg

    tracks = source(media)
    listing = ffmpeg.output(tracks["v?"], tracks["a?"], "pipe:", c="copy", f="framecrc")
    ticks: dict[bytes, Fraction] = {}
    last = Fraction(0)
    try:
        with child(command(listing), limits) as lines:
            for line in lines:
                if tick := re.match(rb"#tb (\d+): (\d+)/(\d+)", line):
                    ticks[tick[1]] = Fraction(int(tick[2]), int(tick[3]))
                elif packet := re.match(rb"(\d+),\s*-?\d+,\s*(-?\d+),\s*(\d+),", line):
                    last = max(last, (int(packet[2]) + int(packet[3])) * ticks[packet[1]])
    except ChildFailed:
        pass  # the listing ends where the file is cut off
    return float(last)


@functools.cache
def _version_of(executable: str) -> str:
    printed = subprocess.run([executable, "-version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    found = re.match(r"ffmpeg version (\S+)", printed)
    return found[1] if found else ""


def _release(version: str) -> tuple[int, int]:
    """Major and minor number; (0, 0) for a snapshot, whose age is unknown."""
    found = re.match(r"n?(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)
