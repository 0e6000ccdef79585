from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from tests.downloads import CONTENT, SHA256, downloaded, files, left_by, outcome
from tests.http_server import Server


@pytest.fixture
def stored() -> Iterator[str]:
    """An object in fsspec's in-memory store."""
    with fsspec.open("memory://bucket/talk.mp4", "wb") as file:
        file.write(CONTENT)
    yield "memory://bucket/talk.mp4"
    fsspec.filesystem("memory").rm("/bucket", recursive=True)


def test_an_object_store_is_read_through_fsspec(media: Path, stored: str) -> None:
    row = downloaded(media, stored, schemes=("memory",))
    assert (row.sha256, files(media)) == (SHA256, left_by(row))


def test_an_object_store_keeps_to_the_bounds_and_the_schemes(media: Path, stored: str) -> None:
    assert outcome(downloaded(media, stored, schemes=("memory",), max_bytes=1000)) == "too_large"
    assert outcome(downloaded(media, stored)) == "scheme_refused"
    assert outcome(downloaded(media, "memory://bucket/none.mp4", schemes=("memory",))) == "not_found"
    assert files(media) == []


def test_a_scheme_whose_package_is_missing_names_it(media: Path) -> None:
    if importlib.util.find_spec("gcsfs"):
        pytest.skip("gcsfs is installed")
    row = downloaded(media, "gs://bucket/talk.mp4")
    assert row.error is not None
    assert (row.error.code, row.error.retryable) == ("missing_package", True)
    assert "gcsfs" in row.error.message


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
