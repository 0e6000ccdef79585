"""What `Files` promises holds over a store, or a network before it, that misbehaves."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from storyloom.fs import connect
from storyloom.fs import store as under_test
from storyloom.fs.cache import LOCK_SUFFIX
from storyloom.fs.files import Files, files_at
from storyloom.fs.store import StoreFailed
from tests.misbehaving import Fault, Misbehaving, misbehaving
from tests.runs import ROOT
from tests.stores import Store, seaweed

pytestmark = pytest.mark.slow

ATTEMPTS = 3

PART = 5 * 2**20
"""Bytes of a part of a large file: the fewest that S3 takes."""

READ_TIMEOUT = 1.0
"""Seconds for which the impatient wait for an answer."""


@pytest.fixture(scope="module")
def server() -> Iterator[Store]:
    with seaweed() as store:
        yield store


@pytest.fixture(scope="module")
def proxy(server: Store) -> Iterator[Misbehaving]:
    with misbehaving(server) as found:
        yield found


@pytest.fixture
def files(proxy: Misbehaving, monkeypatch: pytest.MonkeyPatch) -> Files:
    """A folder behind the proxy; nothing goes wrong yet, and nobody waits for long."""
    import s3fs

    for name, value in (proxy.environment | {"AWS_MAX_ATTEMPTS": "1"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    monkeypatch.setattr(s3fs.core, "calculate_chunksize", lambda size, chunksize=None: PART)
    monkeypatch.setattr(connect, "_known", {})
    monkeypatch.setattr(under_test, "ATTEMPTS", ATTEMPTS)
    monkeypatch.setattr(under_test, "PAUSE", 0.02)
    proxy.faults.clear()
    found = files_at(proxy.folder())
    found.entries()  # a store that never answered is given up earlier
    proxy.seen.clear()
    return found


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    monkeypatch.setattr(s3fs.S3FileSystem, "read_timeout", READ_TIMEOUT)


def large(folder: Path, letter: bytes) -> Path:
    file = folder / "large"
    file.write_bytes(letter * (2 * PART + 1))
    return file


REFUSED = [(503, "SlowDown"), (500, "InternalError"), (409, "ConditionalRequestConflict"), (403, "ExpiredToken")]


@pytest.mark.parametrize(("status", "code"), REFUSED)
def test_a_refusal_that_passes_is_not_noticed(files: Files, proxy: Misbehaving, status: int, code: str) -> None:
    proxy.faults.append(Fault(status=status, code=code, times=ATTEMPTS - 1))
    assert files.create("a", b"first")
    proxy.faults.append(Fault(status=status, code=code, times=ATTEMPTS - 1))
    assert files.read("a") == b"first"
    proxy.faults.append(Fault(status=status, code=code, times=ATTEMPTS - 1))
    assert [one.name for one in files.entries()] == ["a"]


@pytest.mark.parametrize(("status", "code"), REFUSED)
def test_a_refusal_that_does_not_pass_ends_with_address_and_cause(
    files: Files, proxy: Misbehaving, status: int, code: str
) -> None:
    files.create("there", b"1")
    proxy.faults.append(Fault(status=status, code=code, times=10**6))
    for request in (lambda: files.create("a", b"1"), lambda: files.replace("a", b"1"), files.entries):
        with pytest.raises(StoreFailed, match=rf"{files.address}: .*{code}"):
            request()
    proxy.faults.clear()
    assert files.entry("a") is None


@pytest.mark.usefixtures("impatient")
def test_a_store_that_never_answers_is_waited_for_a_bounded_time(
    files: Files, proxy: Misbehaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "PATIENCE", 0.5)
    proxy.faults.append(Fault(delay=2 * READ_TIMEOUT, times=10**6))
    began = time.monotonic()
    with pytest.raises(StoreFailed, match=files.address):
        files.read("a")
    assert time.monotonic() - began < 10 * READ_TIMEOUT


def test_a_slow_store_is_waited_for(files: Files, proxy: Misbehaving) -> None:
    proxy.faults.append(Fault(delay=2 * READ_TIMEOUT, times=4))
    assert files.create("a", b"first")
    assert not files.create("a", b"other")
    assert files.read("a") == b"first"


@pytest.mark.parametrize("content", [b"first", b"other"])
def test_a_creation_whose_answer_was_lost_is_looked_up(files: Files, proxy: Misbehaving, content: bytes) -> None:
    """The request was carried out: who comes back finds its own file, and another one's where that was first."""
    if content == b"other":
        files.create("a", b"first")
    proxy.faults.append(Fault("PUT", "/a", sent=0.0))
    assert files.create("a", content) == (content == b"first")
    assert files.read("a") == b"first"


