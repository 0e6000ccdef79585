"""Which of yt-dlp's extractors may read a page: those of its site, never the one that tries any page."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

from stages.download.fetch import host_of
from storyloom.fs.url import scheme_of

Extractor = type[Any]
"""A class of yt-dlp, which has no types."""

GENERIC = "Generic"
"""yt-dlp's name of the extractor that reads any page and follows whatever stands in it."""

TABS = frozenset({"YoutubeTab"})
"""Extractors of lists that also take single videos, so that yt-dlp does not call them lists (2026.10)."""


def listed_site(url: str, sites: Collection[str]) -> str:
    """The one of the sites that is a URL's host or its domain; empty when none is."""
    if scheme_of(url) not in ("http", "https"):
        return ""
    host = host_of(url)
    return next((site for site in sites if host == site or host.endswith(f".{site}")), "")


def extractors_of(url: str) -> Sequence[Extractor]:
    """The extractors of a URL's site: yt-dlp's first one for it, then the others of the same site; none if it has none.

    Those of a site are those that yt-dlp keeps in one module. A page is handed on among them only.
    """
    first = _first(url)
    if first is None:
        return ()
    return (first, *(one for one in _by_module(_all())[_module(first)] if one is not first))


def is_list(url: str) -> bool:
    """Whether a URL is that of a playlist or channel, by its form. That of a video in a playlist is not."""
    first = _first(url)
    if first is None:
        return False
    if first.ie_key() in TABS:
        return "v" not in parse_qs(urlsplit(url).query)
    return first.is_single_video(url) is False


_MODULE_OF: dict[str, str] = {}
"""The module of a host whose page was seen: its few extractors are asked before all 1,700 are."""


def _first(url: str) -> Extractor | None:
    """yt-dlp's first extractor for a URL, those of the host's site before others."""
    host = host_of(url)
    of_site = _by_module(_all()).get(_MODULE_OF.get(host, ""), ())
    for one in itertools.chain(of_site, _all()):
        if one.suitable(url):
            _MODULE_OF[host] = _module(one)
            return one
    return None


@cache
def _by_module(extractors: tuple[Extractor, ...]) -> dict[str, tuple[Extractor, ...]]:
    found: dict[str, tuple[Extractor, ...]] = {}
    for one in extractors:
        found[_module(one)] = (*found.get(_module(one), ()), one)
    return found


@cache
def _all() -> tuple[Extractor, ...]:
    from yt_dlp.extractor import gen_extractor_classes

    return tuple(one for one in gen_extractor_classes() if one.ie_key() != GENERIC)


def _module(extractor: Extractor) -> str:
    """The module of a site; an extractor that yt-dlp has not loaded yet names it itself."""
    return ".".join(str(getattr(extractor, "_module", extractor.__module__)).split(".")[:3])
