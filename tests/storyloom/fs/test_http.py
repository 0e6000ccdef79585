"""What a server that lies costs: no more bytes than were asked for, and no more time than there is patience."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from storyloom.fs import http
from storyloom.fs.folder import DataFolder
from storyloom.fs.ranges import ByteRange
from storyloom.fs.within import Refused

MOST = 2**20


class Liar(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/silent":
            time.sleep(3)
            return
        if self.path == "/hints":
            for _ in range(1000):
                self.wfile.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
                time.sleep(0.003)
            return
        self.send_response(206 if self.headers["Range"] else 200)
        if self.path == "/bomb":
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Connection", "close")
        self.end_headers()
        if self.path == "/bomb":
            self.wfile.write(gzip.compress(bytes(4 * MOST)))
        for _ in range(3000 if self.path == "/drip" else 1000):
            self.wfile.write(b" " if self.path == "/drip" else bytes(MOST))
            time.sleep(0.001 if self.path == "/drip" else 0)

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[DataFolder]:
    monkeypatch.setattr(http, "MOST_WHOLE", MOST)
    monkeypatch.setattr(http, "SLOWEST", 10**9)
    monkeypatch.setattr(Liar, "asked", [], raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Liar) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield DataFolder(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        server.block_on_close = False


@pytest.mark.parametrize("file", ["endless", "bomb"])
def test_an_endless_file_is_not_read_to_its_end(folder: DataFolder, file: str) -> None:
    (found,) = folder.read([ByteRange(file)])
    assert isinstance(found, OSError)
    assert ("more than" in str(found)) == (file == "endless")
    assert len(Liar.asked) == 1


def test_a_range_without_end_shows_that_it_is_too_long(folder: DataFolder) -> None:
    assert folder.read([ByteRange("endless", 10, 20)]) == [bytes(11)]


@pytest.mark.parametrize("file", ["drip", "silent", "hints"])
def test_a_server_that_does_not_end_is_given_up_once(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    monkeypatch.setattr(http, "PATIENCE", 0.3)
    (found,) = folder.read([ByteRange(file)])
    assert isinstance(found, Refused)
    assert str(found) == "no whole answer in 0 s"
    assert Liar.asked == [f"/{file}"]