@pytest.mark.usefixtures("impatient")
def test_an_answer_that_comes_too_late_leaves_the_writer_the_winner(files: Files, proxy: Misbehaving) -> None:
    """The client gives up before the store has even got the request, and sends it again: both arrive."""
    proxy.faults.append(Fault("PUT", "/a", delay=1.5 * READ_TIMEOUT))
    assert files.create("a", b"first")
    time.sleep(READ_TIMEOUT)
    assert files.read("a") == b"first"
    assert not files.create("a", b"other")


def test_a_large_file_whose_completion_was_not_answered_is_there_once(
    files: Files, proxy: Misbehaving, tmp_path: Path
) -> None:
    proxy.faults.append(Fault("POST", "uploadId=", sent=0.0))
    assert files.create("a", large(tmp_path, b"1"))
    assert not files.create("a", large(tmp_path, b"2"))
    with files.open("a") as opened:
        assert opened.read(10) == b"1" * 10
    assert files.unfinished(0) == []


def test_a_part_that_is_lost_under_way_leaves_nothing_of_the_file(
    files: Files, proxy: Misbehaving, tmp_path: Path
) -> None:
    proxy.faults.append(Fault("PUT", "partNumber=2", status=500, code="InternalError", times=10**6))
    with pytest.raises(StoreFailed):
        files.create("a", large(tmp_path, b"1"))
    assert files.entry("a") is None
    assert [*files.tree()] == []


def test_a_body_that_is_cut_is_read_again(files: Files, proxy: Misbehaving) -> None:
    content = bytes(range(256)) * 1000
    files.create("a", content)
    for times in range(1, ATTEMPTS):
        proxy.faults.append(Fault("GET", "/a", sent=0.5, times=times))
        assert files.read("a") == content
        proxy.faults.append(Fault("GET", "/a", sent=0.5, times=times))
        with files.local("a") as path:
            assert path.read_bytes() == content
        with files.open("a") as opened:
            proxy.faults.append(Fault("GET", "/a", sent=0.5, times=times))
            opened.seek(1000)
            assert opened.read() == content[1000:]


def test_a_body_that_is_always_cut_is_no_content(files: Files, proxy: Misbehaving) -> None:
    files.create("a", b"0123456789" * 1000)
    proxy.faults.append(Fault("GET", "/a", sent=0.5, times=10**6))
    with pytest.raises(StoreFailed, match=files.address):
        files.read("a")
    with pytest.raises(StoreFailed, match=files.address), files.local("a"):
        pass


