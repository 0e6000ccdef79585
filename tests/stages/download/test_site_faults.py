"""Sites that send what no extractor foresees, or break off, and full disks: what the row says."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from yt_dlp.downloader.http import HttpFD

from schemas.rows import MediaRow
from stages.download.settings import DownloadConfig
from stages.download.sites import extractors
from stages.download.stage import Download
from tests.downloads import CONTENT, downloaded, files, outcome
from tests.site import Site, TalkIE, TalkListIE, serving_site

VTT = b"WEBVTT\n\n00:00.000 --> 00:01.000\nEin Becher\n"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(extractors, "_all", lambda: (TalkIE, TalkListIE))
    with serving_site() as made:
        yield made


def fetched(media: Path, url: str, **config: Any) -> MediaRow:
    return downloaded(media, url, **{"sites": ("127.0.0.1",), "attempts": 1, **config})


@pytest.mark.parametrize(
    "url",
    [
        "https://[x.youtube.com/playlist?list=PL1",
        "https://[.youtube.com/",
        "https://a℀.youtube.com/playlist?list=PL1",
        "https://[::1%25].youtube.com/playlist?list=PL1",
    ],
)
def test_what_is_no_url_of_a_site_is_no_list_and_fails_alone(media: Path, url: str) -> None:
    assert Download.lists([url, "https://www.youtube.com/playlist?list=PL1"], DownloadConfig()) == [1]
    assert outcome(downloaded(media, url)) == "bad_url"


@pytest.mark.parametrize(
    "page",
    [
        {"formats": "abc"},
        {"formats": [{"url": 5, "ext": "mp4"}]},
        {"formats": [{"url": "http://[::1", "ext": "mp4"}]},
        {"formats": [{"url": "http://127.0.0.1:1/\ud800.mp4", "ext": "mp4"}]},
        {"formats": [{"url": "http://127.0.0.1:1/x", "ext": "mp4", "protocol": "http_dash_segments"}]},
        {"chapters": "abc"},
        {"duration": float("inf")},
        {"_type": "unknown"},
    ],
)
def test_a_page_in_a_form_that_yt_dlp_cannot_use_fails_alone(media: Path, site: Site, page: dict[str, Any]) -> None:
    row = fetched(media, site.add("cups", None, **{"formats": [{"url": site.url("x"), "ext": "mp4"}], **page}))
    assert row.error is not None
    assert (row.error.code, row.error.retryable) == ("site_failed", False), row.error
    assert files(media) == []


@pytest.mark.parametrize("answer", [b"[1]", b"null", b"[" * 100000])
def test_a_page_of_other_json_than_expected_fails_alone(media: Path, site: Site, answer: bytes) -> None:
    url = site.add("cups", CONTENT)
    site.files["/api/cups"] = answer
    assert outcome(fetched(media, url)) == "site_failed"


def test_a_track_in_a_form_that_yt_dlp_cannot_use_costs_the_track_alone(media: Path, site: Site) -> None:
    site.files["/de.vtt"] = VTT
    subtitles = {
        "en": [{"ext": "vtt", "url": "http://[::1"}],
        "fr": [{"ext": "vtt", "url": "http://127.0.0.1:1/\ud800"}],
        "es": [{"ext": "vtt", "url": site.url("de.vtt"), "http_headers": [4]}],
        "it": [{"ext": "vtt", "url": site.url("de.vtt"), "protocol": "http_dash_segments"}],
        "de": [{"ext": "vtt", "url": site.url("de.vtt")}],
    }
    row = fetched(media, site.add("cups", CONTENT, subtitles=subtitles))
    assert (row.error, row.warnings) == (None, ["subtitles_unavailable"])
    assert row.site is not None
    assert [one.language for one in row.site.tracks] == ["de"]


def test_a_full_disk_is_no_fault_of_the_video(media: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        name = "full"

        def write(self, _: bytes) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def close(self) -> None:
            """Nothing was written."""

    monkeypatch.setattr(HttpFD, "sanitize_open", lambda _, name, __: (Full(), name))
    with pytest.raises(OSError, match="No space left"):
        fetched(media, site.add("cups", CONTENT))
