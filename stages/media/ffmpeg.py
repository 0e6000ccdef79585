"""The ffmpeg program: which one runs, and what every child of it that decodes media has in common."""

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
"""The first release that decodes, filters and encodes in threads of their own, beside each other."""

QUIET = ("-nostdin", "-hide_banner", "-loglevel", "error")

ONE_THREAD = ("-filter_threads", "1", "-filter_complex_threads", "1")
"""Workers are many; a child that took every core would slow its neighbours."""

CLOCK = ("-map", "0:v?", "-map", "0:a?", "-c", "copy", "-f", "null", "-")
"""A second output that reads every picture and sound and writes nothing. In an MPEG transport stream, ffmpeg sets time
0 at the earliest stream that is read: without this, frames and sound would each have a clock of their own."""

TAIL_SECONDS = 2.0
"""A track that ends by less before the container's stated end is whole: containers round, and the last packet's
duration is often unknown (our choice)."""


@functools.cache
def program() -> Path:
    """The system's ffmpeg when it is new enough, otherwise the one that the package imageio-ffmpeg brings.

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
    """Why ffmpeg cannot use a kind of hardware, e.g. ``cuda``; empty when it can."""
    probe = ["-init_hw_device", kind, "-f", "lavfi", "-i", "nullsrc", "-frames:v", "1", "-f", "null", "-"]
    done = subprocess.run([program(), *QUIET, *probe], capture_output=True, text=True, check=False)  # noqa: S603
    lines = done.stderr.strip().splitlines()
    return (lines[0] if lines else f"status {done.returncode}") if done.returncode else ""


def source(media: Path, **options: Any) -> Any:
    """The media file as an input of ffmpeg-python: local reading only, decoded on one thread.

    One thread also makes damaged pictures come out the same in every run.

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
    """What a child's bad end means for its video: ``decode_timeout``, or the given code."""
    if failed.timed_out:
        message = f"decoding took over {limits.seconds:g} s; raise the stage's `seconds`, or leave the video out"
        return VideoFailed("decode_timeout", message, retryable=True)
    return VideoFailed(code, f"{failed}. If it speaks of memory, raise the stage's `memory`")


def ends_early(media: Path, decoded: float, stated: float, limits: Limits) -> bool:
    """Whether a track stopped before its time because the file is cut off.

    Tracks of a whole file may differ in length: sound that stops while the picture goes on is no fault. So a short
    track counts only when no picture or sound of the file has packets near the stated end.

    Args:
        media: The file.
        decoded: Seconds of the track that could be decoded.
        stated: Seconds the container states; below 0 when it does not, and then nothing can be said.
        limits: Bounds of the child that lists the packets.
    """
    if stated - decoded <= TAIL_SECONDS:
        return False
    return stated - last_packet(media, limits) > TAIL_SECONDS


def last_packet(media: Path, limits: Limits) -> float:
    """Where the last packet of any picture or sound ends, in seconds from the container's start; nothing is decoded."""
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
        pass  # where the listing broke off is where the file does
    return float(last)


@functools.cache
def _version_of(executable: str) -> str:
    printed = subprocess.run([executable, "-version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    found = re.match(r"ffmpeg version (\S+)", printed)
    return found[1] if found else ""


def _release(version: str) -> tuple[int, int]:
    """Major and minor number; (0, 0) for a snapshot, whose age cannot be told."""
    found = re.match(r"n?(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)