def test_a_large_file_is_brought_in_spite_of_lost_connections(
    files: Files, proxy: Misbehaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "PIECE", 10_000)
    content = bytes(range(256)) * 1000
    files.create("a", content)
    proxy.seen.clear()
    proxy.faults.append(Fault("GET", "/a", sent=0.5, times=2))
    with files.local("a") as path:
        assert path.read_bytes() == content
    pieces = -(-len(content) // 10_000)
    assert sum(one.method == "GET" for one in proxy.seen) <= pieces + 2 * under_test.AT_ONCE


def test_a_large_file_that_is_replaced_while_it_is_brought_is_no_mix(
    files: Files, proxy: Misbehaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "PIECE", 10_000)
    files.create("a", b"1" * 200_000)
    proxy.faults.append(Fault("GET", "/a", delay=0.5, times=under_test.AT_ONCE))
    replacing = threading.Timer(0.2, files.replace, ["a", b"2" * 200_000])
    replacing.start()
    with pytest.raises(StoreFailed, match="was replaced while it was read"), files.local("a"):
        pass
    replacing.join()


def test_an_open_file_that_is_replaced_is_no_mix(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "AHEAD", 1000)
    files.create("a", b"1" * 10_000)
    with files.open("a") as opened:
        assert opened.read(1000) == b"1" * 1000
        files.replace("a", b"2" * 10_000)
        with pytest.raises(StoreFailed):
            opened.read()


def test_credentials_that_expired_are_read_anew_once_they_are_renewed(
    files: Files, proxy: Misbehaving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give(key: str) -> None:
        (tmp_path / "credentials").write_text(
            f"[default]\naws_access_key_id = {key}\naws_secret_access_key = tests-secret\n"
        )

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    give("stale")
    stale = files_at(proxy.folder())
    proxy.faults.append(Fault(key="stale", status=403, code="ExpiredToken", times=10**6))
    with pytest.raises(StoreFailed, match=r"s3://.*ExpiredToken"):
        stale.entries()
    renewing = threading.Timer(0.1, give, ["tests"])
    renewing.start()
    assert stale.create("a", b"first")
    renewing.join()
    with stale.open("a") as opened:
        assert opened.read() == b"first"


def test_an_upload_that_was_never_completed_is_found_and_removed(files: Files, proxy: Misbehaving) -> None:
    store = proxy.files()
    root = files.address.removeprefix("s3://")
    bucket, _, folder = root.partition("/")
    files.create("x/b", b"1")
    for key in (f"{folder}/x/a", f"{folder}-other/a"):
        upload = store.call_s3("create_multipart_upload", Bucket=bucket, Key=key)
        store.call_s3("upload_part", Bucket=bucket, Key=key, UploadId=upload["UploadId"], PartNumber=1, Body=b"1")
    assert files.unfinished(86_400) == []
    (found,) = files.unfinished(0)
    assert found.name == "x/a"
    assert files.entry("x/a") is None
    files.abandon(found)
    files.abandon(found)
    assert files.unfinished(0) == []
    assert [one["Key"] for one in store.list_multipart_uploads(bucket)] == [f"{folder}-other/a"]
    assert files.read("x/b") == b"1"


def test_a_bucket_that_is_missing_is_told(files: Files, proxy: Misbehaving) -> None:
    proxy.faults.append(Fault("PUT", status=404, code="NoSuchBucket", times=10**6))
    with pytest.raises(StoreFailed, match=rf"{files.address}: .*NoSuchBucket"):
        files.create("a", b"1")


IN_PARTS = f"""
import sys
from pathlib import Path
import s3fs.core
from storyloom.fs import store
from storyloom.fs.files import files_at

s3fs.core.calculate_chunksize = lambda size, chunksize=None: {PART}
store.PIECE = {PART // 8}
url, what, file = sys.argv[1:]
if what == "create":
    files_at(url).create("a", Path(file))
else:
    with files_at(url).local("a", {"f" * 64!r}):
        pass
"""


def kill_in(files: Files, proxy: Misbehaving, what: str, file: Path, method: str, within: str) -> None:
    """Let another process do something, and kill it at a request of it."""
    process = subprocess.Popen([sys.executable, "-c", IN_PARTS, files.address, what, str(file)], cwd=ROOT)
    proxy.faults.append(Fault(method, within, act=process.kill))
    assert process.wait(120) == -signal.SIGKILL


def test_a_writer_that_is_killed_between_parts_leaves_no_file(files: Files, proxy: Misbehaving, tmp_path: Path) -> None:
    kill_in(files, proxy, "create", large(tmp_path, b"1"), "PUT", "partNumber=2")
    assert files.entry("a") is None
    assert [*files.tree()] == []
    (left,) = files.unfinished(0)
    assert files.create("a", large(tmp_path, b"2"))
    files.abandon(left)
    with files.open("a") as opened:
        assert opened.read() == b"2" * (2 * PART + 1)


def test_a_reader_that_is_killed_while_it_fills_the_cache_leaves_no_half_file(
    files: Files, proxy: Misbehaving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORYLOOM_CACHE", str(tmp_path / "cache"))
    content = large(tmp_path, b"1")
    files.create("a", content)
    kill_in(files, proxy, "local", content, "GET", "/a")
    with files_at(files.address).local("a", "f" * 64) as path:
        assert path.read_bytes() == content.read_bytes()
    left = [one for one in (tmp_path / "cache").rglob("*") if one.is_file() and one.suffix != LOCK_SUFFIX]
    assert [one.stat().st_size for one in left] == [2 * PART + 1]
