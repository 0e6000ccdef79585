"""What a page says about its video, from yt-dlp's info dictionary."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any

from schemas.languages import language_tag
from schemas.media import Chapter, SitePage
from schemas.text import clean_text
from storyloom.format.model import to_milliseconds

MAX_NAME = 512
"""Most characters of a title, a channel, a licence, a chapter's title or a tag (our choice)."""

MAX_DESCRIPTION = 8192
"""Most characters of a description (our choice; YouTube allows 5,000)."""

MAX_ITEMS = 500
"""Most chapters, and most tags (our choice)."""

Info = Mapping[str, Any]
"""yt-dlp's info dictionary of a video. An extractor may leave out any key, or write null."""

UNTITLED = re.compile(r"<Untitled Chapter \d+>")
"""yt-dlp's title of a chapter that has none."""


def page_of(info: Info) -> SitePage:
    """The fields of a page; those that are missing or malformed are empty."""
    return SitePage(
        site=_text(info.get("extractor_key")),
        id=_text(info.get("id")),
        title=_text(info.get("title")),
        channel=_first(info, "channel", "uploader", "creator", "artist"),
        language=language_tag(_text(info.get("language"))),
        license=_text(info.get("license")),
        upload_date=next(filter(None, (_date(info.get(key)) for key in ("upload_date", "release_date"))), ""),
        description=_text(info.get("description"), MAX_DESCRIPTION),
        tags=[tag for tag in map(_text, _items(info.get("tags"))) if tag],
        chapters=sorted(_chapters(_items(info.get("chapters"))), key=lambda chapter: (chapter.start, chapter.end)),
    )


def _items(value: Any) -> list[Any]:
    return list(value)[:MAX_ITEMS] if isinstance(value, list | tuple) else []


def _text(value: Any, longest: int = MAX_NAME) -> str:
    return clean_text(value, longest)[0].strip() if isinstance(value, str) else ""


def _first(info: Info, *keys: str) -> str:
    return next(filter(None, (_text(info.get(key)) for key in keys)), "")


def _date(value: Any) -> str:
    """``20240531`` as ``2024-05-31``; empty for no date."""
    if not (isinstance(value, str) and re.fullmatch(r"[0-9]{8}", value)):
        return ""
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        return ""


def _chapters(stated: Iterable[Any]) -> Iterator[Chapter]:
    for one in stated:
        if not isinstance(one, dict):
            continue
        start, end = _seconds(one.get("start_time")), _seconds(one.get("end_time"))
        if start is not None and end is not None and start < end:
            title = _text(one.get("title"))
            yield Chapter(start=start, end=end, title="" if UNTITLED.fullmatch(title) else title)


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        seconds = float(value)
    except OverflowError:
        return None
    return to_milliseconds(seconds) if math.isfinite(seconds) and seconds >= 0 else None
