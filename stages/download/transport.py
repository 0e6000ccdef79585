"""HTTP over connections to checked addresses, none of which outlives the deadline."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpcore
import httpx

from stages.download.addresses import checked
from stages.download.fetch import Bounds

MAX_HEAD = 1 << 20
"""Most bytes of an answer before its body, interim answers (1xx) included (our choice); h11 has a limit for each."""


class CheckedTransport(httpx.BaseTransport):
    """Sends requests over connections to checked addresses that end at the deadline, each for one request.

    Proxies from the environment are not used, since a proxy would resolve names itself.
    """

    def __init__(self, bounds: Bounds, *, allow_private: bool) -> None:
        network = _Network(bounds, allow_private=allow_private)
        self._pool = httpcore.ConnectionPool(ssl_context=_tls(), max_keepalive_connections=0, network_backend=network)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if not request.url.raw_host:
            raise httpx.UnsupportedProtocol("it names no host", request=request)
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        answer = self._pool.handle_request(
            httpcore.Request(request.method, url, headers=request.headers.raw, extensions=request.extensions)
        )
        stream = answer.extensions["network_stream"]
        if isinstance(stream, _Stream):
            stream.head_left = None
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer), extensions=answer.extensions)

    def close(self) -> None:
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        return self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()


class _Network(httpcore.NetworkBackend):
    """Connects to the first of a host's checked addresses that takes the connection: see `addresses.connected`."""

    def __init__(self, bounds: Bounds, *, allow_private: bool) -> None:
        self._bounds = bounds
        self._allow_private = allow_private
        self._tcp = httpcore.SyncBackend()

    def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> httpcore.NetworkStream:
        *others, last = checked(host, self._bounds, allow_private=self._allow_private)
        for address in others:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return self._connected(address, port)
        return self._connected(last, port)

    def _connected(self, address: str, port: int) -> _Stream:
        with _until_deadline(self._bounds) as patience:
            return _Stream(self._tcp.connect_tcp(address, port, timeout=patience), self._bounds)


class _Stream(httpcore.NetworkStream):
    """A connection whose every wait, whatever the server is in the middle of, ends at the deadline.

    Attributes:
        head_left: Bytes that may still come before the body; None once it has begun.
    """

    def __init__(self, inner: httpcore.NetworkStream, bounds: Bounds) -> None:
        self._inner = inner
        self._bounds = bounds
        self.head_left: int | None = MAX_HEAD

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the bounds have it
        with _until_deadline(self._bounds) as patience:
            data = self._inner.read(max_bytes, patience)
        if self.head_left is not None:
            self.head_left -= len(data)
            if self.head_left < 0:
                raise httpcore.RemoteProtocolError(f"over {MAX_HEAD} bytes, and still no body")
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        with _until_deadline(self._bounds) as patience:
            self._inner.write(buffer, patience)

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        try:
            with _until_deadline(self._bounds) as patience:
                return _Stream(self._inner.start_tls(ssl_context, server_hostname, patience), self._bounds)
        except ValueError as reason:  # a name that no certificate can have
            raise httpcore.ConnectError(str(reason)) from reason

    def close(self) -> None:
        self._inner.close()

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


@contextmanager
def _until_deadline(bounds: Bounds) -> Iterator[float]:
    """Yield the seconds to wait; a wait that ended because of the deadline is ``too_slow``."""
    try:
        yield bounds.patience()
    except httpcore.TimeoutException:
        bounds.check_time()
        raise


@functools.cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # reads every certificate authority: once is enough
