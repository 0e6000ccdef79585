from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stages.download.fetch import server_of
from tests.downloads import SHA256, downloaded, files, left_by, outcome
from tests.http_server import Server


@pytest.fixture
def generic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let yt-dlp's generic extractor read pages of a listed site, which it may not outside tests."""
    from yt_dlp.extractor.generic import GenericIE
    from yt_dlp.extractor.genericembeds import HTML5MediaEmbedIE

    monkeypatch.setattr("stages.download.sites.fetch.extractors_of", lambda _: (GenericIE, HTML5MediaEmbedIE))


@pytest.mark.usefixtures("generic")
def test_a_page_of_a_listed_site_goes_through_yt_dlp(media: Path, server: Server) -> None:
    row = downloaded(media, server.url("watch"), sites=("127.0.0.1",))
    assert (row.error, row.sha256) == (None, SHA256)
    assert files(media) == left_by(row)


def test_a_site_without_yt_dlp_names_the_extra(media: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yt_dlp", None)  # as where it is not installed
    row = downloaded(media, server.url("watch"), sites=("127.0.0.1",))
    assert row.error is not None
    assert (row.error.code, row.error.retryable) == ("missing_package", True)
    assert "pip install 'storyloom[sites]'" in row.error.message


@pytest.mark.usefixtures("generic")
@pytest.mark.parametrize(
    ("path", "code", "retryable"),
    [("gone", "not_found", False), ("page", "site_failed", False), ("error_always", "server_error", True)],
)
def test_a_site_without_the_video_has_a_typed_error(
    media: Path, server: Server, *, path: str, code: str, retryable: bool
) -> None:
    row = downloaded(media, server.url(path), sites=("127.0.0.1",), attempts=1)
    assert row.error is not None
    assert (row.error.code, row.error.retryable) == (code, retryable)
    assert files(media) == []


@pytest.mark.usefixtures("generic")
def test_a_site_keeps_to_the_bounds(media: Path, server: Server) -> None:
    row = downloaded(media, server.url("watch"), sites=("127.0.0.1",), max_bytes=200_000)
    assert outcome(row) == "too_large"
    assert files(media) == []


def test_the_page_of_an_unlisted_site_is_no_video(media: Path, server: Server) -> None:
    assert outcome(downloaded(media, server.url("watch"))) == "not_media"


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example/1.mp4",
        "https://a.example:443/2.mp4",
        "https://a.example:/3.mp4",
        "http://a.example:80/4.mp4",
        "HTTPS://name@A.example.:0443/5.mp4",
    ],
)
def test_a_server_has_one_budget_however_its_port_is_written(url: str) -> None:
    assert server_of(url) == "a.example"


def test_another_port_is_another_server() -> None:
    assert server_of("https://a.example:80/1.mp4") == "a.example:80"
