"""URLs as they are shown and published: which parts stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storyloom.fs.url import published

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
    ],
)
def test_a_published_url_holds_no_secret(url: str, shown: str) -> None:
    assert published(url, ("v",)) == shown


@given(st.text(), st.sets(st.text(max_size=3), max_size=3))
def test_publishing_twice_changes_nothing(text: str, parameters: set[str]) -> None:
    once = published(f"https://{text}", parameters)
    assert published(once, parameters) == once
