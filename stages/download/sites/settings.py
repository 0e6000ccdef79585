"""How sites are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.cookiejar import LoadError, MozillaCookieJar
from pathlib import Path
from urllib.parse import urlsplit

from stages.base import StageSetupError
from stages.download.sites.tracks import Wanted


@dataclass(frozen=True)
class SiteSettings:
    """How sites are asked, as in the config of `download`.

    Attributes:
        quality: yt-dlp's format selector.
        subtitles: Which subtitle tracks are fetched.
        cookies: Netscape cookie file of an account; empty for none. It is read, never written.
        proxy: URL of a proxy, which resolves names itself; empty for none.
        rate: Most bytes a second of one fetch; 0 for no limit.
        sleep: Seconds between two requests of one fetch.
        extractor_args: yt-dlp's arguments by extractor and name.
        allow_private: Whether private addresses are allowed.
        max_duration: Most seconds of a video.
    """

    quality: str
    subtitles: Wanted
    cookies: str
    proxy: str = field(repr=False)
    rate: int
    sleep: float
    extractor_args: Mapping[str, Mapping[str, Sequence[str]]]
    allow_private: bool
    max_duration: float


PROXIES = ("http", "socks4", "socks4a", "socks5", "socks5h")
"""Schemes of proxies that yt-dlp's connections can go through (2026.10)."""


def is_proxy(url: str) -> bool:
    """Whether a URL is that of a proxy: a host, maybe a port and a login, and no more."""
    try:
        parts = urlsplit(url)
        stated = parts.port != 0 and bool(parts.hostname)
    except ValueError:
        return False
    more = parts.path.strip("/") or parts.query or parts.fragment or any(map(str.isspace, url)) or not url.isprintable()
    return parts.scheme in PROXIES and stated and not more


def check_cookies(path: str) -> None:
    """Check that a cookie file can be read, before any video fails for it. Nothing of it is shown.

    Raises:
        StageSetupError: It cannot.
    """
    if not path:
        return
    problem = ""
    try:
        MozillaCookieJar(Path(path).expanduser()).load(ignore_discard=True, ignore_expires=True)
    except LoadError:
        problem = "is no cookie file of Netscape's format, as browsers' add-ons and yt-dlp export it"
    except (OSError, ValueError) as reason:
        problem = f"cannot be read ({getattr(reason, 'strerror', None) or type(reason).__name__})"
    if problem:
        raise StageSetupError(f"download.site_cookies = {path} {problem}")
