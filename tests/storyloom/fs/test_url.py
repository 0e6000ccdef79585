"""URLs as they are shown and published: which parts stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storyloom.fs.url import HIDDEN, published, without_secrets

SECRET = "5ecret"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://example.org/a.mp4", "https://example.org/a.mp4"),
        (f"https://user:{SECRET}@example.org/a.mp4", "https://example.org/a.mp4"),
        (f"https://user:p@{SECRET}@example.org/a.mp4", "https://example.org/a.mp4"),
        (f"https://user:{SECRET}/%40@example.org/a.mp4", "https://…"),
        (f"https://user:p?{SECRET}@example.org/a.mp4", "https://…"),
        (f"https://example.org/a.mp4?X-Amz-Signature={SECRET}#t=1", "https://example.org/a.mp4"),
        (f"https://www.youtube.com/watch?si={SECRET}&v=abc", "https://www.youtube.com/watch?v=abc"),
        (f"https://example.org/w?v=1;sig={SECRET}", "https://example.org/w?v=1"),
        (f"https://example.org/w#{SECRET}", "https://example.org/w"),
        (f"s3://key:{SECRET}@bucket/a.mp4?versionId={SECRET}", "s3://bucket/a.mp4"),
        (f"zip://a.mp4::https://u:{SECRET}@example.org/b.zip?{SECRET}", "zip://a.mp4::https://example.org/b.zip"),
        (f"simplecache::https://u:{SECRET}@example.org/a.mp4", "simplecache::https://example.org/a.mp4"),
        ("http://[::1]:8080/a.mp4", "http://[::1]:8080/a.mp4"),
        ("https://www.youtube.com/@channel/videos", "https://www.youtube.com/@channel/videos"),
        (f"file://user:{SECRET}@localhost/media/what?.mp4", "file://localhost/media/what?.mp4"),
        ("media/what?#1.mp4", "media/what?#1.mp4"),
        (f"//u:{SECRET}@h/x.mp4?tok={SECRET}", "//h/x.mp4"),
        (f"//h/x.mp4?tok={SECRET}", "//h/x.mp4"),
        (f"//u:{SECRET}/x@h/x.mp4", f"//{HIDDEN}"),
        (f"u:{SECRET}@host:/x?tok={SECRET}", "host:/x"),
        (f"u:{SECRET}@host/x?tok={SECRET}", "host/x"),
        (f"http:/u:{SECRET}@h/x?tok={SECRET}", "http:/h/x"),
        (f"https:u:{SECRET}@h/x?tok={SECRET}", "h/x"),
        (f"https//u:{SECRET}@h/x?tok={SECRET}", "https//h/x"),
        (f"https;//u:{SECRET}@h/x?tok={SECRET}", "https;//h/x"),
        (f"https:\\\\u:{SECRET}@h/x?tok={SECRET}", "https:\\\\h/x"),
        (f"https:///u:{SECRET}@h/x?tok={SECRET}", "https:///h/x"),
        ("/media/what?#1@2x.mp4", "/media/what?#1@2x.mp4"),
        ("./me@home/10:30 what?.mp4", "./me@home/10:30 what?.mp4"),
        ("10:30 me@home?.mp4", "10:30 me@home?.mp4"),
    ],
)
def test_a_published_url_holds_no_secret(url: str, shown: str) -> None:
    assert published(url, ("v",)) == shown


@given(st.text(), st.sets(st.text(min_size=1, max_size=3), max_size=3))
def test_publishing_twice_changes_nothing(text: str, parameters: set[str]) -> None:
    once = published(f"https://{text}", parameters)
    assert published(once, parameters) == once


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"404 for url 'https://u:{SECRET}@example.org/a?x={SECRET}'", "404 for url 'https://example.org/a"),
        (f"('http://a/x','http://u:{SECRET}@b/y')", "('http://a/x','http://b/y')"),
        (f"<https://example.org/?{SECRET}> failed", "<https://example.org/> failed"),
        (f"https://example.org/?to=https://u:{SECRET}@b/&t={SECRET}", "https://example.org/"),
        (f"https://u:{SECRET}/@b/y", "https://…"),
        (f"https://u:p?{SECRET}@b/y", "https://…"),
        (f"file://u:{SECRET}@host/a?.mp4", "file://host/a?.mp4"),
        ("file:///media/what?.mp4 is gone", "file:///media/what?.mp4 is gone"),
        (f"see //u:{SECRET}@h/x?tok={SECRET} and (http:/u:{SECRET}@h/x?tok={SECRET})", "see //h/x and (http:/h/x"),
        (f"no file /base/http:/u:{SECRET}@h/x?tok={SECRET}", "no file /base/http:/h/x"),
        ("write to mailto:me@example.org?", "write to mailto:me@example.org?"),
        ("ratio 16:9 @ and/or what? 10:30@home", "ratio 16:9 @ and/or what? 10:30@home"),
        ("0.5 s ? nothing # here", "0.5 s ? nothing # here"),
    ],
)
def test_a_message_quotes_urls_without_secrets(text: str, left: str) -> None:
    assert without_secrets(text) == left


URLS = st.builds(
    "https://{0}:{1}@example.org/a.mp4?{2}={3}&v=1#{4}".format,
    *[st.text("abcXYZ019-._~!$*", min_size=2, max_size=5)] * 2,
    st.just("sig"),
    *[st.text("abcXYZ019-._~%/+", min_size=2, max_size=5)] * 2,
)


@given(URLS, st.sampled_from(["{}", "no answer from {}: refused", "('{}',)", "“{}”, again", "{}\n{}"]))
def test_no_secret_of_a_url_is_left_in_a_message(url: str, text: str) -> None:
    shown = without_secrets(text.replace("{}", url))
    assert "https://example.org/a.mp4" in shown
    assert not any(mark in shown for mark in ("@", "?", "#", "sig="))


def test_parts_of_a_known_url_go_wherever_they_stand() -> None:
    url = "https://user:p%40ssword@example.org/a.mp4?token=abc%2Fdef"
    text = "bad port p@ssword; p%40ssword; token=abc%2Fdef; abc/def; see example.org"
    assert without_secrets(text, url) == "bad port …; …; …; …; see example.org"


@pytest.mark.parametrize("url", ["//me:p%40ssword@h/x?token=abc", "http:/me:p%40ssword@h/x?token=abc"])
def test_parts_of_a_mistyped_url_go_wherever_they_stand(url: str) -> None:
    assert without_secrets("p@ssword; token=abc", url) == "…; …"


@pytest.mark.parametrize("text", ["a:" * 200_000 + "@", "https:/" * 60_000 + "@", "u:p@" * 100_000])
def test_a_long_word_is_read_in_linear_time(text: str) -> None:
    without_secrets(text)
    published(text)


def test_a_long_message_is_read_in_linear_time() -> None:
    assert len(without_secrets("https://a@" * 100_000 + "a" * 1_000_000)) > 1_000_000


def test_a_path_before_a_url_in_one_word_hides_no_query() -> None:
    text = "('file:///a?b.mp4','https://h.example/x?sig=SECRET')"
    assert without_secrets(text) == "('file:///a?b.mp4','https://h.example/x"
