from __future__ import annotations

import gzip
import json
import time
import tracemalloc
from pathlib import Path

import pytest

from stages.base import StageSetupError
from stages.download.fetch import Bounds
from stages.download.guard import guarded
from stages.download.sites import extractors
from stages.media.subtitles.formats import shown
from tests.downloads import CONTENT, SHA256, SOON, downloaded, files, left_by, outcome, stage
from tests.http_server import ENCODERS, Handler, Server
from tests.site import Site, fetched

JSON3 = {"events": [{"tStartMs": 0, "dDurationMs": 900, "segs": [{"utf8": "A"}, {"utf8": " cup", "tOffsetMs": 400}]}]}
VTT = b"WEBVTT\n\n00:00.000 --> 00:01.000\nEin Becher\n"


def test_what_a_page_says_is_in_the_row(media: Path, site: Site) -> None:
    url = site.add(
        "cups",
        CONTENT,
        channel="Ceramics\u202e",
        license="CC BY",
        language="eng",
        upload_date="20240531",
        description="About\ncups",
        tags=["cup", "tea"],
        chapters=[
            {"start_time": 0, "end_time": 4.5, "title": "Red"},
            {"start_time": 4.5, "end_time": 9, "title": "Blue"},
        ],
    )
    row = fetched(media, url)
    assert (row.error, row.sha256) == (None, SHA256)
    assert row.site is not None
    assert row.site.model_dump(exclude={"chapters"}) == {
        "site": "Talk",
        "id": "cups",
        "title": "About cups",
        "channel": "Ceramics",
        "language": "en",
        "license": "CC BY",
        "upload_date": "2024-05-31",
        "description": "About cups",
        "tags": ["cup", "tea"],
        "tracks": [],
    }
    assert [(one.start, one.end, one.title) for one in row.site.chapters] == [(0.0, 4.5, "Red"), (4.5, 9.0, "Blue")]
    assert files(media) == left_by(row)


def test_a_later_run_keeps_what_the_page_said_and_asks_the_site_nothing(media: Path, site: Site) -> None:
    url = site.add("cups", CONTENT, channel="Ceramics")
    row = fetched(media, url)
    asked = len(site.requests)
    assert fetched(media, url) == row
    assert len(site.requests) == asked


def test_a_people_s_track_comes_before_the_machine_s_and_the_row_says_which_is_which(media: Path, site: Site) -> None:
    site.files |= {"/en.json3": json.dumps(JSON3).encode(), "/en.vtt": VTT, "/de.vtt": VTT, "/auto.json3": b"{}"}
    url = site.add(
        "cups",
        CONTENT,
        language="en",
        subtitles={
            "de": [{"ext": "vtt", "url": site.url("de.vtt")}],
            "en": [{"ext": "vtt", "url": site.url("en.vtt")}, {"ext": "json3", "url": site.url("en.json3")}],
            "live_chat": [{"ext": "json", "url": site.url("chat")}],
        },
        automatic_captions={
            "en-orig": [{"ext": "json3", "url": site.url("auto.json3")}],
            "en": [{"ext": "json3", "url": site.url("auto.json3?lang=en")}],
            "fr": [{"ext": "json3", "url": site.url("auto.json3?tlang=fr")}],
        },
    )
    row = fetched(media, url)
    assert row.site is not None
    assert [(one.language, one.automatic) for one in row.site.tracks] == [("en", False), ("en", True)]
    assert [row.subtitles, *row.other_subtitles] == [one.file for one in row.site.tracks]
    (cue,) = shown((media / row.subtitles).read_text())
    assert "cup" in cue.text
    assert "/de.vtt" not in site.requests


def test_the_language_of_the_manifest_chooses_the_tracks(media: Path, site: Site) -> None:
    site.files |= {"/de.vtt": VTT, "/en.vtt": VTT}
    url = site.add(
        "cups",
        CONTENT,
        language="en",
        subtitles={k: [{"ext": "vtt", "url": site.url(f"{k}.vtt")}] for k in ("de", "en")},
    )
    row = fetched(media, url, language="de")
    assert row.site is not None
    assert [one.language for one in row.site.tracks] == ["de"]
    again = fetched(media, url, language="en")  # the page is asked again, the media is not
    assert again.site is not None
    assert [one.language for one in again.site.tracks] == ["en"]
    assert site.requests.count("/media/cups.mp4") == 1


