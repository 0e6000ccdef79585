"""A video site on this machine, and yt-dlp's extractors of it: pages in JSON, in the shape of an info dictionary."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from yt_dlp.extractor.common import InfoExtractor
from yt_dlp.utils import ExtractorError, GeoRestrictedError, UserNotLive

from schemas.media import MediaRow
from stages.download.sites import extractors
from tests.downloads import downloaded


class Site(ThreadingHTTPServer):
    """Serves `files` by path, and redirects.

    Attributes:
        files: Content by path.
        redirects: Where a path leads.
        first: Status, headers and content of the first answer at a path.
        statuses: Answers other than 200, by path.
        requests: Paths, in order.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.statuses: dict[str, int] = {}
        self.first: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.requests: list[str] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"

    def add(self, name: str, content: bytes | None, **info: Any) -> str:
        """A page with a video, or without one; its URL."""
        if content is not None:
            self.files[f"/media/{name}.mp4"] = content
            info = {"formats": [{"url": self.url(f"media/{name}.mp4"), "ext": "mp4", "format_id": "1"}]} | info
        self.files[f"/api/{name}"] = json.dumps({"id": name, "title": f"About {name}"} | info).encode()
        return self.url(f"talk/{name}")

    def add_list(self, name: str, videos: list[str], title: str = "") -> str:
        self.files[f"/api/{name}"] = json.dumps({"title": title or name, "videos": videos}).encode()
        return self.url(f"list/{name}")


class Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.requests.append(self.path)
        if first := self.server.first.pop(path, None):
            self.answer(*first)
            return
        body = self.server.files.get(path, b"")
        code = self.server.statuses.get(path, 200 if path in self.server.files else 404)
        if path in self.server.redirects:
            code = 302
        self.answer(code, {"Location": self.server.redirects[path]} if code == 302 else {}, body)

    def answer(self, code: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(code)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


class TalkIE(InfoExtractor):  # type: ignore[misc]
    """A page with one video; what it says under ``raise`` is raised as a site's extractor would."""

    _VALID_URL = r"(?P<site>http://127\.0\.0\.1:\d+)/talk/(?P<id>[\w-]+)"
    _RETURN_TYPE = "video"

    def _real_extract(self, url: str) -> dict[str, Any]:
        site, name = self._match_valid_url(url).group("site", "id")
        page: dict[str, Any] = self._download_json(f"{site}/api/{name}", name)
        kind, _, said = page.pop("raise", "").partition(": ")
        if kind == "no_formats":
            self.raise_no_formats(said, expected=True, video_id=name)
        elif kind == "login":
            self.raise_login_required(said)
        elif kind:
            raise {"error": ExtractorError, "geo": GeoRestrictedError, "not_live": UserNotLive}[kind](
                said, **{"expected": True} if kind == "error" else {}
            )
        if (hop := page.get("hop")) is not None:
            return dict(self.url_result(hop, page.get("ie_key")))
        return page


class TalkListIE(InfoExtractor):  # type: ignore[misc]
    """A list of videos, two a page."""

    _VALID_URL = r"(?P<site>http://127\.0\.0\.1:\d+)/list/(?P<id>[\w-]+)"
    _RETURN_TYPE = "playlist"

    def _real_extract(self, url: str) -> dict[str, Any]:
        site, name = self._match_valid_url(url).group("site", "id")
        page: dict[str, Any] = self._download_json(f"{site}/api/{name}", name)

        def entries() -> Iterator[dict[str, Any]]:
            for number, video in enumerate(page["videos"]):
                if number % 2 == 0:
                    self._download_webpage(f"{site}/api/{name}?page={number // 2}", name)
                yield self.url_result(f"{site}/talk/{video}" if "://" not in video else video, video_id=video)

        return dict(self.playlist_result(entries(), name, page["title"]))


@contextmanager
def serving_site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site that runs, of which `TalkIE` and `TalkListIE` are yt-dlp's extractors."""
    monkeypatch.setattr(extractors, "_all", lambda: (TalkIE, TalkListIE))
    with Site() as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield site
        finally:
            site.shutdown()
            thread.join()


def fetched(media: Path, url: str, **config: Any) -> MediaRow:
    """The row of a page of the site."""
    return downloaded(media, url, **{"sites": ("127.0.0.1",), "attempts": 1, **config})
