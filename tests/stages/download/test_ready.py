"""What `download` needs of a machine is known before its first video."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

from stages.download import ready, storage
from stages.download.ready import missing_for
from stages.download.settings import DownloadConfig

SITE = "https://www.youtube.com/watch?v=abc"


def test_the_web_and_local_files_need_nothing() -> None:
    assert missing_for(DownloadConfig(), ["https://example.org/a.mp4", SITE]) == []


def test_a_site_without_yt_dlp_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "find_spec", lambda name: None)
    (said,) = missing_for(DownloadConfig(), ["https://example.org/a.mp4", SITE, "https://vimeo.com/1"])
    assert said == "videos of youtube.com need yt-dlp, which is not installed: pip install 'storyloom[sites]'"


def test_a_store_without_its_package_says_which() -> None:
    if importlib.util.find_spec("gcsfs"):
        pytest.skip("gcsfs is installed")
    (said,) = missing_for(DownloadConfig(), ["gs://bucket/a.mp4"])
    assert "gcsfs" in said


def test_a_scheme_that_is_not_fetched_needs_no_package() -> None:
    assert missing_for(DownloadConfig(schemes=("https",)), ["gs://bucket/a.mp4"]) == []


def refuse(url: str) -> None:
    raise PermissionError("Forbidden")


def lose(url: str) -> None:
    raise FileNotFoundError(url)


def test_a_store_that_shows_nothing_without_credentials_says_how_to_give_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_filesystem", lambda *_, **__: SimpleNamespace(anon=True, info=refuse))
    (said,) = missing_for(DownloadConfig(), ["s3://bucket/a.mp4?signature=secret"])
    assert said.startswith("s3://bucket shows s3://bucket/a.mp4 to nobody without credentials")
    assert "AWS_ACCESS_KEY_ID" in said
    assert "secret" not in said


def test_an_object_that_is_not_there_is_the_videos_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_filesystem", lambda *_, **__: SimpleNamespace(anon=True, info=lose))
    assert missing_for(DownloadConfig(), ["s3://bucket/a.mp4"]) == []


def test_with_credentials_a_store_is_not_asked_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_filesystem", lambda *_, **__: SimpleNamespace(anon=False, info=refuse))
    assert missing_for(DownloadConfig(), ["s3://bucket/a.mp4"]) == []


def test_a_root_or_cookie_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    config = DownloadConfig(local_root=str(tmp_path / "root"), site_cookies=str(tmp_path / "cookies.txt"))
    cookies, root = missing_for(config, [])
    assert "cookies.txt cannot be read" in cookies
    assert root.startswith(f"download.local_root {tmp_path / 'root'} is no folder")


def test_a_cache_that_cannot_be_used_is_told_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORYLOOM_CACHE_BYTES", "10GB")
    assert missing_for(DownloadConfig(), ["https://example.org/a.mp4"]) == []
    stored = missing_for(DownloadConfig(schemes=("memory",)), ["memory://bucket/a.mp4"])
    never = missing_for(DownloadConfig(keep="never"), ["https://example.org/a.mp4"])
    assert [one.partition(",")[0] for one in (*stored, *never)] == ["STORYLOOM_CACHE_BYTES is '10GB'"] * 2
