"""A real HTTP server over a folder that answers byte ranges, as an object store does."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class FolderServer(ThreadingHTTPServer):
    """Serves the files below a folder.

    Attributes:
        folder: Where they lie.
        failures: How many of the next requests for a path fail.
        status: With which they fail.
        ignores_ranges: Whether to answer with whole files.
        sent: Bytes sent by path.
        hangs: Paths that are never answered.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.failures: Counter[str] = Counter()
        self.status = 503
        self.ignores_ranges = False
        self.sent: Counter[str] = Counter()
        self.hangs: set[str] = set()

    def handle_error(self, *_: object) -> None:
        """Nothing on the terminal when a client has gone."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FolderServer

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        file = self.server.folder / name
        if name in self.server.hangs:
            threading.Event().wait()
        if self.server.failures[name] > 0:
            self.server.failures[name] -= 1
            self.answer(self.server.status, b"")
        elif not file.is_file():
            self.answer(404, b"")
        else:
            content = file.read_bytes()
            size = len(content)
            wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"] or "")
            if wanted and not self.server.ignores_ranges:
                content = content[int(wanted[1]) : int(wanted[2]) + 1]
            self.server.sent[name] += len(content)
            if wanted:
                self.answer(206, content, f"bytes {wanted[1]}-{wanted[2]}/{size}")
            else:
                self.answer(200, content)

    def answer(self, status: int, body: bytes, content_range: str = "") -> None:
        self.send_response(status)
        if content_range:
            self.send_header("Content-Range", content_range)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@contextmanager
def serving_folder(folder: Path) -> Iterator[FolderServer]:
    """A server in a thread of its own, gone with the block."""
    with FolderServer(folder) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
