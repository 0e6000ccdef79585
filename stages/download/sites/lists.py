"""The videos of a playlist or channel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from schemas.text import clean_text
from stages.base import Listing, VideoFailed
from stages.download.fetch import Bounds, with_retries
from stages.download.sites.extractors import is_list
from stages.download.sites.failures import LATER
from stages.download.sites.fetch import site_extractors
from stages.download.sites.page import MAX_NAME
from stages.media.source import scheme_of
from storyloom.fs.url import redacted

if TYPE_CHECKING:
    from stages.download.sites.settings import SiteSettings

MAX_DEPTH = 2
"""Lists within lists that are read: a channel's page has its tabs, which have videos (our choice)."""


def listing(url: str, bounds: Bounds, settings: SiteSettings, most: int) -> Listing:
    """The videos of a list, without their own pages.

    Args:
        url: Of the list.
        bounds: Limits of reading it.
        settings: How the site is asked.
        most: Most videos.

    Raises:
        VideoFailed: As `from_site`, or ``list_empty``.
    """

    def attempt() -> Listing | VideoFailed:
        bounds.check_time()
        try:
            return _read(url, bounds, settings, most)
        except VideoFailed as failed:
            if failed.code in LATER:
                return failed
            raise

    found = with_retries(attempt, bounds)
    if isinstance(found, VideoFailed):
        raise found
    return found


def _read(url: str, bounds: Bounds, settings: SiteSettings, most: int) -> Listing:
    titles: list[str] = []
    entries: dict[str, str] = {}
    unusable = 0
    for entry in _entries(url, bounds, settings, most + 1, titles):
        place = entry.get("webpage_url") or entry.get("url")
        if not isinstance(place, str) or scheme_of(place) not in ("http", "https") or not place.isprintable():
            unusable += 1
            continue
        entries.setdefault(place, clean_text(str(entry.get("id") or ""), MAX_NAME)[0])
        if len(entries) > most:
            break
    if not entries:
        raise VideoFailed("list_empty", f"{redacted(url)} has no videos")
    urls, ids = list(entries)[:most], list(entries.values())[:most]
    title = clean_text(titles[0], MAX_NAME)[0] if titles else ""
    return Listing(title, tuple(urls), tuple(ids), more=len(entries) > most, unusable=unusable)


def _entries(
    url: str, bounds: Bounds, settings: SiteSettings, most: int, titles: list[str], depth: int = 0
) -> Iterator[dict[str, Any]]:
    """The entries of a list and of the lists in it."""
    from stages.download.sites.session import session

    options = {"extract_flat": "in_playlist", "playlist_items": f"1:{most}"}
    with session(url, site_extractors(url), bounds, settings, options) as (ydl, _):
        info = ydl.extract_info(url, download=False) or {}
        if info.get("_type") not in ("playlist", "multi_video"):
            yield info
            return
        titles.append(str(info.get("title") or ""))
        found = [entry for entry in info.get("entries") or () if isinstance(entry, dict)]
    for entry in found:
        inner = entry.get("url")
        if (
            depth + 1 < MAX_DEPTH
            and isinstance(inner, str)
            and scheme_of(inner) in ("http", "https")
            and is_list(inner)
        ):
            yield from _entries(inner, bounds, settings, most, titles, depth + 1)
        else:
            yield entry
