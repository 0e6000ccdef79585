"""How yt-dlp connects: by http(s) only, and with bodies that are decoded as they are read and keep to bounds."""

from __future__ import annotations

import io
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any
from urllib.request import BaseHandler
from urllib.response import addinfourl

from yt_dlp.networking._urllib import UrllibRH
from yt_dlp.networking.exceptions import IncompleteRead, RequestError, TransportError

from stages.base import VideoFailed
from stages.download.encodings import BLOCK, codings_of, decoded
from stages.download.guard import Guard

MAX_PAGE = 64 << 20
"""Most bytes of a body that is read as a whole: a page, an answer of an API, a list of segments (our choice)."""


class FtpRefused(RequestError):  # type: ignore[misc]  # yt-dlp has no types
    """A redirect leads to an ``ftp://`` address."""


class CheckedRH(UrllibRH):  # type: ignore[misc]
    """The one way of yt-dlp's to connect.

    Args:
        guard: Through which it connects.
    """

    _SUPPORTED_URL_SCHEMES = ("http", "https", "data")

    def __init__(self, *, guard: Guard, **options: Any) -> None:
        super().__init__(**options)
        self._guard = guard

    def _create_instance(self, *args: Any, **kwargs: Any) -> Any:
        opener = super()._create_instance(*args, **kwargs)
        opener.add_handler(_Checks(self._guard))
        return opener


class _Checks(BaseHandler):
    """Comes before yt-dlp's own handlers, which would connect by FTP past the guard, and decode a body as a whole."""

    handler_order = 0

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def ftp_open(self, _request: Any) -> None:
        raise FtpRefused

    def http_response(self, _request: Any, response: HTTPResponse) -> Any:
        headers = response.headers
        encoding = ", ".join(headers.get_all("Content-Encoding", []))
        if encoding:
            del headers["Content-Encoding"], headers["Content-Length"]  # they are of what was sent
        body: Any = Body(response, encoding, self._guard)
        made: Any = addinfourl(body, headers, response.url, response.status)
        made.msg = made.reason = response.reason
        return made

    https_response = http_response


class Body(io.RawIOBase):
    """A body, decoded as it is read.

    Args:
        response: Whose it is.
        encoding: Its Content-Encoding.
        guard: Is told why a read fails.
    """

    def __init__(self, response: HTTPResponse, encoding: str, guard: Guard) -> None:
        self._response = response
        self._encoding = encoding
        self._guard = guard
        self._blocks = self._decoded()
        self._left = bytearray()

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        """So many bytes, or all that are left, as far as those fit into a page."""
        try:
            if size is not None and size >= 0:
                return self._taken(size)
            content = self._taken(MAX_PAGE + 1)
            _check_page(len(content))
        except VideoFailed as failed:
            self._guard.failure = failed
            raise RequestError(str(failed), cause=failed) from failed
        return content

    def _taken(self, size: int) -> bytes:
        while len(self._left) < size and (block := next(self._blocks, b"")):
            self._left += block
        content = bytes(self._left[:size])
        del self._left[:size]
        return content

    def close(self) -> None:
        self._response.close()
        super().close()

    def _decoded(self) -> Iterator[bytes]:
        yield from decoded(self._sent(), codings_of(self._encoding), self._guard.bounds)

    def _sent(self) -> Iterator[bytes]:
        size = 0
        try:
            while block := self._response.read(BLOCK):
                size += len(block)
                yield block
        except OSError as reason:  # which is no fault of the coding
            raise TransportError(cause=reason) from reason
        if self._response.length:
            raise IncompleteRead(size, self._response.length)


def _check_page(size: int) -> None:
    if size > MAX_PAGE:
        raise VideoFailed("site_failed", f"the site sent a page of more than {MAX_PAGE >> 20} MiB")
