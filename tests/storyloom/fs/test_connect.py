"""What is said where a URL cannot be opened, a store does not answer, or refuses: typed, in time, and no secret."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator

import fsspec
import pytest

from storyloom.errors import BadDataset, UsageError
from storyloom.format.manifest import finished_dataset
from storyloom.fs import connect, folder, http
from storyloom.fs.connect import connected
from storyloom.fs.files import files_at
from storyloom.fs.folder import DataFolder
from storyloom.fs.ranges import ByteRange
from storyloom.fs.within import Refused

SECRET = "hunter-two"


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [
        ("s3://b/x", "s3fs", "s3"),
        ("s3a://b/x", "s3fs", "s3"),
        ("gs://b/x", "gcsfs", "gcs"),
        ("az://b/x", "adlfs", "azure"),
    ],
)
def test_a_store_s_missing_package_is_told_with_the_extra_that_brings_it(
    url: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(connect, "_known", {})
    for known in ("s3", "s3a", "gs", "gcs", "az"):
        monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, known, raising=False)
    for opened in (finished_dataset, files_at, connected):
        with pytest.raises(
            UsageError, match=rf"^{url} cannot be opened: .*{package}.*pip install 'storyloom\[{extra}\]'"
        ):
            opened(url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"nope://user:{SECRET}@host/x?token={SECRET}", "^nope://host/x cannot be opened: Protocol not known: nope$"),
        ("s3://", "^s3:// names no folder$"),
        ("file://elsewhere/data", "names another machine"),
    ],
)
def test_a_url_that_nothing_opens_is_wrong_usage(url: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        DataFolder(url)
    assert SECRET not in str(refused.value)


def test_a_file_url_is_the_folder_and_kept_within_it(tmp_path: object) -> None:
    (content,) = DataFolder(f"file://{tmp_path}").read([ByteRange("../passwd")])
    assert isinstance(content, Refused)


def test_a_file_is_read_at_any_place_a_few_bytes_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    files = fsspec.filesystem("memory")
    files.pipe_file("/connected/file", bytes(range(100)))
    monkeypatch.setattr(folder, "AHEAD", 7)
    with DataFolder("memory://connected").open("file") as opened:
        assert opened.read(5) == bytes(range(5))
        assert opened.read(5) == bytes(range(5, 7))  # the end of what was fetched: unbuffered, as a file on a disk
        assert opened.readall() == bytes(range(7, 100))
        opened.seek(-3, 2)
        assert opened.read(9) == bytes(range(97, 100))
        assert opened.read(1) == b""
    files.rm("/connected", recursive=True)


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A store that takes connections and answers nothing."""
    with socket.create_server(("127.0.0.1", 0)) as ear:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{ear.getsockname()[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        yield


@pytest.mark.slow
def test_a_store_that_does_not_answer_is_given_up(silent: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PATIENCE", 1.0)
    began = time.monotonic()
    with pytest.raises(BadDataset, match=r"^s3://bucket/x/manifest\.json cannot be read: no whole answer in 1 s\. Try"):
        finished_dataset("s3://bucket/x")
    assert time.monotonic() - began < 20


@pytest.mark.slow
def test_missing_credentials_are_told(silent: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(folder, "PAUSE", 0.01)
    with pytest.raises(BadDataset, match="Unable to locate credentials"):
        finished_dataset("s3://bucket/x")


@pytest.mark.slow
def test_a_password_in_a_store_s_url_is_not_told(silent: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "PAUSE", 0.01)
    with pytest.raises(BadDataset, match=r"^s3://bucket/x/manifest\.json cannot be read") as refused:
        finished_dataset(f"s3://key:{SECRET}@bucket/x?token={SECRET}")
    assert SECRET not in str(refused.value)
