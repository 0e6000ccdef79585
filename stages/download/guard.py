"""A SOCKS proxy on this machine that makes every connection of a client go to a checked address, until the deadline.

For clients such as yt-dlp, which resolve names and follow redirects by themselves. Whatever they connect to, and
whichever of their HTTP libraries does it, goes through `addresses.connected`. Where the user has a proxy, it passes on
what the client says to that one, which then resolves and checks names.
"""

from __future__ import annotations

import ipaddress
import secrets
import selectors
import socket
import struct
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from urllib.parse import urlsplit

from stages.base import VideoFailed
from stages.download.addresses import connected
from stages.download.fetch import Bounds

VERSION, BY_PASSWORD, CONNECT = 5, 2, 1
IPV4, NAME, IPV6 = 1, 3, 4
DONE, FAILED, FORBIDDEN, UNREACHABLE = 0, 1, 2, 4
"""Numbers of RFC 1928."""

HTTP_PORT, SOCKS_PORT = 80, 1080
"""Of a proxy whose URL states none."""

BLOCK = 65536
"""Bytes that are passed on at a time (our choice)."""

PATIENCE = 10.0
"""Seconds without a word after which a client that has not said where to is left (our choice)."""

ABORT = struct.pack("ii", 1, 0)
"""Of SO_LINGER: a connection that is closed is broken off (RST), so that nobody takes what came of it for the whole."""


class Guard(ThreadingTCPServer):
    """The proxy; see `guarded`.

    Attributes:
        url: For the client's proxy setting, with a password that keeps other users of the machine out.
        upstream: Host and port of the user's own proxy; None without one.
        failure: Why the last connection, or what came of it, was refused or ended by the bounds; None if none was.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, bounds: Bounds, *, allow_private: bool, proxy: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.bounds = bounds
        self.allow_private = allow_private
        self.password = secrets.token_hex(16)
        place = f"127.0.0.1:{self.server_address[1]}"
        self.url = f"socks5h://storyloom:{self.password}@{place}"
        self.upstream: tuple[str, int] | None = None
        if proxy:
            parts = urlsplit(proxy)
            self.upstream = parts.hostname or "", parts.port or (HTTP_PORT if parts.scheme == "http" else SOCKS_PORT)
            login, at, _ = parts.netloc.rpartition("@")
            self.url = f"{parts.scheme}://{login}{at}{place}"
        self.failure: VideoFailed | None = None
        self._open: set[socket.socket] = set()
        self._closed = False
        self._lock = threading.Lock()

    @contextmanager
    def closing(self, *sides: socket.socket) -> Iterator[None]:
        """Have sockets shut down with the proxy, if it ends before the block."""
        with self._lock:
            self._open.update(sides)
            ended = self._closed
        if ended:
            _shut(sides)
        try:
            yield
        finally:
            with self._lock:
                self._open.difference_update(sides)

    def end(self) -> None:
        """Take no more connections and shut down those that are there."""
        self.shutdown()
        with self._lock:
            self._closed = True
            _shut(self._open)

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing on the terminal: a client that went away is no error."""


