"""yt-dlp as it is used here: every connection goes through the guard, no other program gets a URL, nothing is left."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import yt_dlp
from yt_dlp.downloader import get_suitable_downloader
from yt_dlp.downloader.dash import DashSegmentsFD
from yt_dlp.downloader.hls import HlsFD
from yt_dlp.downloader.http import HttpFD
from yt_dlp.downloader.ism import IsmFD
from yt_dlp.networking.exceptions import HTTPError

from stages.base import VideoDropped, VideoFailed
from stages.download.fetch import Bounds
from stages.download.guard import Guard, guarded
from stages.download.sites.extractors import Extractor
from stages.download.sites.failures import by_error, by_fault, causes, of_machine
from stages.download.sites.handler import CheckedRH, FtpRefused
from stages.download.sites.settings import SiteSettings
from stages.media.formats import DEMUXERS, PROTOCOLS
from storyloom.fs.url import redacted

NATIVE = (HttpFD, HlsFD, DashSegmentsFD, IsmFD)
"""yt-dlp's own downloaders, which connect through the session."""

NO_NETWORK = {"ffmpeg_i": ["-protocol_whitelist", PROTOCOLS, "-format_whitelist", ",".join(sorted(DEMUXERS))]}
"""Options of every input of ffmpeg, in yt-dlp's words: it joins picture and sound, must not connect by itself, which no
guard would see, and opens no playlist that comes instead."""


class Notes:
    """yt-dlp's logger, from which nothing goes to the terminal.

    Attributes:
        warnings: yt-dlp's, in which it says why a page has no video.
        refusals: Headers of the last answer with each status that is no success.
    """

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.refusals: dict[int, Mapping[str, str]] = {}

    def debug(self, message: str) -> None:
        """Ignore what yt-dlp is doing."""

    def warning(self, message: str) -> None:
        """Keep a warning, but none of yt-dlp's about itself: it names fields, which are no reasons."""
        if "there is an error in extractor" in message:
            return
        self.warnings.append(re.sub(r"^\[[^\]]*\] (?:[\w-]+: )?", "", message))

    def error(self, message: str) -> None:
        """Ignore an error's message: it is raised too."""


