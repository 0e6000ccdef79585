"""Why a site does not give a video: what yt-dlp knows, its exceptions, then the site's message."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping, Sequence

from stages.base import VideoFailed, of_the_machine
from stages.download.fetch import status_failure
from stages.download.sites.page import Info
from storyloom.fs.url import redacted

LIVE = {"is_live": "live_stream", "post_live": "live_stream", "is_upcoming": "premiere"}
"""Codes by yt-dlp's ``live_status``; ``post_live`` is a stream that ended and is not yet a video."""

AVAILABILITY = {
    "private": "private_video",
    "premium_only": "members_only",
    "subscriber_only": "members_only",
    "needs_auth": "login_needed",
}
"""Codes by yt-dlp's ``availability``."""

ADULT = 18
"""Years from which yt-dlp's ``age_limit`` is that of an age gate."""

LATER = frozenset({"bot_check", "live_stream", "premiere", "not_live"})
"""Codes that may pass, but not within the pauses between attempts."""

MESSAGES: Sequence[tuple[str, str]] = (
    ("bot_check", r"not a (?:ro)?bot|captcha|unusual traffic|verify (?:that )?you(?:'|’)?(?:re| are) human"),
    ("rate_limited", r"rate.?limit|too many requests|try again later"),
    (
        "age_restricted",
        r"your age|age.?(?:restrict|gate|limit|verif)|inappropriate for some users|18 years|adults only",
    ),
    (
        "members_only",
        r"members?.only|join this channel|channel's members|premium|subscribers?.only|\bpaid\b|payment|purchase|\brent",
    ),
    ("private_video", r"\bprivate\b|privacy settings"),
    (
        "premiere",
        r"premieres? in|will begin (?:in|shortly)|has not (?:yet )?(?:started|begun)|not started yet|upcoming",
    ),
    ("not_live", r"not currently live|is offline|not live at the moment"),
    ("live_stream", r"is live\b|still live|live stream(?:s|ing)? (?:is|are) not"),
    ("region_locked", r"your (?:country|location|region|area)|geo.?(?:restrict|block)|from your (?:ip|location)"),
    ("drm_protected", r"\bdrm\b"),
    ("removed_video", r"removed|deleted|terminated|no longer (?:available|exists)|copyright|closed their|suspended"),
    ("login_needed", r"sign in|log ?in\b|logged.in|registered users|account|password|authenticat|use --cookies"),
    ("no_format", r"requested format is not available"),
    ("unavailable_video", r"unavailable|not available|isn(?:'|’)t available|does(?: not|n(?:'|’)t) exist|not found"),
)
"""Codes by what the site or yt-dlp says, the first that fits: sites have no codes, and yt-dlp has exceptions for few
(patterns of our choice, after the messages of YouTube, Vimeo, Dailymotion and bilibili in yt-dlp 2026.10)."""

_PATTERNS = tuple((code, re.compile(pattern, re.IGNORECASE)) for code, pattern in MESSAGES)

HELP = {
    "age_restricted": "give download.site_cookies of an account that may see it",
    "members_only": "give download.site_cookies of an account that may see it",
    "private_video": "give download.site_cookies of an account that may see it",
    "login_needed": "give download.site_cookies of an account that may see it",
    "region_locked": "give a download.site_proxy where it may be seen",
    "bot_check": "fetch less at once (download.per_host, site_sleep) or give download.site_cookies",
    "rate_limited": "fetch less at once (download.per_host, site_sleep, site_rate)",
    "premiere": "run again with --retry when it is over",
    "live_stream": "run again with --retry when it is over",
    "no_format": "widen download.site_format",
}


def by_state(url: str, info: Info, notes: Sequence[str]) -> VideoFailed | None:
    """The failure of a page whose video cannot be fetched, by what it says about it; None when it can.

    Args:
        url: Of the page.
        info: yt-dlp's; it is of a video.
        notes: yt-dlp's warnings about it.
    """
    state = str(info.get("live_status") or ("is_live" if info.get("is_live") else ""))
    if state in LIVE:
        return failed(LIVE[state], url, _said(notes) or state)
    if info.get("formats") or info.get("url") or info.get("requested_formats"):
        return None
    if info.get("_has_drm"):
        return failed("drm_protected", url, "every format of it is protected")
    stated = AVAILABILITY.get(str(info.get("availability") or ""), "")
    age = info.get("age_limit")
    if stated == "login_needed" and isinstance(age, int) and age >= ADULT:
        stated = "age_restricted"
    said = _said(notes)
    if found := _by_message(said):
        general = found in ("unavailable_video", "login_needed", "no_format")
        return failed(stated if stated and general else found, url, said)
    return failed(stated or "unavailable_video", url, said or "it has no formats")


