"""A proxy on loopback before a store, which does to requests what stores and networks do now and then."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.stores import Store


@dataclass(frozen=True)
class Request:
    """A request.

    Attributes:
        method: Its method.
        path: Its path and query.
        key: The access key that it is signed with.
    """

    method: str
    path: str
    key: str


@dataclass
class Fault:
    """What happens to the next requests of a kind.

    Attributes:
        method: Of the requests; empty for all.
        within: What their path and query match somewhere, as a regular expression.
        times: How many of them.
        key: The access key that they are signed with; empty for all.
        act: Called before anything else, such as to kill who asks.
        delay: Seconds that pass before anything else.
        status: What is answered in place of the store; 0 asks it.
        code: S3's, of that answer.
        sent: Share of the store's answer that is sent before the connection is cut; 1 cuts nothing, 0 sends nothing.
    """

    method: str = ""
    within: str = ""
    times: int = 1
    key: str = ""
    act: Callable[[], object] = bool
    delay: float = 0.0
    status: int = 0
    code: str = ""
    sent: float = 1.0

    def meets(self, request: Request) -> bool:
        return (
            self.times > 0
            and self.method in ("", request.method)
            and re.search(self.within, request.path) is not None
            and self.key in ("", request.key)
        )


@dataclass(frozen=True)
class Misbehaving(Store):
    """The store as it is seen through the proxy.

    Attributes:
        faults: What is to happen; the first that meets a request does.
        seen: The requests so far.
    """

    faults: list[Fault] = field(default_factory=list)
    seen: list[Request] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fault(self, request: Request) -> Fault:
        with self.lock:
            self.seen.append(request)
            found = next((one for one in self.faults if one.meets(request)), None)
            if found is None:
                return Fault()
            found.times -= 1
            return found


@contextmanager
def misbehaving(store: Store) -> Iterator[Misbehaving]:
    """The proxy before a store."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            _handled(self, urlsplit(store.endpoint).netloc, found)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815 - the names of http.server

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found = Misbehaving(f"http://127.0.0.1:{server.server_port}")
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()


def _handled(handler: BaseHTTPRequestHandler, upstream: str, proxy: Misbehaving) -> None:
    body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
    key = handler.headers.get("Authorization", "").partition("Credential=")[2].partition("/")[0]
    request = Request(handler.command, handler.path, key)
    fault = proxy.fault(request)
    fault.act()
    time.sleep(fault.delay)
    if fault.status:
        content = f"<Error><Code>{fault.code}</Code><Message>{fault.code}</Message></Error>".encode()
        _send(handler, fault.status, {"Content-Type": "application/xml", "Content-Length": str(len(content))}, content)
        return
    connection = http.client.HTTPConnection(upstream, timeout=60)
    with suppress(BrokenPipeError, ConnectionResetError):  # the client had no patience
        connection.request(handler.command, handler.path, body, dict(handler.headers))
        answer = connection.getresponse()
        content = answer.read()
        if fault.sent == 0.0:
            handler.close_connection = True
            return
        headers = {
            name: value
            for name, value in answer.getheaders()
            if name.lower() not in ("transfer-encoding", "connection")
        }
        if handler.command != "HEAD":
            headers["Content-Length"] = str(len(content))
        _send(handler, answer.status, headers, content[: int(len(content) * fault.sent)])
        handler.close_connection |= fault.sent < 1.0
    connection.close()


def _send(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], content: bytes) -> None:
    handler.send_response_only(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(content)