def test_the_manifest_s_own_track_comes_before_those_of_the_site(media: Path, site: Site, tmp_path: Path) -> None:
    own = tmp_path / "own.vtt"
    own.write_bytes(VTT + b"\n")
    site.files["/en.vtt"] = VTT
    url = site.add("cups", CONTENT, language="en", subtitles={"en": [{"ext": "vtt", "url": site.url("en.vtt")}]})
    row = fetched(media, url, subtitles=str(own))
    assert row.site is not None
    assert (media / row.subtitles).read_bytes() == own.read_bytes()
    assert row.other_subtitles == [one.file for one in row.site.tracks]


def test_a_track_that_does_not_come_is_a_warning_and_is_asked_for_again(media: Path, site: Site) -> None:
    url = site.add("cups", CONTENT, language="en", subtitles={"en": [{"ext": "vtt", "url": site.url("en.vtt")}]})
    row = fetched(media, url)
    assert (row.error, row.warnings, row.subtitles) == (None, ["subtitles_unavailable"], "")
    site.files["/en.vtt"] = VTT
    assert fetched(media, url).subtitles


def test_a_track_keeps_to_its_bound(media: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.download.sites.fetch.MAX_BYTES", 10)
    site.files["/en.vtt"] = VTT
    subtitles = {"en": [{"ext": "vtt", "url": site.url("en.vtt")}], "en-GB": [{"ext": "vtt", "data": "x" * 11}]}
    row = fetched(media, site.add("cups", CONTENT, language="en", subtitles=subtitles))
    assert (row.error, row.warnings, row.subtitles) == (None, ["subtitles_too_large"], "")


@pytest.mark.parametrize(
    ("page", "code", "retryable"),
    [
        ({"raise": "no_formats: Sign in to confirm your age", "availability": "needs_auth"}, "age_restricted", False),
        ({"availability": "needs_auth", "age_limit": 18}, "age_restricted", False),
        ({"availability": "needs_auth"}, "login_needed", False),
        ({"raise": "login: This video is only for registered users"}, "login_needed", False),
        ({"availability": "private"}, "private_video", False),
        ({"availability": "subscriber_only"}, "members_only", False),
        ({"availability": "premium_only"}, "members_only", False),
        ({"live_status": "is_upcoming", "raise": "no_formats: Premieres in 2 hours"}, "premiere", True),
        ({"live_status": "is_live"}, "live_stream", True),
        ({"live_status": "post_live"}, "live_stream", True),
        ({"raise": "not_live: "}, "not_live", True),
        ({"raise": "geo: Nur in Deutschland"}, "region_locked", False),
        ({"raise": "error: This video has been removed by the uploader"}, "removed_video", False),
        ({"raise": "no_formats: Video unavailable"}, "unavailable_video", False),
        ({"raise": "error: Sign in to confirm you’re not a bot"}, "bot_check", True),
        ({"formats": [{"url": "x", "has_drm": True}]}, "drm_protected", False),
        ({"raise": "error: Something new"}, "site_failed", False),
    ],
)
def test_each_reason_for_no_video_has_its_code(
    media: Path, site: Site, page: dict[str, object], *, code: str, retryable: bool
) -> None:
    content = CONTENT if page.get("live_status") else None
    row = fetched(media, site.add("cups", content, **page), attempts=3)
    assert row.error is not None
    assert (row.error.code, row.error.retryable) == (code, retryable), row.error.message
    assert files(media) == []
    assert site.requests.count("/api/cups") == 1  # none of them passes within the pauses between attempts
    assert "/media/cups.mp4" not in site.requests


def test_a_format_that_the_site_lacks_has_its_code(media: Path, site: Site) -> None:
    assert outcome(fetched(media, site.add("cups", CONTENT), site_format="b[height>9000]")) == "no_format"


def test_too_many_requests_of_a_site_may_pass(media: Path, site: Site) -> None:
    url = site.add("cups", CONTENT)
    site.statuses["/api/cups"] = 429
    row = fetched(media, url)
    assert row.error is not None
    assert (row.error.code, row.error.retryable) == ("rate_limited", True)


def test_a_page_that_leads_to_a_private_host_is_refused(media: Path, site: Site) -> None:
    url = site.add("cups", CONTENT)
    row = fetched(media, url, allow_private_addresses=False)
    assert outcome(row) == "private_address"
    assert site.requests == []


@pytest.mark.parametrize("where", ["/api/cups", "/media/cups.mp4"])
def test_a_redirect_to_a_private_host_is_refused(
    media: Path, site: Site, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr("stages.download.addresses.is_public", lambda address: address == "127.0.0.1")
    url = site.add("cups", CONTENT)
    site.redirects[where] = f"http://127.0.0.2:{site.server_port}/secret"
    row = fetched(media, url, allow_private_addresses=False)
    assert outcome(row) == "private_address"
    assert "/secret" not in site.requests


def test_a_redirect_to_ftp_is_refused(media: Path, site: Site) -> None:
    url = site.add("cups", CONTENT)
    site.redirects["/api/cups"] = "ftp://127.0.0.1/x"
    row = fetched(media, url)
    assert outcome(row) == "scheme_refused", row.error


@pytest.mark.parametrize("protocol", ["m3u8", "rtmp", "rtmp_ffmpeg", "websocket_frag"])
def test_no_other_program_gets_a_url(media: Path, site: Site, protocol: str) -> None:
    target = site.url("secret.m3u8")
    formats = [{"url": target, "ext": "mp4", "format_id": "1", "protocol": protocol}]
    site.files["/secret.m3u8"] = b'#EXTM3U\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI="x"\n#EXTINF:1,\n/secret.ts\n'
    row = fetched(media, site.add("cups", None, formats=formats))
    assert row.error is not None
    assert "/secret.ts" not in site.requests


def test_a_hole_in_a_segmented_video_is_no_video(media: Path, site: Site) -> None:
    site.files["/list.m3u8"] = b"#EXTM3U\n#EXTINF:5,\n/media/cups.mp4\n#EXTINF:5,\n/gone.ts\n#EXT-X-ENDLIST\n"
    formats = [{"url": site.url("list.m3u8"), "ext": "mp4", "format_id": "1", "protocol": "m3u8_native"}]
    site.add("cups", CONTENT)
    row = fetched(media, site.add("holed", None, formats=formats))
    assert row.error is not None
    assert files(media) == []


@pytest.mark.parametrize("key", ["Generic", ""])
def test_a_page_is_not_handed_on_to_an_extractor_of_another_site(media: Path, site: Site, key: str) -> None:
    row = fetched(media, site.add("cups", None, hop=site.url("anywhere"), ie_key=key))
    assert outcome(row) == "site_failed"
    assert "/anywhere" not in site.requests


@pytest.mark.parametrize(
    "url",
    [
        "https://vimeo.com/blog/post/x",
        "https://developer.vimeo.com/x/y/z",
        "https://www.bilibili.com/read/cv1234",
        "https://www.youtube.com/about",
    ],
)
def test_a_page_of_a_listed_site_that_yt_dlp_does_not_know_is_not_fetched(media: Path, url: str) -> None:
    assert outcome(downloaded(media, url)) == "site_unsupported"


@pytest.mark.parametrize(
    "url",
    [
        "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
        "https://vimeo.com/76979871",
        "https://www.dailymotion.com/video/x5kesuj",
        "https://www.bilibili.com/video/BV1xx411c7mD",
    ],
)
def test_the_generic_extractor_reads_no_page_of_a_listed_site(url: str) -> None:
    found = extractors.extractors_of(url)
    assert found
    assert all(extractors._module(one) == extractors._module(found[0]) for one in found)
    assert "Generic" not in {one.ie_key() for one in found}


def test_cookies_are_sent_and_their_file_stays_as_it_is(media: Path, site: Site, tmp_path: Path) -> None:
    cookies = tmp_path / "cookies.txt"
    cookies.write_text("# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\tsecret-of-mine\n")
    before = cookies.read_bytes(), cookies.stat().st_mtime_ns
    row = fetched(media, site.add("cups", None, **{"raise": "error: Something new"}), site_cookies=str(cookies))
    assert (cookies.read_bytes(), cookies.stat().st_mtime_ns) == before
    assert row.error is not None
    assert "secret-of-mine" not in row.model_dump_json()


@pytest.mark.parametrize("content", [None, b"no cookies here\n", b"\xff\xfe"])
def test_a_cookie_file_that_cannot_be_read_stops_the_stage_and_is_not_shown(
    media: Path, tmp_path: Path, content: bytes | None
) -> None:
    cookies = tmp_path / "cookies.txt"
    if content is not None:
        cookies.write_bytes(content)
    with pytest.raises(StageSetupError, match="site_cookies") as raised:
        stage(media, site_cookies=str(cookies))
    assert "no cookies here" not in str(raised.value)


def test_secrets_in_urls_of_a_site_s_message_are_not_shown(media: Path, site: Site) -> None:
    said = "error: see https://user:pass@cdn.example/v.mp4?sig=abc123 for more"
    row = fetched(media, site.add("cups", None, **{"raise": said}))
    assert row.error is not None
    assert "cdn.example/v.mp4" in row.error.message
    assert "pass" not in row.error.message
    assert "abc123" not in row.error.message


def test_a_page_with_several_videos_is_not_one(media: Path, site: Site) -> None:
    page = {"_type": "playlist", "entries": [{"id": "a", "title": "a", "url": site.url("media/a.mp4")}] * 2}
    row = fetched(media, site.add("cups", None, **page))
    assert outcome(row) == "several_videos"
    assert files(media) == []


@pytest.mark.parametrize(("videos", "code"), [(["a"], "list_not_expanded"), ([], "list_empty"), (None, "not_found")])
def test_a_list_that_was_not_read_when_the_run_was_planned_says_why(
    media: Path, site: Site, videos: list[str] | None, code: str
) -> None:
    url = site.url("list/tea") if videos is None else site.add_list("tea", videos)
    row = fetched(media, url)
    assert outcome(row) == code, row.error


def test_a_site_is_asked_through_the_user_s_proxy(media: Path, site: Site) -> None:
    """Which resolves names, so that a private address is its own affair; a guard stands for it."""
    url = site.add("cups", CONTENT)
    bounds = Bounds(10**9, time.monotonic() + 20, timeout=5, attempts=1, pause=0.0)
    with guarded(bounds, allow_private=True) as proxy:
        row = fetched(media, url, site_proxy=proxy.url, allow_private_addresses=False)
        assert (row.error, row.sha256) == (None, SHA256)
    gone = fetched(media, site.add("pots", CONTENT), site_proxy=proxy.url)
    assert outcome(gone) == "connection_failed"
    assert gone.error is not None
    assert "site_proxy" in gone.error.message


def test_a_proxy_that_drips_is_left_at_the_deadline(
    media: Path, site: Site, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handler, "answer_http", Handler.answer_drips_header, raising=False)  # for paths of http://...
    began = time.monotonic()
    row = fetched(media, site.add("cups", CONTENT), site_proxy=server.url("").rstrip("/"), max_seconds=1.0)
    assert outcome(row) == "too_slow"
    assert time.monotonic() - began < SOON


@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw", "br"])
def test_what_a_site_sends_encoded_is_decoded(media: Path, site: Site, coding: str) -> None:
    url = site.add("cups", CONTENT)
    headers = {"Content-Encoding": {"raw": "deflate"}.get(coding, coding)}
    for path in ("/api/cups", "/media/cups.mp4"):
        site.first[path] = (200, headers, ENCODERS[coding](site.files[path]))
    row = fetched(media, url)
    assert (row.error, row.sha256) == (None, SHA256)


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_a_page_that_is_cut_off_is_read_again(media: Path, site: Site, coding: str) -> None:
    url = site.add("cups", CONTENT)
    whole = ENCODERS[coding](site.files["/api/cups"])
    headers = {"Content-Encoding": coding, "Content-Length": str(len(whole))}
    site.first["/api/cups"] = (200, headers, whole[:-5])
    assert fetched(media, url, attempts=2).sha256 == SHA256
    assert site.requests.count("/api/cups") == 2


@pytest.mark.parametrize("coding", ["identity", "gzip"])
@pytest.mark.parametrize("code", [200, 302])
def test_a_page_keeps_to_its_bound(
    media: Path, site: Site, monkeypatch: pytest.MonkeyPatch, code: int, coding: str
) -> None:
    monkeypatch.setattr("stages.download.sites.handler.MAX_PAGE", 1 << 20)
    url = site.add("cups", CONTENT)
    headers = {"Content-Encoding": coding, **({"Location": site.url("api/cups")} if code == 302 else {})}
    body = site.files["/api/cups"] + b" " * (1 << 20)
    site.first["/api/cups"] = (code, headers, ENCODERS[coding](body))
    row = fetched(media, url)
    assert outcome(row) == "site_failed"
    assert row.error is not None
    assert "a page of more than 1 MiB" in row.error.message


def test_media_is_decoded_as_it_is_read(media: Path, site: Site) -> None:
    """Not as a whole, whose size is the sender's choice."""
    url = site.add("cups", CONTENT)
    site.first["/media/cups.mp4"] = (200, {"Content-Encoding": "gzip"}, gzip.compress(bytes(64 << 20), 1))
    tracemalloc.start()
    try:
        row = fetched(media, url, max_bytes=len(CONTENT))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert outcome(row) == "too_large"
    assert peak < 32 << 20
