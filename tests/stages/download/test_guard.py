"""yt-dlp stands for every client that connects by itself."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yt_dlp
from yt_dlp.networking import Request
from yt_dlp.networking._urllib import UrllibRH
from yt_dlp.networking.exceptions import ProxyError

from stages.download.fetch import Bounds
from stages.download.guard import ABORT, Guard, guarded
from tests.downloads import CONTENT, SOON
from tests.http_server import Server


def bounds(*, seconds: float = 20.0, timeout: float = 5.0) -> Bounds:
    return Bounds(10**9, time.monotonic() + seconds, timeout, attempts=1, pause=0.0)


class OneConnectionEach(yt_dlp.YoutubeDL):  # type: ignore[misc]  # yt-dlp has no types
    """yt-dlp that takes no connection twice, which the server may be closing."""

    def build_request_director(self, *_: Any) -> Any:
        return super().build_request_director([UrllibRH])


def opened(guard: Guard, url: str) -> bytes:
    options: dict[str, Any] = {"proxy": guard.url, "quiet": True, "socket_timeout": 5}
    with yt_dlp.YoutubeDL(options) as client:
        content: bytes = client.urlopen(Request(url)).read()
        return content


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that answers one connection, once the request is read, and closes it; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError), server.accept()[0] as connection:
                connection.recv(65536)
                answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v.mp4"
        server.shutdown(socket.SHUT_RDWR)  # nobody may have come
        thread.join(5)


def test_what_a_client_fetches_through_the_guard_is_what_the_server_has(server: Server) -> None:
    with guarded(bounds(), allow_private=True) as guard:
        assert opened(guard, server.url("good.mp4")) == CONTENT
        assert guard.failure is None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "[::1]", "[::ffff:127.0.0.1]"])
def test_a_private_address_is_refused(server: Server, host: str) -> None:
    with guarded(bounds(), allow_private=False) as guard:
        with pytest.raises(ProxyError):
            opened(guard, server.url("good.mp4").replace("127.0.0.1", host))
        assert guard.failure is not None
        assert guard.failure.code == "private_address"
    assert server.requests == []


def test_a_redirect_to_a_private_address_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server stands for a public one: only its own address passes."""
    monkeypatch.setattr("stages.download.addresses.is_public", lambda address: address == "127.0.0.1")
    with guarded(bounds(), allow_private=False) as guard:
        with pytest.raises(ProxyError):
            opened(guard, server.url("redirect?http://127.0.0.2:1/latest"))
        assert guard.failure is not None
        assert "127.0.0.2" in guard.failure.message


def test_the_environment_leads_no_client_past_the_guard(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with guarded(bounds(), allow_private=False) as guard, pytest.raises(ProxyError):
        opened(guard, server.url("good.mp4"))
    assert server.requests == []


def test_no_fragment_of_a_playlist_is_fetched_past_the_guard(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.download.addresses.is_public", lambda address: address == "127.0.0.1")
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.2:{server.server_port}/good.mp4\n"
    server.content = (playlist + "#EXT-X-ENDLIST\n").encode()
    with guarded(bounds(), allow_private=False) as guard:
        options: dict[str, Any] = {
            "proxy": guard.url,
            "quiet": True,
            "noprogress": True,
            "outtmpl": str(tmp_path / "video.%(ext)s"),
            "fragment_retries": 0,
            "skip_unavailable_fragments": False,
            "hls_prefer_native": True,
        }
        with OneConnectionEach(options) as client, pytest.raises(yt_dlp.utils.YoutubeDLError):
            client.extract_info(server.url("good.m3u8"))
        assert guard.failure is not None
        assert guard.failure.code == "private_address"


def test_no_connection_outlives_the_deadline(server: Server) -> None:
    began = time.monotonic()
    with guarded(bounds(seconds=1.0), allow_private=True) as guard:
        with pytest.raises(yt_dlp.networking.exceptions.RequestError):
            opened(guard, server.url("trickles.mp4"))
        assert guard.failure is not None
        assert guard.failure.code == "too_slow"
    assert time.monotonic() - began < SOON


def test_the_end_of_the_block_ends_its_connections(server: Server) -> None:
    with (
        guarded(bounds(), allow_private=True) as guard,
        yt_dlp.YoutubeDL({"proxy": guard.url, "quiet": True}) as client,
    ):
        answer = client.urlopen(Request(server.url("trickles.mp4")))
        assert answer.read(1)
        guard.end()
        began = time.monotonic()
        with pytest.raises(yt_dlp.networking.exceptions.RequestError):
            answer.read()
        assert time.monotonic() - began < SOON


@pytest.mark.parametrize(
    "said", [b"", b"\x04\x01", b"\x05\x01\x00", b"\x05\x01\x02\x01\x01a\x01b", b"GET / HTTP/1.1\r\n\r\n"]
)
def test_a_stranger_on_this_machine_gets_no_connection(said: bytes) -> None:
    with guarded(bounds(), allow_private=True) as guard:
        address: Any = guard.server_address
        answer = b""
        with socket.create_connection(address, 5) as stranger, suppress(OSError):  # it may be thrown out at once
            stranger.sendall(said)
            stranger.shutdown(socket.SHUT_WR)
            while more := stranger.recv(100):
                answer += more
    assert answer in (b"", b"\x05\x02", b"\x05\x02\x01\x01")


BODY = b"\x05" * 1000


@pytest.mark.parametrize("head", [b"", b"Content-Length: 1010\r\n"])
def test_a_connection_that_the_server_breaks_off_is_broken_off_for_the_client(head: bytes) -> None:
    """Neither ended as if that was all, nor with a byte that the server has not sent."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + BODY)
        time.sleep(0.1)  # until it is passed on
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)

    with (
        answering(answer) as url,
        guarded(bounds(), allow_private=True) as guard,
        pytest.raises(yt_dlp.networking.exceptions.TransportError),
    ):
        opened(guard, url)


@pytest.mark.parametrize("stops", [False, True])
def test_what_the_bounds_end_is_not_ended_as_if_that_was_all(*, stops: bool) -> None:
    limits = bounds(seconds=20 if stops else 1)

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + BODY)
        if stops:
            limits.stopped.set()
        with suppress(OSError):
            while connection.send(b"\x05"):
                time.sleep(0.02)

    with (
        answering(answer) as url,
        guarded(limits, allow_private=True) as guard,
        pytest.raises(yt_dlp.networking.exceptions.TransportError),
    ):
        opened(guard, url)


def test_a_client_that_reads_slowly_gets_all() -> None:
    """The server has long ended when it comes to the last bytes; `timeout` is for the network."""
    body = bytes(range(256)) * 4000
    with (
        answering(lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + body)) as url,
        guarded(bounds(timeout=0.5), allow_private=True) as guard,
        yt_dlp.YoutubeDL({"proxy": guard.url, "quiet": True}) as client,
    ):
        answer = client.urlopen(Request(url))
        time.sleep(1.0)
        assert answer.read() == body
