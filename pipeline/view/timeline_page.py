"""The page of one video: a player, a map of its time, and everything in the order of time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from pipeline.remedies import remedy
from pipeline.view.files import has_media
from pipeline.view.state import Place, Run, place_of
from pipeline.view.timeline import Cut, Line, Timeline, site_link, timeline
from schemas.media import MediaRow
from schemas.rows import DocumentsRow
from storyloom.fs.url import redacted, without_secrets
from storyloom.view.app import page
from storyloom.view.rendering import address_of

WINDOW = 600.0
"""Seconds of a video on a page (our choice): a lecture of three hours has a dozen thousand words."""

WIDTH = 1000
"""Units of the map across; its lanes are as high as the template draws them."""

LAG_LIMIT = 10.0
"""Seconds either way on the map's lane of the lag."""


def timeline_page(run: Run) -> Callable[[Request], Response]:
    """A video by its id in the manifest."""

    def answer(request: Request) -> Response:
        workspace, name = run.workspace(), request.path_params["id"] or request.query_params.get("id", "")
        place = place_of(workspace, name)
        if place is None:
            return page(request, "missing.html", 404, what="video", name=name, near=[("The run", "/run")])
        media = place.row("download", MediaRow)
        found = timeline(place, media)
        at = _seconds(request, "t")
        begin = _seconds(request, "from") if "from" in request.query_params else at // WINDOW * WINDOW
        end = begin + WINDOW
        return page(
            request,
            "timeline.html",
            line=place.line,
            name=redacted(place.line.source_id),
            key=place.line.video,
            found=found,
            items=[(type(one).__name__, one) for one in found.between(begin, end)],
            map=_map(found, begin, min(end, max(found.duration, begin + 1.0))),
            begin=begin,
            at=at,
            before=address_of("/timeline/", name, **{"from": f"{max(0.0, begin - WINDOW):g}"}) if begin > 0 else "",
            after=address_of("/timeline/", name, **{"from": f"{end:g}"}) if end < found.duration else "",
            command=run.command,
            decided=place.row("filter", DocumentsRow) is not None,
            ended=_ended(found),
            **_playing(place, media),
        )

    return answer


def _playing(place: Place, media: MediaRow | None) -> dict[str, Any]:
    """What the player is made of."""
    line = place.line
    there = media is not None and has_media(place, media)
    offset = media.clip_start if media else max(0.0, line.start)
    site = media.site.site if media and media.site else ""
    form = (media.container, media.video_codec, media.audio_codec) if media else ()
    url = without_secrets(line.published_url or "")
    return {
        "source": f"/run/media/{line.video}" if there else "",
        "has_video": bool(media and media.has_video),
        "offset": offset,
        "origin": media.origin if media else offset,  # a browser keeps the clock of the file
        "clip": media.clip if media else line.is_clip,
        "form": ", ".join(filter(None, form)),
        "site_link": site_link(url, offset, site),
        "site_links": {"url": site_link(url, 987654321, site)} if site_link(url, 0, site) else {},
        "site": site,
    }


def _ended(found: Timeline) -> dict[str, str] | None:
    """Why a video came no further."""
    row = found.ended
    if row is None:
        return None
    if row.error:
        todo = remedy(row.error.code, retryable=row.error.retryable)
        return {"what": f"failed in {row.error.stage}: {row.error.code}", "message": row.error.message, "remedy": todo}
    assert row.dropped is not None
    what = f"left out by {row.dropped.stage}: {row.dropped.reason}"
    return {"what": what, "message": row.dropped.detail, "remedy": ""}


def _map(found: Timeline, begin: float, end: float) -> dict[str, Any]:
    """The shapes of the map, in units across."""

    def x(seconds: float) -> float:
        return round((min(max(seconds, begin), end) - begin) / (end - begin) * WIDTH, 1)

    def box(one: Cut | Line) -> dict[str, Any]:
        wide = max(2.0, x(one.end) - x(one.time) - 1)
        return {"x": x(one.time), "width": round(wide, 1), "out": bool(one.reason), "of": one}

    inside = [one for one in found.frames if begin <= one.time <= end]
    lag = [(x(one.time), round(-one.lag / LAG_LIMIT * 20, 1)) for one in inside if one.decided]
    step = next(one for one in (5, 10, 30, 60, 120, 300, 600) if (end - begin) / one <= 10)  # noqa: PLR2004 - labels
    ticks = range(-(-int(begin) // step) * step, int(end) + 1, step)
    return {
        "begin": begin,
        "end": end,
        "width": WIDTH,
        "cuts": [box(one) for one in found.cuts if one.time < end and one.end > begin],
        "lines": [box(one) for one in found.lines if one.text and one.time < end and one.end > begin],
        "frames": [{"x": x(one.time), "out": bool(one.reason)} for one in inside],
        "lag": " ".join(f"{a},{b}" for a, b in lag),
        "ticks": [(x(float(one)), float(one)) for one in ticks],
    }


def _seconds(request: Request, name: str) -> float:
    """A time of the query; 0.0 where there is none such."""
    try:
        found = float(request.query_params.get(name, ""))
    except ValueError:
        return 0.0
    return found if 0.0 <= found < 1e7 else 0.0  # noqa: PLR2004 - 115 days