class Session(yt_dlp.YoutubeDL):  # type: ignore[misc]
    """yt-dlp for the pages of one site.

    Attributes:
        guard: Through which it connects.
        folder: For the files.
    """

    guard: Guard
    folder = Path()

    def prepare_filename(self, *args: Any, **kwargs: Any) -> str:
        """A name in the folder as it is spelled; in the paths of its own options yt-dlp expands ``$`` and ``%``."""
        name: str = super().prepare_filename(*args, **kwargs)
        return str(self.folder / name) if name else name

    def urlopen(self, request: Any) -> Any:
        """Connect, and keep what a refusal says: yt-dlp's downloaders do not pass it on."""
        try:
            return super().urlopen(request)
        except HTTPError as refused:
            self.params["logger"].refusals[refused.status] = refused.response.headers
            raise

    def build_request_director(self, _handlers: Any, _preferences: Any = None) -> Any:
        """Connect by `CheckedRH` only."""
        return super().build_request_director([partial(CheckedRH, guard=self.guard)])

    def get_info_extractor(self, ie_key: str) -> Any:
        """One of the site's extractors; another, such as the generic one, is not there even for those that name it."""
        if ie_key not in self._ies:
            raise KeyError(ie_key)
        return super().get_info_extractor(ie_key)

    def save_cookies(self) -> None:
        """Leave the user's file as it is: several workers read it at once."""

    def process_subtitles(self, *_: Any) -> None:
        """Choose no tracks here: `tracks.offered` does, afterwards."""

    def dl(self, name: str, info: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Fetch a file, but by none of the programs that connect by themselves."""
        if info.get("url") and get_suitable_downloader(info, self.params) not in NATIVE:
            message = f"its stream is sent by {info.get('protocol')}, which only another program could fetch"
            raise VideoFailed("scheme_refused", message)
        return super().dl(name, info, *args, **kwargs)


VAGUE = ("site_failed", "unavailable_video")
"""Codes of which the guard may know the cause."""


@contextmanager
def session(
    url: str, extractors: Sequence[Extractor], bounds: Bounds, settings: SiteSettings, options: Mapping[str, Any]
) -> Iterator[tuple[Session, Notes]]:
    """A session with a site; errors of yt-dlp inside the block become typed failures.

    Args:
        url: For messages.
        extractors: Those that may read the site's pages.
        bounds: Limits of the fetch.
        settings: How the site is asked.
        options: Further options of yt-dlp.

    Raises:
        VideoFailed: As `failures` says, or ``private_address``, ``unknown_host``, ``too_slow``, ``bad_cookies``.
        OSError, MemoryError: This machine failed.
    """
    notes = Notes()
    with guarded(bounds, allow_private=settings.allow_private, proxy=settings.proxy) as guard:
        try:
            with Session({**_options(settings, bounds, guard, notes), **options}, auto_init=False) as made:
                made.guard = guard
                for extractor in extractors:
                    made.add_info_extractor(extractor())
                yield made, notes
        except VideoFailed as failed:
            if guard.failure and failed.code in VAGUE:  # an extractor went on without what it did not get
                raise guard.failure from failed
            raise
        except VideoDropped:
            raise
        except Exception as reason:  # noqa: BLE001 - besides its own, yt-dlp lets through any of its code over what a site sent
            found = _typed(url, reason, guard, notes)
            raise found from (None if found is reason else reason)


def _typed(url: str, reason: Exception, guard: Guard, notes: Notes) -> BaseException:
    """What an exception that yt-dlp raises is: a failure of the video, or of this machine."""
    if own := of_machine(reason):
        return own
    if isinstance(reason, yt_dlp.cookies.CookieLoadError):
        return VideoFailed("bad_cookies", "download.site_cookies is no readable Netscape cookie file")
    if any(isinstance(cause, FtpRefused) for cause in causes(reason)):
        message = f"{redacted(url)}: the site redirected to an ftp:// address, which is not fetched"
        return VideoFailed("scheme_refused", message)
    if guard.failure:
        return guard.failure
    is_own = isinstance(reason, yt_dlp.utils.YoutubeDLError)
    return by_error(url, reason, notes.warnings, notes.refusals) if is_own else by_fault(url, reason)


def _options(settings: SiteSettings, bounds: Bounds, guard: Guard, notes: Notes) -> dict[str, Any]:
    import imageio_ffmpeg

    return {
        "format": settings.quality,
        "proxy": guard.url,
        "cookiefile": settings.cookies or None,
        "ratelimit": settings.rate or None,
        "sleep_interval_requests": settings.sleep,
        "sleep_interval_subtitles": settings.sleep,
        "extractor_args": {
            site: {k: list(v) for k, v in args.items()} for site, args in settings.extractor_args.items()
        },
        "writesubtitles": settings.subtitles != "none",  # some extractors list tracks only then
        "writeautomaticsub": settings.subtitles == "all",
        "noplaylist": True,
        "ignore_no_formats_error": True,  # the page's state says why, see failures.by_state
        "skip_unavailable_fragments": False,  # a hole in a video is no video
        "external_downloader": {"default": "native"},
        "external_downloader_args": NO_NETWORK,
        "postprocessor_args": NO_NETWORK,
        "ffmpeg_location": imageio_ffmpeg.get_ffmpeg_exe(),
        "socket_timeout": bounds.timeout,
        "retries": 0,  # with_retries retries
        "geo_bypass": False,  # no made-up address in a header
        "cachedir": False,
        "updatetime": False,
        "quiet": True,
        "noprogress": True,
        "color": {"stdout": "no_color", "stderr": "no_color"},
        "logger": notes,
    }


def progress_of(bounds: Bounds, track_bytes: int) -> Callable[[dict[str, Any]], None]:
    """A progress hook that keeps to the bounds; a subtitle track may have `track_bytes`."""

    def progress(state: dict[str, Any]) -> None:
        size = max(state.get("total_bytes") or 0, state.get("downloaded_bytes") or 0)
        if (state.get("info_dict") or {}).get("storyloom_track"):
            if size > track_bytes:
                raise TrackTooLarge
        else:
            bounds.check_size(size)
        bounds.check_time()

    return progress


class TrackTooLarge(Exception):
    """A subtitle track has too many bytes."""
