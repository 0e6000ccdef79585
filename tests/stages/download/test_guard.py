"""yt-dlp stands for every client that connects by itself."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yt_dlp
from yt_dlp.networking import Request
from yt_dlp.networking.exceptions import ProxyError

from stages.download.fetch import Bounds
from stages.download.guard import Guard, guarded
from tests.downloads import CONTENT
from tests.http_server import Server


def bounds(*, seconds: float = 20.0, timeout: float = 5.0) -> Bounds:
    return Bounds(10**9, time.monotonic() + seconds, timeout, attempts=1, pause=0.0)


def opened(guard: Guard, url: str) -> bytes:
    options: dict[str, Any] = {"proxy": guard.url, "quiet": True, "socket_timeout": 5}
    with yt_dlp.YoutubeDL(options) as client:
        content: bytes = client.urlopen(Request(url)).read()
        return content


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
        with yt_dlp.YoutubeDL(options) as client, pytest.raises(yt_dlp.utils.YoutubeDLError):
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
    assert time.monotonic() - began < 3


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
        assert time.monotonic() - began < 1


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