BROKEN_OFF = re.compile(r"\s*(?:\[download\] Got error: |Did not get any data blocks|content too short)")
"""Beginning of what yt-dlp's downloaders say of media that did not come whole: they raise it without its cause."""

_STATUS = re.compile(r"HTTP Error (\d{3})")
_TRUNCATED = re.compile(r"Downloaded \d+ bytes, expected|\d+ bytes read|Did not get any|too short")


def by_error(
    url: str, error: BaseException, notes: Sequence[str] = (), refusals: Mapping[int, Mapping[str, str]] | None = None
) -> VideoFailed:
    """The failure behind an exception of yt-dlp.

    Args:
        url: Of the page.
        error: The exception.
        notes: yt-dlp's warnings before it.
        refusals: Headers of the answers without success, by status.
    """
    from yt_dlp.networking.exceptions import HTTPError, TransportError
    from yt_dlp.utils import GeoRestrictedError, UserNotLive

    from stages.turns import retry_after

    reason = re.sub(r"^ERROR: ", "", str(error)).partition("; please report")[0]
    behind = list(causes(error))
    if any(isinstance(cause, GeoRestrictedError) for cause in behind):
        return failed("region_locked", url, reason)
    if any(isinstance(cause, UserNotLive) for cause in behind):
        return failed("not_live", url, reason)
    if BROKEN_OFF.match(reason):
        if found := _STATUS.search(reason):
            status = int(found[1])
            return status_failure(status, url, retry_after((refusals or {}).get(status, {})))
        code = "truncated_download" if _TRUNCATED.search(reason) else "connection_failed"
        return VideoFailed(code, f"{redacted(url)}: {_plain(reason)}", retryable=True)
    code = "" if "HTTP Error" in reason else _by_message(reason)
    if code:
        return failed(code, url, reason)
    for cause in behind:
        if isinstance(cause, HTTPError):
            return status_failure(cause.status, url, retry_after(cause.response.headers))
        if isinstance(cause, TransportError):
            return VideoFailed("connection_failed", f"{redacted(url)}: {_plain(reason)}", retryable=True)
    return failed(_by_message(_said(notes)) or "site_failed", url, reason)


def by_fault(url: str, error: Exception) -> VideoFailed:
    """The failure behind an exception that yt-dlp did not foresee: something on the page has a form of its own."""
    return failed("site_failed", url, f"yt-dlp could not use what came: {type(error).__name__}: {error}")


def of_machine(error: BaseException) -> BaseException | None:
    """What failed on this machine behind an error, so that it is not blamed on a video; None if nothing did."""
    from yt_dlp.postprocessor.common import PostProcessingError

    behind = list(causes(error))
    # yt-dlp raises some errors without their cause, in its handler.
    for cause in [*behind, *(one.__context__ for one in behind)]:
        if cause is not None and of_the_machine(cause):
            return cause
        if isinstance(cause, PostProcessingError):  # ffmpeg has no numbers
            for number in (errno.ENOSPC, errno.EDQUOT):
                if os.strerror(number) in str(cause):
                    return OSError(number, os.strerror(number))
    return None


def failed(code: str, url: str, reason: str) -> VideoFailed:
    """A failure with its reason and the way out, where there is one."""
    way_out = f"; {HELP[code]}" if code in HELP else ""
    return VideoFailed(
        code, f"{redacted(url)}: {_plain(reason)}{way_out}", retryable=code in LATER or code == "rate_limited"
    )


def _by_message(message: str) -> str:
    return next((code for code, pattern in _PATTERNS if pattern.search(message)), "")


def _said(notes: Sequence[str]) -> str:
    return " / ".join(dict.fromkeys(notes))


MAX_REASON = 500
"""Most characters of a site's message in ours (our choice)."""

_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s'\"<>]+", re.IGNORECASE)


def _plain(reason: str) -> str:
    """A message without the secrets of the URLs in it, without control characters, on one line."""
    from schemas.text import clean_text

    return clean_text(_URL.sub(lambda url: redacted(url[0]), reason), MAX_REASON)[0]


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error of yt-dlp and its causes, which its classes store under different names."""
    while error is not None:
        yield error
        wrapped = getattr(error, "exc_info", None)
        error = wrapped[1] if wrapped and wrapped[1] is not error else getattr(error, "cause", None) or error.__cause__
