from __future__ import annotations

import gzip
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.downloads import CONTENT, ROOT, SHA256, SOON, downloaded, files, left_by, outcome, stage, video
from tests.http_server import Server, serving


def test_a_download_has_the_bytes_of_the_server(media: Path, server: Server) -> None:
    row = downloaded(media, server.url("good.mp4?token=secret"))
    assert (media / row.media).read_bytes() == CONTENT
    assert (row.sha256, row.size) == (SHA256, len(CONTENT))
    assert row.media == f"{row.video[:2]}/{row.video}-{SHA256[:12]}.mp4"
    assert files(media) == left_by(row)


def test_a_url_without_extension_gets_that_of_the_container(media: Path, server: Server) -> None:
    assert downloaded(media, server.url("good")).media.endswith(".mp4")


def test_a_download_takes_the_place_of_a_link_to_nothing(media: Path, server: Server, tmp_path: Path) -> None:
    (tmp_path / "talk.mp4").write_bytes(CONTENT)
    linked = downloaded(media, str(tmp_path / "talk.mp4"), source_id="talk-1")
    (tmp_path / "talk.mp4").unlink()
    assert downloaded(media, server.url("good.mp4"), source_id="talk-1") == linked
    assert not (media / linked.media).is_symlink()


def test_a_file_from_an_earlier_run_is_not_fetched_again(media: Path, server: Server) -> None:
    first = downloaded(media, server.url("good.mp4?signed=1"), source_id="talk-1")
    again = downloaded(media, server.url("good.mp4?signed=2"), source_id="talk-1")
    assert again == first
    assert [(seen.path, seen.if_none_match) for seen in server.requests] == [
        ("/good.mp4?signed=1", None),
        ("/good.mp4?signed=2", '"v1"'),
    ]
    assert server.sent == len(CONTENT)


@pytest.mark.parametrize(
    "path",
    [
        "cut_once.mp4",
        "cut_three_times.mp4",
        "no_range.mp4",
        "no_validator.mp4",
        "changed.mp4",
        "ignores_if_range.mp4",
        "range_refused.mp4",
        "rate_limited_once.mp4",
        "rate_limited_until_2015.mp4",
        "error_once.mp4",
    ],
)
def test_a_server_that_stumbles_still_gives_the_right_bytes(media: Path, server: Server, path: str) -> None:
    row = downloaded(media, server.url(path))
    assert (row.error, row.sha256) == (None, SHA256)
    assert files(media) == left_by(row)


def test_a_cut_download_is_resumed_where_it_ended(media: Path, server: Server) -> None:
    downloaded(media, server.url("cut_once.mp4"))
    (again,) = server.requests[1:]
    assert (again.path, again.range, again.if_range) == ("/cut_once.mp4", f"bytes={len(CONTENT) // 2}-", '"v1"')


def test_a_silent_server_is_left_and_the_download_resumed(media: Path, server: Server) -> None:
    row = downloaded(media, server.url("stalls_once.mp4"), timeout=0.5)
    assert row.sha256 == SHA256
    assert server.ranges("stalls_once.mp4") == [None, f"bytes={len(CONTENT) // 2}-"]


def test_what_a_failed_run_fetched_is_used_by_the_next(media: Path, server: Server) -> None:
    failed = downloaded(media, server.url("cut_three_times.mp4"), attempts=2)
    assert failed.error is not None
    assert (failed.error.code, failed.error.retryable) == ("truncated_download", True)
    assert "after 2000 bytes" in failed.error.message
    assert downloaded(media, server.url("cut_three_times.mp4")).sha256 == SHA256
    assert server.ranges("cut_three_times.mp4") == [None, "bytes=1000-", "bytes=2000-", "bytes=3000-"]


