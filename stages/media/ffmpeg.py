"""The ffmpeg program, which writes the subtitle tracks of media files: its location and its options."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from pathlib import Path

from stages.base import StageSetupError
from stages.media.forkserver import OWN_PATH
from stages.media.formats import OPTIONS, first_name
from stages.media.sandbox import Program

OLDEST = (7, 0)
"""The oldest release that the tests know."""

QUIET = ("-nostdin", "-hide_banner", "-loglevel", "error")

CLOCK = ("-map", "0:v?", "-map", "0:a?", "-c", "copy", "-f", "null", "-")
"""A second output that reads every picture and sound and writes nothing. In an MPEG transport stream, ffmpeg sets time
0 at the earliest stream that is read: without this output, that would be the first cue."""


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


def writing(media: Path, container: str, stream: str, form: str) -> Program:
    """The program that writes a stream of a media file to its standard output; it reads no other file.

    Args:
        media: The file.
        container: Its demuxer, as `download` found it; empty to have it found.
        stream: ffmpeg's specifier, e.g. ``s:0``.
        form: Name of the muxer.
    """
    known = ("-f", first_name(container)) if container else ()
    bounds = [part for name, value in OPTIONS.items() for part in (f"-{name}", value)]
    given = [*bounds, *known, "-threads", "1", "-i", f"file:{OWN_PATH}"]
    return Program(str(program()), (*QUIET, *given, "-map", f"0:{stream}", "-f", form, "pipe:", *CLOCK), media)


@functools.cache
def _version_of(executable: str) -> str:
    printed = subprocess.run([executable, "-version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    found = re.match(r"ffmpeg version (\S+)", printed)
    return found[1] if found else ""


def _release(version: str) -> tuple[int, int]:
    """Major and minor number; (0, 0) for a snapshot, whose age is unknown."""
    found = re.match(r"n?(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)
