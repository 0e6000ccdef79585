"""yt-dlp's info dictionaries of several sites, in their shape: what is taken from them, and which tracks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.media import SitePage
from stages.download.sites.failures import by_error, by_state
from stages.download.sites.page import MAX_DESCRIPTION, MAX_ITEMS, MAX_NAME, page_of
from stages.download.sites.tracks import MAX_TRACKS, offered

TIMEDTEXT = "https://www.youtube.com/api/timedtext?v=x"


def youtube_track(query: str) -> list[dict[str, str]]:
    return [
        {"ext": ext, "url": f"{TIMEDTEXT}&{query}&fmt={ext}", "name": "n"} for ext in ("json3", "srv3", "ttml", "vtt")
    ]


YOUTUBE: dict[str, Any] = {
    "id": "aqz-KE-bpKQ",
    "extractor_key": "Youtube",
    "title": "A talk",
    "channel": "Tea & Cups",
    "uploader": "teacups",
    "license": "Creative Commons Attribution license (reuse allowed)",
    "language": "en",
    "upload_date": "20141110",
    "description": "Line one\nLine two",
    "tags": ["tea"],
    "availability": "public",
    "live_status": "not_live",
    "age_limit": 0,
    "formats": [{"url": "https://rr.googlevideo.com/x"}],
    "chapters": [
        {"start_time": 0.0, "end_time": 10.0, "title": "<Untitled Chapter 1>"},
        {"start_time": 10.0, "end_time": 30.5, "title": "Cups"},
    ],
    "subtitles": {
        "de": youtube_track("lang=de"),
        "en-GB": youtube_track("lang=en-GB"),
        "live_chat": [{"ext": "json", "url": "u"}],
    },
    "automatic_captions": {
        "en-orig": youtube_track("lang=en&kind=asr"),
        "en": youtube_track("lang=en&kind=asr"),
        "fr": youtube_track("lang=en&kind=asr&tlang=fr"),
        "en-de": youtube_track("lang=de&tlang=en"),
    },
}
VIMEO: dict[str, Any] = {
    "id": "76979871",
    "extractor_key": "Vimeo",
    "title": "The New Vimeo Player",
    "uploader": "Vimeo Staff",
    "license": "by-nc-nd",
    "upload_date": "20131015",
    "description": None,
    "chapters": None,
    "tags": None,
    "subtitles": {"de": [{"ext": "vtt", "url": "https://vimeo.com/texttrack/1.vtt"}]},
    "automatic_captions": {"en-x-autogen": [{"ext": "vtt", "url": "https://vimeo.com/texttrack/2.vtt"}]},
    "formats": [{"url": "https://vod.vimeocdn.com/x"}],
}
DAILYMOTION: dict[str, Any] = {
    "id": "x5kesuj",
    "extractor_key": "Dailymotion",
    "title": "Office Christmas Party Review",
    "uploader": "Deadline",
    "timestamp": 1480712400,
    "upload_date": "20161202",
    "tags": ["hollywood", 7, ""],
    "subtitles": {},
    "formats": [{"url": "https://proxy.dailymotion.com/x"}],
}
BILIBILI: dict[str, Any] = {
    "id": "BV1xx411c7mD",
    "extractor_key": "BiliBili",
    "title": "\u202e【字幕君交流场所】",
    "uploader": "碧诗",
    "upload_date": "20090909",
    "subtitles": {
        "danmaku": [{"ext": "xml", "url": "https://comment.bilibili.com/1.xml"}],
        "zh-Hans": [{"ext": "srt", "data": "1\n"}],
    },
    "formats": [{"url": "https://upos.bilivideo.com/x"}],
}


@pytest.mark.parametrize(
    ("info", "fields"),
    [
        (
            YOUTUBE,
            {
                "channel": "Tea & Cups",
                "language": "en",
                "upload_date": "2014-11-10",
                "description": "Line one Line two",
            },
        ),
        (
            VIMEO,
            {
                "channel": "Vimeo Staff",
                "license": "by-nc-nd",
                "upload_date": "2013-10-15",
                "description": "",
                "tags": [],
            },
        ),
        (DAILYMOTION, {"channel": "Deadline", "upload_date": "2016-12-02", "tags": ["hollywood"], "license": ""}),
        (BILIBILI, {"title": "【字幕君交流场所】", "channel": "碧诗", "upload_date": "2009-09-09", "site": "BiliBili"}),
    ],
    ids=["youtube", "vimeo", "dailymotion", "bilibili"],
)
def test_fields_of_a_site_s_page(info: dict[str, Any], fields: dict[str, Any]) -> None:
    page = page_of(info)
    assert {name: getattr(page, name) for name in fields} == fields
    assert by_state("https://example.org/v", info, ()) is None


def test_a_chapter_that_yt_dlp_named_has_no_title() -> None:
    assert [(one.start, one.end, one.title) for one in page_of(YOUTUBE).chapters] == [
        (0.0, 10.0, ""),
        (10.0, 30.5, "Cups"),
    ]


def taken(info: dict[str, Any], language: str = "", wanted: Any = "all") -> list[tuple[str, bool, str]]:
    return [(one.language, one.automatic, one.extension) for one in offered(info, language, wanted)]


def test_tracks_in_the_language_that_the_site_states_people_s_first_with_word_times() -> None:
    assert taken(YOUTUBE) == [("en-GB", False, "json3"), ("en", True, "json3")]


def test_the_manifest_s_language_is_right_and_translations_by_machine_are_never_taken() -> None:
    assert taken(YOUTUBE, "ger") == [("de", False, "json3")]
    assert taken(YOUTUBE, "fr") == []


def test_the_kinds_of_tracks_are_chosen() -> None:
    assert taken(YOUTUBE, wanted="human") == [("en-GB", False, "json3")]
    assert taken(YOUTUBE, wanted="none") == []


def test_without_a_stated_language_the_original_automatic_captions_say_it() -> None:
    assert taken(YOUTUBE | {"language": None}) == [("en-GB", False, "json3"), ("en", True, "json3")]


def test_where_no_language_is_known_every_track_by_people_is_taken() -> None:
    assert taken(VIMEO) == [("de", False, "vtt")]
    assert taken(BILIBILI) == [("zh-Hans", False, "srt")]  # bullet comments are no subtitles


def test_automatic_captions_of_a_site_without_translations_are_taken_in_the_language_of_the_speech() -> None:
    assert [(language.partition("-")[0], automatic) for language, automatic, _ in taken(VIMEO, "en")] == [("en", True)]


def test_a_track_with_a_name_has_its_language() -> None:
    info = {"language": "en", "subtitles": {"en-j3PyPqV-e1s": youtube_track("lang=en")}}
    assert taken(info) == [("en", False, "json3")]


def test_tracks_and_texts_are_bounded() -> None:
    many = {f"en-{chr(65 + n // 26)}{chr(65 + n % 26)}": youtube_track("x") for n in range(200)}
    assert len(offered({"language": "en", "subtitles": many}, "")) <= MAX_TRACKS
    chapters = [{"start_time": n, "end_time": n + 1, "title": "t" * 10_000} for n in range(2000)]
    page = page_of({"title": "x" * 10_000, "description": "x" * 100_000, "tags": ["t"] * 5000, "chapters": chapters})
    assert (len(page.title), len(page.description)) == (MAX_NAME, MAX_DESCRIPTION)
    assert (len(page.tags), len(page.chapters), len(page.chapters[0].title)) == (MAX_ITEMS, MAX_ITEMS, MAX_NAME)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=6) | st.sampled_from(["en", "en-orig"]), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = [
    "id",
    "title",
    "channel",
    "license",
    "language",
    "upload_date",
    "description",
    "tags",
    "chapters",
    "subtitles",
    "automatic_captions",
]


@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING))
def test_whatever_an_extractor_returns_is_a_page(info: dict[str, Any]) -> None:
    assert isinstance(page_of(info), SitePage)
    assert offered(info, "") is not None


@given(ANYTHING, ANYTHING)
def test_whatever_chapters_are_they_are_in_order(start: Any, end: Any) -> None:
    stated = [{"start_time": start, "end_time": end}, {"start_time": end, "end_time": 9e9}, start]
    found = page_of({"chapters": stated}).chapters
    assert all(one.start < one.end for one in found)
    assert [one.start for one in found] == sorted(one.start for one in found)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("Sign in to confirm you’re not a bot. Use --cookies-from-browser or --cookies", "bot_check"),
        ("The current session has been rate-limited by YouTube for up to an hour.", "rate_limited"),
        ("Sign in to confirm your age. This video may be inappropriate for some users.", "age_restricted"),
        ("Join this channel to get access to members-only content like this video", "members_only"),
        ("This video is available to this channel's members on level: Gold", "members_only"),
        ("This video requires payment to watch", "members_only"),
        ("Private video. Sign in if you've been granted access to this video", "private_video"),
        ("Because of its privacy settings, this video cannot be played here", "private_video"),
        ("Premieres in 3 hours", "premiere"),
        ("This live event will begin in 2 days.", "premiere"),
        ("The channel is not currently live", "not_live"),
        ("The uploader has not made this video available in your country", "region_locked"),
        (
            "Video unavailable. This video contains content from SME, who has blocked it in your country",
            "region_locked",
        ),
        ("This video is DRM protected", "drm_protected"),
        ("This video has been removed for violating YouTube's Terms of Service", "removed_video"),
        ("Video unavailable. This video is no longer available due to a copyright claim by X", "removed_video"),
        ("This video is protected by a password, use the --video-password option", "login_needed"),
        ("Video unavailable", "unavailable_video"),
        ("The page needs to be reloaded.", "site_failed"),
    ],
)
def test_a_message_of_a_site_has_its_code(message: str, code: str) -> None:
    from yt_dlp.utils import DownloadError

    assert by_error("https://youtube.com/watch?v=x", DownloadError(f"ERROR: [youtube] x: {message}")).code == code
