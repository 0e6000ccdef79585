"""Fetching a video from its page on a site: the media, the subtitle tracks, and what the page says."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from schemas.media import SitePage
from stages.base import VideoDropped, VideoFailed
from stages.download.fetch import Bounds, with_retries
from stages.download.sites.extractors import Extractor, extractors_of, is_list
from stages.download.sites.failures import LATER, by_state, of_machine
from stages.download.sites.page import Info, page_of
from stages.download.sites.tracks import Offer, offered
from stages.media.subtitles.tracks import MAX_BYTES
from storyloom.fs.url import redacted

if TYPE_CHECKING:
    from stages.download.sites.session import Session
    from stages.download.sites.settings import SiteSettings

T = TypeVar("T")


@dataclass(frozen=True)
class SiteVideo:
    """A video of a site.

    Attributes:
        file: Its media file; None where only the page was asked for.
        page: What the page says, its tracks not yet filled in.
        tracks: The subtitle tracks, each with its file, the likeliest first.
        problems: Warnings.
    """

    file: Path | None
    page: SitePage
    tracks: list[tuple[Offer, Path]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def from_site(
    url: str, folder: Path, bounds: Bounds, settings: SiteSettings, language: str = "", *, media: bool = True
) -> SiteVideo:
    """Fetch a site's video into an empty folder.

    Args:
        url: Page of the video.
        folder: Folder for its files.
        bounds: Limits of the fetch.
        settings: How the site is asked.
        language: BCP 47 code of the speech, as the manifest gives it; empty if unknown.
        media: Whether the media is fetched too, not only the page and the subtitles.

    Raises:
        VideoFailed: As `sites.failures` and `sites.session` say, ``several_videos``, ``list_not_expanded``,
            ``site_unsupported`` or ``missing_package``.
        VideoDropped: ``too_long`` or ``too_large``.
    """
    extractors = site_extractors(url)
    if is_list(url):
        from stages.download.sites.lists import listing

        listing(url, bounds, settings, 1)  # why it could not be read when the run was planned, if it still cannot
        message = f"{redacted(url)} is a list of videos that could not be read when the run was planned; run again"
        raise VideoFailed("list_not_expanded", message, retryable=True)

    def attempt() -> SiteVideo:
        if folder.exists():  # what an earlier attempt left may be of another format, or have changed
            shutil.rmtree(folder)
        folder.mkdir()
        return _fetched(url, extractors, folder, bounds, settings, language, media=media)

    return tried(attempt, bounds)


def tried(attempt: Callable[[], T], bounds: Bounds) -> T:
    """Call as `with_retries`, but at what passes only later (`LATER`) not again: that is after its pauses."""

    def once() -> T | VideoFailed:
        bounds.check_time()
        try:
            return attempt()
        except VideoFailed as failed:
            if failed.code in LATER:
                return failed
            raise

    found = with_retries(once, bounds)
    if isinstance(found, VideoFailed):
        raise found
    return found


def site_extractors(url: str) -> Sequence[Extractor]:
    """The extractors that may read a page.

    Raises:
        VideoFailed: ``missing_package`` or ``site_unsupported``.
    """
    try:
        import yt_dlp  # noqa: F401 - is it there?
    except ModuleNotFoundError as missing:
        message = f"{redacted(url)} goes through yt-dlp, which is not installed: pip install 'storyloom[sites]'"
        raise VideoFailed("missing_package", message, retryable=True) from missing
    if found := extractors_of(url):
        return found
    message = (
        f"{redacted(url)} is no page of a video that yt-dlp knows on this site; give the address of the video itself"
    )
    raise VideoFailed("site_unsupported", message)


def _fetched(
    url: str,
    extractors: Sequence[Extractor],
    folder: Path,
    bounds: Bounds,
    settings: SiteSettings,
    language: str,
    *,
    media: bool,
) -> SiteVideo:
    from stages.download.sites.session import progress_of, session

    options = {
        "outtmpl": "video.%(ext)s",
        "playlist_items": "1:2",  # a second one is noticed, not fetched
        "progress_hooks": [progress_of(bounds, MAX_BYTES)],
    }

    def check(info: Info, *, incomplete: Any = False) -> None:
        if incomplete is not True:  # True for an entry of a list before its own page is read
            if failed := by_state(url, info, notes.warnings):
                raise failed
            _check(url, info, settings.max_duration)

    with session(url, extractors, bounds, settings, options) as (ydl, notes):
        ydl.folder = folder
        ydl.params["match_filter"] = check
        info = ydl.extract_info(url, download=media)
        while info and info.get("_type") in ("playlist", "multi_video"):
            info = next(iter(info.get("entries") or ()), None)
        if not info:
            raise VideoFailed("site_failed", f"{redacted(url)}: yt-dlp found no video in it")
        found = _media(url, folder, bounds) if media else None
        tracks, problems = _tracks(ydl, info, offered(info, language, settings.subtitles), folder)
    return SiteVideo(found, page_of(info), tracks, problems)


def _check(url: str, info: Info, max_duration: float) -> None:
    """Refuse a page of several videos, and a video that is too long, before it is fetched."""
    if (info.get("n_entries") or 1) > 1:
        message = f"{redacted(url)} has several videos; list the address of each"
        raise VideoFailed("several_videos", message)
    if (info.get("duration") or 0.0) > max_duration:
        raise VideoDropped("too_long", f"{info['duration']} s, over download.max_duration = {max_duration:g}")


def _media(url: str, folder: Path, bounds: Bounds) -> Path:
    files = sorted(folder.glob("video.*"))
    if len(files) != 1:
        raise VideoFailed("site_failed", f"yt-dlp left {len(files)} files for {redacted(url)}, expected one")
    bounds.check_size(files[0].stat().st_size)
    return files[0]


def _tracks(
    ydl: Session, info: dict[str, Any], offers: Sequence[Offer], folder: Path
) -> tuple[list[tuple[Offer, Path]], list[str]]:
    """The tracks that could be fetched, and warnings of the others: subtitles are optional."""
    from stages.download.sites.session import TrackTooLarge

    found = []
    problems = []
    for number, offer in enumerate(offers):
        file = folder / f"track{number}.{offer.extension}"
        try:
            _write_track(ydl, info, offer, file)
        except TrackTooLarge:
            problems.append("subtitles_too_large")
        except Exception as reason:  # VideoFailed, yt-dlp's, or any of its code over what the site sent
            if of_machine(reason):
                raise
            problems.append("subtitles_unavailable")
        else:
            found.append((offer, file))
    return found, list(dict.fromkeys(problems))


def _write_track(ydl: Session, info: dict[str, Any], offer: Offer, file: Path) -> None:
    from stages.download.sites.session import TrackTooLarge

    content = offer.info.get("data")
    if content is None:
        given = {"http_headers": info.get("http_headers"), **offer.info, "storyloom_track": True}
        done, _ = ydl.dl(str(file), given, subtitle=True)
        if not done:
            raise VideoFailed("subtitles_unavailable", "yt-dlp did not fetch it")
    else:
        file.write_text(str(content), encoding="utf-8", errors="replace")
    if file.stat().st_size > MAX_BYTES:
        raise TrackTooLarge