@contextmanager
def guarded(bounds: Bounds, *, allow_private: bool, proxy: str = "") -> Iterator[Guard]:
    """Run a proxy for the block; at its end, all connections through it are closed.

    Args:
        bounds: Of the fetch: no connection outlives its deadline.
        allow_private: Whether any address may be connected to.
        proxy: URL of the user's own proxy; empty for none.
    """
    with Guard(bounds, allow_private=allow_private, proxy=proxy) as guard:
        threading.Thread(target=guard.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield guard
        finally:
            guard.end()


def _shut(sides: Iterable[socket.socket]) -> None:
    for side in sides:
        with suppress(OSError):  # it has ended by itself
            side.shutdown(socket.SHUT_RDWR)


class _Connection(BaseRequestHandler):
    """One connection of the client: negotiated (RFC 1928, RFC 1929), then passed on byte by byte."""

    server: Guard
    request: socket.socket

    def handle(self) -> None:
        if self.server.upstream:
            self._reach_proxy(*self.server.upstream)
        else:
            self._reach_target()

    def _reach_proxy(self, host: str, port: int) -> None:
        with self._broken_off():
            try:
                remote = connected(host, port, self.server.bounds, allow_private=True)
            except (OSError, VideoFailed) as reason:
                self.server.bounds.check_time()
                why = reason.message if isinstance(reason, VideoFailed) else str(reason)
                message = f"download.site_proxy does not answer: {why}"
                raise VideoFailed("connection_failed", message, retryable=True) from reason
            with remote, self.server.closing(self.request, remote):
                self._pass_on(remote)

    def _reach_target(self) -> None:
        self.request.settimeout(PATIENCE)
        try:
            target = self._negotiated()
        except (OSError, ValueError):
            return
        if target is None:
            return
        host, port = target
        try:
            remote = connected(host, port, self.server.bounds, allow_private=self.server.allow_private)
        except KeyboardInterrupt:  # the bounds say that the run was interrupted
            return
        except VideoFailed as failed:
            self.server.failure = failed
            with suppress(OSError):
                self._answer(FORBIDDEN)
            return
        except OSError:
            with suppress(OSError):
                self._answer(UNREACHABLE)
            return
        with remote, self.server.closing(self.request, remote), self._broken_off():
            self._answer(DONE)
            self._pass_on(remote)

    @contextmanager
    def _broken_off(self) -> Iterator[None]:
        """Break off the client's connection, if the block fails: else what it then says is taken for the server's."""
        whole = False
        try:
            yield
            whole = True
        except VideoFailed as failed:
            self.server.failure = failed
        except (OSError, KeyboardInterrupt):
            pass
        finally:
            if not whole:
                self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
                self.request.close()

    def _negotiated(self) -> tuple[str, int] | None:
        """The host and port that the client asks for; None for a stranger."""
        version, methods = self._read(2)
        if version != VERSION or BY_PASSWORD not in self._read(methods):
            return None
        self.request.sendall(bytes((VERSION, BY_PASSWORD)))
        _, length = self._read(2)
        self._read(length)
        password = self._read(*self._read(1))
        known = secrets.compare_digest(password, self.server.password.encode())
        self.request.sendall(bytes((1, DONE if known else FAILED)))
        if not known:
            return None
        version, command, _, kind = self._read(4)
        if version != VERSION or command != CONNECT:
            return None
        if kind == NAME:
            host = self._read(*self._read(1)).decode("ascii")
        elif kind in (IPV4, IPV6):
            host = str(ipaddress.ip_address(self._read(4 if kind == IPV4 else 16)))
        else:
            return None
        (port,) = struct.unpack("!H", self._read(2))
        return host, port

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.request.recv(size - len(data))
            if not more:
                raise ValueError("the client went away")
            data += more
        return data

    def _answer(self, code: int) -> None:
        self.request.sendall(bytes((VERSION, code, 0, IPV4)) + bytes(6))

    def _pass_on(self, remote: socket.socket) -> None:
        """Copy both ways until both sides ended. How long it may be silent is for the client to say.

        Raises:
            OSError: One side broke off.
            VideoFailed: ``too_slow``.
        """
        other = {self.request: remote, remote: self.request}
        with selectors.DefaultSelector() as ready:
            for end in other:
                ready.register(end, selectors.EVENT_READ)
            while ready.get_map():
                for key, _ in ready.select(self.server.bounds.patience()):
                    assert isinstance(key.fileobj, socket.socket)
                    side = key.fileobj
                    if data := side.recv(BLOCK):
                        self._send(other[side], data)
                    else:
                        ready.unregister(side)
                        other[side].shutdown(socket.SHUT_WR)

    def _send(self, side: socket.socket, data: bytes) -> None:
        while data:
            side.settimeout(self.server.bounds.patience())
            data = data[side.send(data) :]
