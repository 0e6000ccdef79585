"""Fetching from video sites with yt-dlp."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.base import VideoDropped, VideoFailed
from stages.download.fetch import Bounds, status_failure, with_retries
from storyloom.fs.url import redacted

GONE = re.compile(r"\bprivate\b|removed|unavailable|deleted|terminated|does not exist", re.IGNORECASE)
RESTRICTED = re.compile(r"sign in|log ?in|members?.only|confirm your age|your country|your location", re.IGNORECASE)
"""Messages of sites about restricted videos, which are not retried (our choice; yt-dlp has no code for it)."""


def from_site(url: str, folder: Path, bounds: Bounds, *, quality: str, max_duration: float) -> Path:
    """Fetch a site's video, without cookies, into an empty folder.

    Addresses are not checked here: listed sites are trusted.

    Args:
        url: Page of the video.
        folder: Folder for its file.
        bounds: Limits of the fetch.
        quality: yt-dlp's format selector.
        max_duration: Most seconds of the video.

    Returns:
        The file.

    Raises:
        VideoFailed: ``not_found``, ``forbidden``, ``live_stream``, ``site_failed``, ``connection_failed``,
            ``too_slow``, ``missing_package``, or as `status_failure` says.
        VideoDropped: ``too_long`` or ``too_large``.
    """
    import imageio_ffmpeg

    try:
        import yt_dlp
    except ModuleNotFoundError as missing:
        message = f"{redacted(url)} goes through yt-dlp, which is not installed: pip install 'storyloom[sites]'"
        raise VideoFailed("missing_package", message, retryable=True) from missing

    def check(info: dict[str, Any], *, incomplete: bool) -> None:  # noqa: ARG001 - yt-dlp passes it by name
        if info.get("is_live"):
            raise VideoFailed("live_stream", f"{redacted(url)} is still being broadcast", retryable=True)
        if (info.get("duration") or 0.0) > max_duration:
            raise VideoDropped("too_long", f"{info['duration']} s, over download.max_duration = {max_duration:g}")

    def progress(state: dict[str, Any]) -> None:
        bounds.check_size(max(state.get("total_bytes") or 0, state.get("downloaded_bytes") or 0))
        bounds.check_time()

    logger = logging.getLogger(__name__)
    logger.setLevel(logging.CRITICAL)  # yt-dlp's message of a failure goes into the row's error
    options = {
        "format": quality,
        "outtmpl": str(folder / "video.%(ext)s"),
        "noplaylist": True,
        "playlist_items": "1",
        "match_filter": check,
        "progress_hooks": [progress],
        "ffmpeg_location": imageio_ffmpeg.get_ffmpeg_exe(),
        "socket_timeout": bounds.timeout,
        "retries": 0,  # with_retries retries
        "cachedir": False,
        "quiet": True,
        "noprogress": True,
        "logger": logger,
    }

    def fetch() -> None:
        bounds.check_time()
        try:
            with yt_dlp.YoutubeDL(options) as downloader:
                downloader.extract_info(url)
        except yt_dlp.utils.YoutubeDLError as reason:
            raise _failure(url, reason) from reason

    folder.mkdir(exist_ok=True)
    with_retries(fetch, bounds)
    files = sorted(folder.iterdir())
    if len(files) != 1:
        raise VideoFailed("site_failed", f"yt-dlp left {len(files)} files for {redacted(url)}, expected one")
    bounds.check_size(files[0].stat().st_size)
    return files[0]


def _failure(url: str, error: BaseException) -> VideoFailed:
    from yt_dlp.networking.exceptions import HTTPError, TransportError

    reason = re.sub(r"^ERROR: ", "", str(error)).partition("; please report")[0]
    message = f"{redacted(url)}: {reason}"
    for cause in _causes(error):
        if isinstance(cause, HTTPError):
            return status_failure(cause.status, url)
        if isinstance(cause, TransportError):
            return VideoFailed("connection_failed", message, retryable=True)
    if RESTRICTED.search(reason):
        return VideoFailed("forbidden", message)
    return VideoFailed("not_found" if GONE.search(reason) else "site_failed", message)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error of yt-dlp and its causes, which its classes store under different names."""
    while error is not None:
        yield error
        wrapped = getattr(error, "exc_info", None)
        error = wrapped[1] if wrapped and wrapped[1] is not error else getattr(error, "cause", None) or error.__cause__
