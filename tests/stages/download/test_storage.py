from __future__ import annotations

import functools
import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from storyloom.fs import access
from storyloom.fs.access import _without_instance, filesystem
from tests.downloads import CONTENT, SHA256, SOON, downloaded, files, left_by, outcome
from tests.http_server import Server, serving


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
def metadata(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """A machine with a metadata service and no credentials, in front of a store that has the demo video."""
    pytest.importorskip("s3fs")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_EC2_METADATA_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url("").rstrip("/"))
    filesystem.cache_clear()
    with serving(b"") as service:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url(""))
        yield service
    filesystem.cache_clear()


def test_a_public_object_is_read_without_asking_the_metadata_service(
    media: Path, metadata: Server, server: Server
) -> None:
    row = downloaded(media, "s3://bucket/talk.mp4")
    assert (row.error, row.sha256) == (None, SHA256)
    assert metadata.requests == []
    assert {seen.authorization for seen in server.requests} == {None}


def test_an_object_that_its_cache_has_damaged_is_brought_again(media: Path, metadata: Server, tmp_path: Path) -> None:
    downloaded(media, "s3://tagged/talk.mp4")
    (cached,) = (file for file in (tmp_path / "cache").glob("files/*/*") if file.suffix != ".lock")
    brought = cached.stat().st_ino
    assert downloaded(media, "s3://tagged/talk.mp4").sha256 == SHA256
    assert cached.stat().st_ino == brought
    cached.write_bytes(CONTENT[:1000] + bytes(1000) + CONTENT[2000:])
    row = downloaded(media, "s3://tagged/talk.mp4")
    assert (row.error, row.sha256, cached.read_bytes()) == (None, SHA256, CONTENT)


def test_the_metadata_service_is_asked_where_that_is_configured(media: Path, metadata: Server) -> None:
    downloaded(media, "s3://bucket/talk.mp4", instance_credentials=True, attempts=1)
    assert "/latest/meta-data/iam/security-credentials/" in [seen.path for seen in metadata.requests]


def test_configured_credentials_are_used(
    media: Path, metadata: Server, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "configured")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")
    assert downloaded(media, "s3://bucket/talk.mp4").sha256 == SHA256
    assert all("Credential=configured/" in str(seen.authorization) for seen in server.requests)
    assert metadata.requests == []


@pytest.mark.parametrize("bucket", ["slow_bucket", "stalls_always"])
def test_the_time_for_an_object_is_bounded(media: Path, metadata: Server, bucket: str) -> None:
    began = time.monotonic()
    row = downloaded(media, f"s3://{bucket}/talk.mp4", max_seconds=1.0)
    assert time.monotonic() - began < SOON
    assert row.error is not None
    assert (row.error.code, row.error.retryable) == ("too_slow", True)


def test_a_silent_store_is_left_and_asked_again(media: Path, metadata: Server) -> None:
    row = downloaded(media, "s3://bucket_silent_once/talk.mp4", timeout=0.5, max_seconds=40.0)
    assert (row.error, row.sha256) == (None, SHA256)


@pytest.mark.parametrize(
    ("variable", "value", "config"),
    [
        ("AWS_PROFILE", "missing", ""),
        ("AWS_ACCESS_KEY_ID", "without its secret", ""),
        ("AWS_REGION", "eu-west-1", "[default\n"),
        ("AWS_REGION", "eu-west-1", "[default]\ncredential_process = /bin/false\n"),
        ("AWS_REGION", "eu-west-1", "[default]\nsso_session = missing\nsso_account_id = 1\nsso_role_name = r\n"),
    ],
)
def test_a_store_that_is_not_set_up_is_no_fault_of_the_video(
    media: Path,
    metadata: Server,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    variable: str,
    value: str,
    config: str,
) -> None:
    (tmp_path / "config").write_text(config)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv(variable, value)
    row = downloaded(media, "s3://bucket/talk.mp4", attempts=1)
    assert row.error is not None
    assert (row.error.code, row.error.retryable) == ("storage_error", True)
    assert "s3://" in row.error.message


def test_google_is_asked_for_no_instance_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    assert _without_instance("gs") == {"token": "anon"}
    (tmp_path / "application_default_credentials.json").write_text("{}")
    assert _without_instance("gs") == {"token": "google_default"}


def test_a_scheme_that_needs_a_host_is_refused(media: Path) -> None:
    assert outcome(downloaded(media, "ftp://127.0.0.1/talk.mp4", schemes=("ftp",))) == "scheme_refused"


class _Refusing(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A store whose credentials are out of date."""

    cachable = False

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        raise PermissionError("The provided token has expired.")


def test_credentials_are_read_anew_before_a_video_is_refused(
    stored: str, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [MemoryFileSystem(), _Refusing()]
    monkeypatch.setattr(access, "filesystem", functools.cache(lambda *_, **__: made.pop()))
    assert downloaded(media, stored, schemes=("memory",)).error is None
    assert not made


def test_a_video_that_credentials_do_not_open_may_be_tried_again(
    stored: str, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "filesystem", functools.cache(lambda *_, **__: _Refusing()))
    error = downloaded(media, stored, schemes=("memory",)).error
    assert error is not None
    assert (error.code, error.retryable) == ("forbidden", True)
