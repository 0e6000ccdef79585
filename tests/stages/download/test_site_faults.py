"""Sites that send what no extractor foresees, or break off, and full disks: what the row says."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from yt_dlp.downloader.http import HttpFD

from stages.download.settings import DownloadConfig
from stages.download.stage import Download
from stages.turns import FolderTurns
from tests.downloads import CONTENT, SHA256, downloaded, files, left_by, outcome
from tests.site import Site, fetched

VTT = b"WEBVTT\n\n00:00.000 --> 00:01.000\nEin Becher\n"


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


CUT = (200, {"Content-Length": str(len(CONTENT))}, CONTENT[: len(CONTENT) // 2])
REFUSED = (503, {"Retry-After": "0"}, b"")


@pytest.mark.parametrize(
    ("answer", "code"),
    [(CUT, "truncated_download"), ((200, {}, b""), "truncated_download"), (REFUSED, "server_error")],
)
def test_media_that_does_not_come_whole_is_tried_again(media: Path, site: Site, answer: Any, code: str) -> None:
    url = site.add("cups", CONTENT)
    site.first["/media/cups.mp4"] = answer
    row = fetched(media, url)
    assert row.error is not None
    assert (row.error.code, row.error.retryable) == (code, True), row.error.message
    site.first["/media/cups.mp4"] = answer
    row = fetched(media, url, attempts=2)
    assert (outcome(row), row.sha256) == ("live", SHA256)


def test_a_segment_that_breaks_off_is_tried_again(media: Path, site: Site) -> None:
    site.add("cups", CONTENT)
    site.files["/list.m3u8"] = b"#EXTM3U\n#EXTINF:5,\n/media/cups.mp4\n#EXT-X-ENDLIST\n"
    formats = [{"url": site.url("list.m3u8"), "ext": "mp4", "format_id": "1", "protocol": "m3u8_native"}]
    site.first["/media/cups.mp4"] = CUT
    assert outcome(fetched(media, site.add("whole", None, formats=formats), attempts=2)) == "live"


def test_an_attempt_begins_without_what_the_last_one_left(media: Path, site: Site) -> None:
    other = {"id": "cups", "title": "Cups", "formats": [{"url": site.url("other"), "ext": "webm", "format_id": "2"}]}
    site.first |= {"/api/cups": (200, {}, json.dumps(other).encode()), "/other": CUT}
    row = fetched(media, site.add("cups", CONTENT), attempts=2)
    assert (outcome(row), row.sha256) == ("live", SHA256)
    assert files(media) == left_by(row)


@pytest.mark.parametrize("where", ["/api/cups", "/media/cups.mp4"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_site_that_names_a_pause_is_left_alone_so_long(media: Path, site: Site, where: str, status: int) -> None:
    url = site.add("cups", CONTENT)
    site.first[where] = (status, {"Retry-After": "500"}, b"")
    assert outcome(fetched(media, url)) == ("rate_limited" if status == 429 else "server_error")
    assert 400 < FolderTurns(media.parent / "turns").due("127.0.0.1", 0.0) <= 500


@pytest.mark.parametrize("name", ["a $HOME b", "50%(title)s 100%", "~"])
def test_the_name_of_the_work_folder_is_no_template(tmp_path: Path, site: Site, name: str) -> None:
    media = tmp_path / name / "media"
    media.mkdir(parents=True)
    row = fetched(media, site.add("cups", CONTENT))
    assert outcome(row) == "live", row.error
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_what_yt_dlp_says_of_its_own_fields_is_no_reason(media: Path, site: Site) -> None:
    assert outcome(fetched(media, site.add("cups", None, age_limit="x"))) == "unavailable_video"