def test_a_killed_worker_leaves_a_download_to_go_on_from(media: Path, server: Server) -> None:
    url = server.url("stalls_once.mp4")
    script = f"""
        import sys
        from tests.downloads import Path, downloaded
        downloaded(Path({str(media)!r}), {url!r}, timeout=60)
    """
    worker = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT)
    partial = media / video(url).key[:2] / f"{video(url).key}.partial" / "media"
    while not (partial.exists() and partial.stat().st_size >= len(CONTENT) // 4):
        assert worker.poll() is None
        time.sleep(0.01)
    worker.kill()
    worker.wait()
    row = downloaded(media, url)
    assert row.sha256 == SHA256
    assert server.ranges("stalls_once.mp4")[1] is not None
    assert files(media) == left_by(row)


def test_an_interruption_ends_a_slow_download_and_leaves_it_to_go_on_from(media: Path, server: Server) -> None:
    url = server.url("trickles.mp4")
    rows = stage(media, allow_private_addresses=True).process([video(url)])
    partial = media / video(url).key[:2] / f"{video(url).key}.partial" / "media"

    def interrupt() -> None:
        while not (partial.exists() and partial.stat().st_size):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        next(iter(rows))
    assert partial.stat().st_size > 0
    assert not server.released.is_set()


@pytest.mark.parametrize(
    ("path", "code", "retryable", "attempts", "says"),
    [
        ("missing.mp4", "not_found", False, 1, "404"),
        ("gone.mp4", "not_found", False, 1, "410"),
        ("forbidden.mp4?key=secret", "forbidden", False, 1, "403"),
        ("teapot.mp4", "http_status", False, 1, "418"),
        ("error_always.mp4", "server_error", True, 3, "503"),
        ("rate_limited_for_a_day.mp4", "rate_limited", True, 1, "429"),
        ("stalls_always.mp4", "timeout", True, 3, "download.timeout"),
        ("page.mp4", "not_media", False, 1, "an HTML page"),
        ("empty.mp4", "not_media", False, 1, "an empty file"),
        ("loop.mp4", "too_many_redirects", False, 11, "redirected over 10 times"),
        ("redirect?file:///etc/passwd", "scheme_refused", False, 1, "no http(s) URL"),
        ("redirect?/gone.mp4", "not_found", False, 1, "410"),
    ],
)
def test_a_failure_has_a_code_and_says_whether_to_come_back(
    media: Path, server: Server, *, path: str, code: str, retryable: bool, attempts: int, says: str
) -> None:
    row = downloaded(media, server.url(path), attempts=3, timeout=0.5 if code == "timeout" else 30.0)
    assert row.error is not None
    assert (row.error.code, row.error.retryable) == (code, retryable)
    assert says in row.error.message
    assert "secret" not in row.error.message
    assert sum(seen.path == f"/{path}" for seen in server.requests) == attempts
    assert files(media) == []


def test_a_closed_port_is_a_failed_connection(media: Path) -> None:
    with serving(b"") as server:
        url = server.url("good.mp4")
    row = downloaded(media, url, attempts=2)
    assert row.error is not None
    assert (row.error.code, row.error.retryable) == ("connection_failed", True)


def test_a_host_without_address_is_unknown(media: Path) -> None:
    row = downloaded(media, "http://no-such-host.invalid/video.mp4", attempts=1)
    assert outcome(row) == "unknown_host"


def test_the_time_for_a_video_is_bounded(media: Path, server: Server) -> None:
    row = downloaded(media, server.url("endless.mp4"), max_seconds=0.5)
    assert row.error is not None
    assert (row.error.code, row.error.retryable) == ("too_slow", True)
    assert files(media) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"])
def test_private_addresses_are_refused_by_default(media: Path, server: Server, host: str) -> None:
    url = server.url("good.mp4").replace("127.0.0.1", host)
    row = downloaded(media, url, allow_private_addresses=False)
    assert row.error is not None
    assert (row.error.code, row.error.retryable) == ("private_address", False)
    assert "download.allow_private_addresses" in row.error.message
    assert server.requests == []


def test_a_redirect_to_a_private_address_is_refused(
    media: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server stands for a public one: only its own address passes."""
    monkeypatch.setattr("stages.download.addresses.is_public", lambda address: address == "127.0.0.1")
    row = downloaded(media, server.url("redirect?http://169.254.169.254/latest"), allow_private_addresses=False)
    assert row.error is not None
    assert row.error.code == "private_address"
    assert "169.254.169.254" in row.error.message


def test_the_checked_address_is_connected_to_and_the_name_kept(media: Path, server: Server) -> None:
    url = server.url("good.mp4").replace("127.0.0.1", "localhost")
    assert downloaded(media, url).sha256 == SHA256  # localhost may be ::1 first, where nobody listens
    assert [seen.host for seen in server.requests] == [f"localhost:{server.server_port}"]


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
def test_the_certificate_must_be_that_of_the_name(media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    trusting = httpx.create_ssl_context()
    monkeypatch.setattr("stages.download.transport._tls", lambda: trusting)
    with serving(CONTENT, tls) as server:
        named = downloaded(media, f"https://localhost:{server.server_port}/good.mp4")
        unnamed = downloaded(media, f"https://127.0.0.1:{server.server_port}/good.mp4")
    assert named.sha256 == SHA256
    assert unnamed.error is not None
    assert (unnamed.error.code, unnamed.error.retryable) == ("bad_certificate", False)


@pytest.mark.parametrize(
    "path", ["drips_status", "drips_header", "drips_chunk_header", "drips_trailers", "drips_hints", "stalls_always"]
)
def test_the_time_for_a_video_is_bounded_whatever_the_server_is_in_the_middle_of(
    media: Path, server: Server, path: str
) -> None:
    began = time.monotonic()
    row = downloaded(media, server.url(path), max_seconds=0.4, attempts=9)
    assert time.monotonic() - began < SOON
    assert row.error is not None
    assert (row.error.code, row.error.retryable) == ("too_slow", True)


def test_a_tls_handshake_that_drips_is_left_at_the_deadline(media: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        row = downloaded(media, f"https://127.0.0.1:{silent.getsockname()[1]}/good.mp4", max_seconds=0.4)
    assert time.monotonic() - began < SOON
    assert outcome(row) == "too_slow"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("floods_hints", "connection_failed"),
        ("no_http", "connection_failed"),
        ("garbage", "connection_failed"),
        ("status_of_two_digits", "connection_failed"),
        ("switches", "connection_failed"),
        ("long_header", "connection_failed"),
        ("lengths_differ", "connection_failed"),
        ("length_negative", "connection_failed"),
        ("length_endless", "connection_failed"),
        ("a_part", "bad_range"),
        ("all_and_more_as_a_part", "bad_range"),
        ("a_part_without_range", "bad_range"),
        ("encoded_never?gzip", "bad_encoding"),
        ("encoded_never?deflate", "bad_encoding"),
        ("encoded_never?br", "bad_encoding"),
        ("encoded_never?zstd", "bad_encoding"),
        ("encoded_never?compress", "bad_encoding"),
        ("encoded?gzip,gzip,gzip,gzip", "bad_encoding"),
        ("transfer?identity", "bad_encoding"),
        ("transfer?gzip,chunked", "bad_encoding"),
        ("redirect?ftp://127.0.0.1/video.mp4", "scheme_refused"),
        ("redirect?javascript:alert(1)", "bad_url"),
        ("redirect?http://[::1", "bad_url"),
        ("redirect?http://127.0.0.1:99999/", "connection_failed"),
        ("redirect?http://a%20b/", "unknown_host"),
        ("redirect?http:///video.mp4", "not_found"),
        ("redirect?https://.localhost/", "unknown_host"),
        (f"redirect?http://{'a' * 70}.example/", "unknown_host"),
        ("redirect?http://xn--/", "bad_url"),
    ],
)
def test_what_is_not_as_http_says_has_a_code(media: Path, server: Server, path: str, code: str) -> None:
    assert outcome(downloaded(media, server.url(path), attempts=1)) == code
    assert files(media) == []


@pytest.mark.parametrize(
    "path",
    [
        "length_and_chunks",
        "range_of_many_digits",
        "range_of_unknown_size",
        "range_of_something_longer",
        "range_encoded",
        "range_multipart",
        "etag_beyond_ascii",
        "all_as_a_part",
        "encoded?gzip",
        "encoded?deflate",
        "encoded?raw",
        "encoded?br",
        "encoded?zstd",
        "encoded?br,gzip",
        "encoded?identity",
        "encoded_cut_once",
        "encoded_and_cut?gzip",
        "encoded_and_cut?deflate",
        "encoded_and_cut?br",
        "encoded_and_cut?zstd",
        "encoded_padded",
        "of_a_proxy",
        "encoded_never?aws-chunked",
        "retry_after?-5",
        "retry_after?soon",
        "retry_after?Wed,_21_Oct_2015_07:28:00_+999999999999999999",
        "retry_after?Wed,_21_Oct_20150000_07:28:00_GMT",
        "retry_after?Wed,_21_Oct_2015_07:28:00",
    ],
)
def test_an_odd_server_still_gives_the_right_bytes(media: Path, server: Server, path: str) -> None:
    row = downloaded(media, server.url(path))
    assert (row.error, row.sha256) == (None, SHA256)
    assert files(media) == left_by(row)


@pytest.mark.parametrize(
    "halves",
    [
        "strong,none",
        "strong,strong+longer",
        "strong,weak",
        "strong,dated",
        "strong+dated,strong+dated2",
        "dated,none",
        "weak+dated,weak2+dated",
    ],
)
def test_two_halves_that_are_not_shown_to_be_of_one_content_are_not_mixed(
    media: Path, server: Server, halves: str
) -> None:
    row = downloaded(media, server.url(f"mixes?{halves}"))
    assert (row.error, row.sha256) == (None, SHA256)


@pytest.mark.parametrize("after", [str(10**30), "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_server_that_never_wants_to_be_asked_again_is_not_waited_for(media: Path, server: Server, after: str) -> None:
    row = downloaded(media, server.url(f"retry_after?{after.replace(' ', '_')}"))
    assert row.error is not None
    assert (row.error.code, row.error.retryable) == ("rate_limited", True)


@pytest.mark.parametrize("codings", ["gzip", "br", "zstd", "zstd,br"])
def test_a_bomb_ends_at_the_bound_of_bytes(media: Path, server: Server, codings: str) -> None:
    server.content = bytes(64 << 20)
    assert outcome(downloaded(media, server.url(f"encoded?{codings}"), max_bytes=1 << 20)) == "too_large"


def test_a_bomb_out_of_which_nothing_comes_ends_at_a_bound(media: Path, server: Server) -> None:
    """Empty members of gzip, in gzip: some kB make many MB that make nothing."""
    server.content = gzip.compress(gzip.compress(b"") * (1 << 16)) * 100
    began = time.monotonic()
    slow = downloaded(media, server.url("encoded_never?gzip,gzip"), max_seconds=0.4)
    assert time.monotonic() - began < SOON
    large = downloaded(media, server.url("encoded_never?gzip,gzip"), max_bytes=1 << 20)
    assert (outcome(slow), outcome(large)) == ("too_slow", "too_large")


def test_a_file_that_came_in_a_coding_is_fetched_again_only_when_it_changed(media: Path, server: Server) -> None:
    first = downloaded(media, server.url("encoded?gzip"))
    assert downloaded(media, server.url("encoded?gzip")) == first
    assert server.requests[1].if_none_match == '"e1"'


def test_subtitles_in_a_coding_are_read(media: Path, server: Server, tmp_path: Path) -> None:
    server.content = b"WEBVTT\n\n00:00.000 --> 00:01.000\nhello\n"
    (tmp_path / "talk.mp4").write_bytes(CONTENT)
    row = downloaded(media, str(tmp_path / "talk.mp4"), subtitles=server.url("encoded?gzip"))
    assert (media / row.subtitles).read_bytes() == server.content


def test_a_password_and_a_cookie_go_to_their_host_alone(media: Path, server: Server) -> None:
    elsewhere = server.url("good.mp4").replace("127.0.0.1", "localhost")
    url = server.url(f"cookie?{elsewhere}").replace("http://", "http://user:secret@", 1)
    assert downloaded(media, url).sha256 == SHA256
    first, second = server.requests
    assert first.authorization is not None
    assert (second.authorization, second.cookie) == (None, None)


def test_a_server_that_limits_one_is_left_alone_by_all(media: Path, server: Server) -> None:
    failed = downloaded(media, server.url("rate_limited_for_a_day.mp4"), attempts=2)
    began = time.monotonic()
    other = downloaded(media, server.url("good.mp4"), max_seconds=60)
    assert outcome(failed) == outcome(other) == "rate_limited"
    assert other.error is not None
    assert other.error.retryable
    assert time.monotonic() - began < SOON
    assert [seen.path for seen in server.requests] == ["/rate_limited_for_a_day.mp4"]


def test_requests_to_a_host_keep_their_distance(media: Path, server: Server) -> None:
    began = time.monotonic()
    rows = list(
        stage(media, allow_private_addresses=True, min_interval=0.3, concurrency=4).process(
            [video(server.url(f"gone.mp4?{number}")) for number in range(4)]
        )
    )
    assert len(rows) == len(server.requests) == 4
    assert time.monotonic() - began >= 0.9


def test_two_stages_on_a_machine_fetch_no_more_at_once_than_a_host_has_turns(media: Path, server: Server) -> None:
    videos = [video(server.url(f"slow?{number}")) for number in range(8)]
    stages = [stage(media, allow_private_addresses=True, per_host=1, concurrency=4) for _ in range(2)]
    with ThreadPoolExecutor(2) as both:
        list(both.map(lambda one: list(one[0].process(one[1])), zip(stages, (videos[:4], videos[4:]), strict=True)))
    assert len(server.requests) == 8
    assert server.most_at_once == 1
