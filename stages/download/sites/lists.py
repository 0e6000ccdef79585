"""The videos of a playlist or channel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeGuard

from schemas.text import clean_text
from stages.base import Listing, VideoFailed
from stages.download.fetch import Bounds, host_of
from stages.download.sites.extractors import is_list
from stages.download.sites.fetch import site_extractors, tried
from stages.download.sites.page import MAX_NAME
from storyloom.fs.url import redacted, scheme_of

if TYPE_CHECKING:
    from stages.download.sites.settings import SiteSettings

MAX_DEPTH = 2
"""Lists within lists that are read: a channel's page has its tabs, which have videos (our choice)."""


def listing(url: str, bounds: Bounds, settings: SiteSettings, most: int) -> Listing:
    """The videos of a list, without their own pages. What lists in it cannot be read is counted; the others stay.

    Args:
        url: Of the list.
        bounds: Limits of reading it.
        settings: How the site is asked.
        most: Most videos.

    Raises:
        VideoFailed: As `from_site`, or ``list_empty``.
    """
    titles: list[str] = []
    unread: list[VideoFailed] = []
    entries: dict[str, str] = {}
    unusable = 0
    for entry in _entries(url, bounds, settings, most + 1, titles, unread):
        place = entry.get("webpage_url") or entry.get("url")
        if not _is_address(place):
            unusable += 1
            continue
        entries.setdefault(place, clean_text(str(entry.get("id") or ""), MAX_NAME)[0])
        if len(entries) > most:
            break
    if not entries:
        raise unread[0] if unread else VideoFailed("list_empty", f"{redacted(url)} has no videos")
    urls, ids = list(entries)[:most], list(entries.values())[:most]
    title = clean_text(titles[0], MAX_NAME)[0] if titles else ""
    more = len(entries) > most
    return Listing(title, tuple(urls), tuple(ids), more=more, unusable=unusable, unread=tuple(unread))


def _entries(
    url: str,
    bounds: Bounds,
    settings: SiteSettings,
    most: int,
    titles: list[str],
    unread: list[VideoFailed],
    depth: int = 0,
) -> Iterator[dict[str, Any]]:
    """The entries of a list and of the lists in it."""
    info = tried(lambda: _page(url, bounds, settings, most), bounds)
    if info.get("_type") not in ("playlist", "multi_video"):
        yield info
        return
    titles.append(str(info.get("title") or ""))
    for entry in info["entries"]:
        inner = entry.get("url")
        if not (depth + 1 < MAX_DEPTH and _is_address(inner) and is_list(inner)):
            yield entry
            continue
        try:
            yield from _entries(inner, bounds, settings, most, titles, unread, depth + 1)
        except VideoFailed as failed:
            unread.append(failed)


def _page(url: str, bounds: Bounds, settings: SiteSettings, most: int) -> dict[str, Any]:
    """What yt-dlp says of a list, its entries read."""
    from stages.download.sites.session import session

    options = {"extract_flat": "in_playlist", "playlist_items": f"1:{most}"}
    with session(url, site_extractors(url), bounds, settings, options) as (ydl, _):
        info = ydl.extract_info(url, download=False) or {}
        return {**info, "entries": [entry for entry in info.get("entries") or () if isinstance(entry, dict)]}


def _is_address(place: Any) -> TypeGuard[str]:
    """Whether an entry names a page in the web."""
    if not isinstance(place, str) or scheme_of(place) not in ("http", "https") or not place.isprintable():
        return False
    try:
        return bool(host_of(place))
    except VideoFailed:
        return False
