"""Running `stages.media.probe` in a child process, and telling a bad file from a broken library."""

from __future__ import annotations

import functools
import json
import platform
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from schemas.languages import container_codes
from stages.base import StageSetupError, VideoFailed
from stages.media import probe as program
from stages.media.forkserver import BROKEN, OWN_PATH
from stages.media.sandbox import ChildFailed, Limits, Program, child

TINY_VIDEO = b"YUV4MPEG2 W2 H2 F25:1 C420jpeg\nFRAME\n" + bytes(6)
"""A video of one black picture, uncompressed."""

TESTED = "av>=18.1,<19"
"""Releases of the library that the tests ran with, in pip's words."""


def probe(file: Path, limits: Limits, language: str = "") -> dict[str, Any]:
    """The output of `stages.media.probe` for a file.

    Args:
        file: The media file.
        limits: Bounds of the child.
        language: BCP 47 code of the speech, whose audio track is preferred; empty if unknown.

    Raises:
        VideoFailed: ``not_media``, ``unreadable_media``, ``no_streams``, ``probe_timeout`` or ``probe_crashed``.
        RuntimeError: The library behind it cannot be imported or called.
    """
    try:
        found = _run(file, limits, *container_codes(language))
    except ChildFailed as failed:
        if failed.timed_out:
            message = f"looking at the file took over {limits.seconds:g} s (download.probe_seconds)"
            raise VideoFailed("probe_timeout", message, retryable=True) from failed
        if failed.status == BROKEN:
            raise RuntimeError(_unusable(failed)) from failed
        message = f"looking at the file failed, perhaps for want of memory (download.probe_memory): {failed}"
        raise VideoFailed("probe_crashed", message, retryable=True) from failed
    if "code" in found:
        raise VideoFailed(found["code"], found["message"])
    return found


@functools.cache
def check(limits: Limits) -> None:
    """Check that the child can probe a tiny video.

    Raises:
        StageSetupError: It cannot, so every video would fail.
    """
    try:
        with tempfile.NamedTemporaryFile() as file:
            file.write(TINY_VIDEO)
            file.flush()
            found = _run(Path(file.name), limits)
    except ChildFailed as failed:
        raise StageSetupError(_unusable(failed)) from failed
    if not found.get("has_video"):
        raise StageSetupError(f"{_library()} does not know a video when it sees one: {found}; reinstall it")


def _run(file: Path, limits: Limits, *languages: str) -> dict[str, Any]:
    with child(Program(program.__name__, (OWN_PATH, *languages), file), limits) as output:
        found: dict[str, Any] = json.loads(output.read() or b"{}")
    return found


def _unusable(failed: ChildFailed) -> str:
    lines = failed.stderr.strip().splitlines()
    return (
        f"{_library()} cannot read videos: {lines[-1] if lines else failed}. Install a release that does (pip install "
        f"'{TESTED}'); if it speaks of memory or of mapping, raise download.probe_memory"
    )


def _library() -> str:
    try:
        found = version("av")
    except PackageNotFoundError:
        found = "(not installed)"
    return f"av {found} on Python {platform.python_version()}"
