"""A folder of files behaves alike on a disk and in the stores."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storyloom.errors import UsageError
from storyloom.fs import store as of_stores
from storyloom.fs.atomic import TEMPORARY_SUFFIX
from storyloom.fs.files import Entry, Files, files_at
from storyloom.fs.store import StoreFailed
from tests import stores

MULTIPART = 120 * 2**20
"""Bytes of a file that s3fs sends in parts."""


SERVERS = ("seaweed", "moto", "fake_gcs", "azurite")


@pytest.fixture(scope="module", params=["disk", *(pytest.param(one, marks=pytest.mark.slow) for one in SERVERS)])
def new_place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """Makes empty folders of one kind of place."""
    if request.param == "disk":
        yield lambda: str(tmp_path_factory.mktemp("files"))
        return
    with getattr(stores, request.param)() as store, pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment.items():
            patch.setenv(name, value)
        yield store.folder


@pytest.fixture
def files(new_place: Callable[[], str]) -> Files:
    return files_at(new_place())


def put(files: Files, name: str, content: bytes) -> bool:
    """Create a file from one of this machine."""
    with files.scratch() as folder:
        (folder / "file").write_bytes(content)
        return files.create(name, folder / "file")


def names(entries: Iterator[Entry] | list[Entry]) -> list[str]:
    return [one.name for one in entries]


def test_a_file_that_was_created_is_read(files: Files) -> None:
    assert files.create("x/a.json", b"first")
    assert put(files, "x/b.parquet", b"0123456789")
    assert files.read("x/a.json") == b"first"
    with files.open("x/b.parquet") as opened:
        opened.seek(4)
        assert opened.read(3) == b"456"
    with files.local("x/b.parquet") as path:
        assert path.read_bytes() == b"0123456789"


def create(files: Files, name: str, content: bytes) -> bool:
    return files.create(name, content)


@pytest.mark.parametrize("make", [create, put])
def test_the_first_of_two_writers_wins_and_the_second_learns_whether_it_wrote_the_same(
    files: Files, make: Callable[[Files, str, bytes], bool]
) -> None:
    assert make(files, "a", b"first")
    assert not make(files, "a", b"other")
    assert not make(files, "a", b"longer than first")
    assert make(files, "a", b"first")
    assert files.read("a") == b"first"


def test_a_file_that_is_sent_in_parts_is_created_once(files: Files) -> None:
    if files.address.startswith("gs://"):
        pytest.xfail("fake-gcs-server does not hold a resumable upload against the condition that gcsfs sends with it")
    with files.scratch() as folder:
        first, other = folder / "first", folder / "other"
        first.write_bytes(b"1" * MULTIPART)
        other.write_bytes(b"2" * MULTIPART)
        assert files.create("large", first)
        assert not files.create("large", other)
        assert files.create("large", first)
    with files.open("large") as opened:
        assert opened.read(10) == b"1" * 10


def test_one_of_many_writers_at_once_wins(files: Files) -> None:
    won: list[int] = []

    def write(number: int) -> None:
        if files.create("race", f"writer {number}".encode()):
            won.append(number)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    assert [files.read("race")] == [f"writer {number}".encode() for number in won]


def test_what_is_there_is_listed_by_name_at_once(files: Files) -> None:
    assert not [*files.entries(), *files.folders(), *files.tree()]
    for name in ("b", "a", "x/2", "x/1", "x/y/3", "xx"):
        files.create(name, name.encode())
    assert names(files.entries()) == ["a", "b", "xx"]
    assert files.folders() == ["x"]
    assert files.folders("x") == ["x/y"]
    assert names(files.entries("x")) == ["x/1", "x/2"]
    assert names(files.tree("x")) == ["x/1", "x/2", "x/y/3"]
    assert not [*files.entries("none"), *files.folders("none"), *files.tree("none")]
    assert {one.name: one.size for one in files.tree()} == {"a": 1, "b": 1, "x/1": 3, "x/2": 3, "x/y/3": 5, "xx": 2}


def test_an_entry_has_the_version_of_its_listing_and_another_one_once_it_is_replaced(files: Files) -> None:
    assert files.entry("x/a") is None
    files.create("x/a", b"first")
    before = files.entry("x/a")
    assert [before] == files.entries("x") == list(files.tree())
    files.replace("x/a", b"other")
    after = files.entry("x/a")
    assert before is not None
    assert after is not None
    assert (before.size, after.size) == (5, 5)
    assert before.version != after.version
    assert files.entry("x") is None


def test_a_file_replaces_another(files: Files) -> None:
    files.replace("x/a", b"first")
    with files.scratch() as folder:
        (folder / "other").write_bytes(b"other")
        files.replace("x/a", folder / "other")
    assert files.read("x/a") == b"other"


def test_the_files_of_a_folder_are_created_and_those_that_are_there_stay(files: Files) -> None:
    for content in ("first", "other"):
        with files.scratch() as folder:
            (folder / "data").mkdir()
            (folder / "data" / "shard.tar").write_text(content)
            (folder / "about").write_text(content)
            files.create_folder("x/group", folder)
    assert names(files.tree("x")) == ["x/group/about", "x/group/data/shard.tar"]
    assert files.read("x/group/data/shard.tar") == b"first"


def test_what_is_removed_is_gone_and_nothing_else(files: Files) -> None:
    for name in ("x/a", "x/y/b", "xx"):
        files.create(name, b"1")
    files.remove("x/a")
    files.remove("x/a")
    assert names(files.tree()) == ["x/y/b", "xx"]
    files.remove_folder("x")
    files.remove_folder("x")
    assert names(files.tree()) == ["xx"]


def test_a_file_that_is_not_there_is_not_found(files: Files) -> None:
    with pytest.raises(FileNotFoundError):
        files.read("none")
    with pytest.raises(FileNotFoundError):
        files.open("none").close()
    with pytest.raises(FileNotFoundError), files.local("none"):
        pass


def test_a_scratch_folder_goes_with_its_block_and_is_not_among_the_files(files: Files) -> None:
    with files.scratch() as folder:
        (folder / "a").write_text("1")
        assert not [*files.tree(), *files.folders()]
    assert not folder.exists()


def test_what_a_killed_writer_left_long_ago_is_found_and_removed(tmp_path: Path) -> None:
    files = files_at(tmp_path)
    files.create("a", b"1")
    for name in (".old.0123456789abcdef.elsewhere.1", ".new.0123456789abcdef.elsewhere.1"):
        (tmp_path / f"{name}{TEMPORARY_SUFFIX}").mkdir()
    os.utime(tmp_path / f".old.0123456789abcdef.elsewhere.1{TEMPORARY_SUFFIX}", (0, 0))
    (found,) = files.unfinished(3600)
    files.abandon(found)
    files.abandon(found)
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        f".new.0123456789abcdef.elsewhere.1{TEMPORARY_SUFFIX}",
        "a",
    ]


def test_a_store_that_fsspec_does_not_know_is_refused_without_the_secrets_of_its_url() -> None:
    with pytest.raises(UsageError, match="nonesuch://host/x cannot be opened") as refused:
        files_at("nonesuch://me:secret@host/x")
    assert "secret" not in str(refused.value)


def test_files_on_a_disk_are_where_their_names_say(tmp_path: Path) -> None:
    files_at(tmp_path).create("x/a", b"1")
    assert (tmp_path / "x" / "a").read_bytes() == b"1"


def test_entries_can_be_asked_for_by_their_beginning(files: Files) -> None:
    for name in ("a/one-1.mp4", "a/one-2.mp4", "a/other.mp4", "a/b/one-3.mp4", "one-4.mp4"):
        files.create(name, b"x")
    assert names(files.entries("a", "one-")) == ["a/one-1.mp4", "a/one-2.mp4"]
    assert names(files.entries("a", "none")) == names(files.entries("none", "one-")) == []


def test_a_file_of_this_machine_is_seen_under_a_name_in_place_of_what_was_there(files: Files, tmp_path: Path) -> None:
    for content in (b"first", b"other"):
        (tmp_path / "file").unlink(missing_ok=True)
        (tmp_path / "file").write_bytes(content)
        files.link("x/a", tmp_path / "file", content.hex())
        assert files.read("x/a") == content
        with files.local("x/a", content.hex()) as path:
            assert path.read_bytes() == content


def test_a_link_is_no_file_with_the_content_that_it_leads_to(tmp_path: Path) -> None:
    files = files_at(tmp_path / "folder")
    (tmp_path / "file").write_bytes(b"first")
    files.link("a", tmp_path / "file", "")
    assert not files.create("a", b"first")


def test_what_was_written_to_see_whether_files_can_be_is_no_file_of_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    files = files_at("memory://tried/folder")
    with monkeypatch.context() as killed:
        killed.setattr(type(files), "remove", lambda *_: None)
        files.prepare([])
    assert files.entries() == []
    assert list(files.tree()) == []
    files.prepare([])


def test_who_lost_a_folder_to_another_process_learns_of_it_and_leaves_the_other_s_marker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(of_stores, "SETTLING", 0.0)
    monkeypatch.setattr(of_stores, "RENEWAL", 0.01)
    files = files_at("memory://lost-lease/out")

    def lose_it() -> None:
        with files.alone(".publishing", ValueError):
            files.replace(".publishing", b"another")
            time.sleep(0.1)  # for signs of life

    with pytest.raises(StoreFailed, match=r"another process took \.publishing"):
        lose_it()
    assert files.read(".publishing") == b"another"
