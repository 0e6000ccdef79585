"""The cache of a machine brings a file once, keeps within its bytes, and removes nothing that is in use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from storyloom.errors import UsageError
from storyloom.fs.cache import NodeCache, machine_cache


def names(folder: Path) -> list[str]:
    """The files of the cache; locks go with their files."""
    found = sorted(path.name for path in folder.glob("files/*/*"))
    cached = [name for name in found if not name.endswith(".lock")]
    assert found == sorted([*cached, *(f"{name}.lock" for name in cached)])
    return cached


def used(cache: NodeCache, name: str, content: bytes = b"0123456789") -> None:
    with cache.file(name, len(content), lambda path: path.write_bytes(content)) as path:
        assert path.read_bytes() == content


def test_a_file_is_brought_once(tmp_path: Path) -> None:
    cache = NodeCache(tmp_path, 100)
    used(cache, "aa1")
    with cache.file("aa1", 10, lambda _: pytest.fail("it is there")) as path:
        assert path.read_bytes() == b"0123456789"


def test_threads_that_want_a_file_at_once_wait_for_the_one_that_brings_it(tmp_path: Path) -> None:
    brought: list[int] = []
    all_there = threading.Barrier(8, timeout=60)

    def bring(path: Path) -> None:
        brought.append(1)
        path.write_bytes(b"0123456789")

    def use() -> None:
        all_there.wait()
        with NodeCache(tmp_path, 100).file("aa1", 10, bring) as path:
            assert path.read_bytes() == b"0123456789"

    threads = [threading.Thread(target=use) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert brought == [1]


def test_the_longest_unused_makes_room(tmp_path: Path) -> None:
    cache = NodeCache(tmp_path, 30)
    for number, name in enumerate(["aa1", "bb2", "cc3"]):
        used(cache, name)
        os.utime(tmp_path / "files" / name[:2] / name, (number, number))
    used(cache, "aa1")
    used(cache, "dd4")
    assert names(tmp_path) == ["aa1", "cc3", "dd4"]


def test_what_is_in_use_stays_even_if_there_is_too_much(tmp_path: Path) -> None:
    cache = NodeCache(tmp_path, 20)
    with ExitStack() as stack:
        for name in ("aa1", "bb2", "cc3"):
            stack.enter_context(cache.file(name, 10, lambda path: path.write_bytes(b"0123456789")))
        assert names(tmp_path) == ["aa1", "bb2", "cc3"]
    used(cache, "dd4")
    assert len(names(tmp_path)) == 2


def test_a_file_that_could_not_be_brought_leaves_nothing_and_is_brought_by_the_next(tmp_path: Path) -> None:
    cache = NodeCache(tmp_path, 100)

    def fail(path: Path) -> None:
        path.write_bytes(b"012")
        raise ConnectionResetError("in the middle")

    with pytest.raises(ConnectionResetError), cache.file("aa1", 10, fail):
        pass
    assert not (tmp_path / "files" / "aa" / "aa1").exists()
    used(cache, "aa1")


def test_a_process_that_is_killed_in_the_middle_leaves_no_half_file_and_no_lock(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from storyloom.fs.cache import NodeCache\n"
        "def bring(path):\n"
        "    path.write_bytes(b'012'); print('began', flush=True); time.sleep(600)\n"
        f"with NodeCache(Path({str(tmp_path)!r}), 100).file('aa1', 10, bring): pass\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == "began\n"
        one.send_signal(signal.SIGKILL)
        one.wait()
    cache = NodeCache(tmp_path, 100)
    used(cache, "aa1")
    used(cache, "bb2")  # making room removes what is left over
    assert names(tmp_path) == ["aa1", "bb2"]


def test_many_small_files_are_not_looked_at_for_each_and_still_keep_within_the_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    look = NodeCache._files
    monkeypatch.setattr("storyloom.fs.cache.MANY", 50)

    def looked(self: NodeCache) -> Iterator[tuple[Path, os.stat_result]]:
        looks.append(1)
        return look(self)

    monkeypatch.setattr(NodeCache, "_files", looked)
    cache = NodeCache(tmp_path, 5120)
    for number in range(700):
        used(cache, f"{number:04}")
    assert len(names(tmp_path)) * 10 <= 5120
    assert len(looks) < 450


def test_what_a_power_cut_left_of_a_file_is_brought_again(tmp_path: Path) -> None:
    cache = NodeCache(tmp_path, 100)
    used(cache, "aa1")
    (tmp_path / "files" / "aa" / "aa1").write_bytes(b"")
    used(cache, "aa1")


def test_a_file_of_this_machine_is_cached_without_being_brought_and_stays_its_owners(tmp_path: Path) -> None:
    cache = NodeCache(tmp_path / "cache", 100)
    own, others = cache.folder("media") / "own.mp4", tmp_path / "others.mp4"
    for name, file in (("aa1", own), ("bb2", others)):
        file.write_bytes(b"0123456789")
        os.utime(file, (1, 1))
        cache.adopt(name, file, given=file == own)
        with cache.file(name, 10, lambda _: pytest.fail("it is there")) as path:
            assert path.samefile(file) == (file == own)
        assert (file.stat().st_mtime, file.read_bytes()) == (1, b"0123456789")


def test_what_is_cached_is_told_from_what_is_not(tmp_path: Path) -> None:
    cache = NodeCache(tmp_path, 100)
    with pytest.raises(FileNotFoundError), cache.kept("aa1"):
        pytest.fail("it is not there")
    used(cache, "aa1")
    with cache.kept("aa1") as path:
        assert path.read_bytes() == b"0123456789"
    cache.forget("aa1")
    with pytest.raises(FileNotFoundError), cache.kept("aa1"):
        pytest.fail("it is not there any more")


def test_what_lies_beside_the_folders_of_the_cache_is_left_alone(tmp_path: Path) -> None:
    cache = NodeCache(tmp_path, 10)
    used(cache, "aa1")
    (tmp_path / "files" / ".DS_Store").write_bytes(b"x")
    used(cache, "bb2")
    assert (tmp_path / "files" / ".DS_Store").exists()


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[bool] = []
    sync = os.fsync

    def synced(file: int) -> None:
        named.append((tmp_path / "files" / "aa" / "aa1").exists())
        sync(file)

    monkeypatch.setattr(os, "fsync", synced)
    used(NodeCache(tmp_path, 100), "aa1")
    assert named == [False]


@pytest.mark.parametrize("said", ["10GB", "abc", "-5", "1e9", "1.5"])
def test_bytes_that_are_no_whole_number_are_refused(said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORYLOOM_CACHE", str(tmp_path))
    monkeypatch.setenv("STORYLOOM_CACHE_BYTES", said)
    with pytest.raises(UsageError, match=f"STORYLOOM_CACHE_BYTES is '{said}', and must be bytes as a whole number"):
        machine_cache()


@pytest.mark.parametrize("place", ["/proc/x", "{}/file", "{}/file/x"])
def test_a_folder_that_cannot_be_made_is_refused(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("STORYLOOM_CACHE", place.format(tmp_path))
    with pytest.raises(UsageError, match=r"cannot be used .*name another in STORYLOOM_CACHE"):
        machine_cache()


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORYLOOM_CACHE", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    machine_cache()
    (folder,) = tmp_path.iterdir()
    folder.chmod(0o777)
    with pytest.raises(UsageError, match=r"others may write to it.*name another in STORYLOOM_CACHE"):
        machine_cache()
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="others may write to it"):
        machine_cache()


def test_in_a_mount_that_is_everybodys_the_cache_is_its_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o777)
    monkeypatch.setenv("STORYLOOM_CACHE", str(tmp_path))
    machine_cache()
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o700}
    (tmp_path / "files").chmod(0o770)
    with pytest.raises(UsageError, match="others may write to it"):
        machine_cache()


def test_what_is_being_brought_counts(tmp_path: Path) -> None:
    cache = NodeCache(tmp_path, 40)
    for name in ("aa1", "bb2", "cc3"):
        used(cache, name)
    began, go_on = threading.Event(), threading.Event()

    def bring(path: Path) -> None:
        began.set()
        assert go_on.wait(60)
        path.write_bytes(bytes(20))

    def use() -> None:
        with NodeCache(tmp_path, 40).file("dd4", 20, bring):
            pass

    slow = threading.Thread(target=use)
    slow.start()
    assert began.wait(60)
    used(cache, "ee5")
    assert len(list(tmp_path.glob("files/*/???"))) == 2
    go_on.set()
    slow.join()
    assert sorted(names(tmp_path))[-2:] == ["dd4", "ee5"]


def test_many_that_are_wanted_at_once_are_brought_as_there_is_room(tmp_path: Path) -> None:
    together = threading.Barrier(8, timeout=60)
    at_once: list[int] = []

    def bring(path: Path) -> None:
        path.write_bytes(b"0123456789")
        time.sleep(0.05)
        at_once.append(len(list(tmp_path.glob("files/*/.*"))))

    def use(number: int) -> None:
        together.wait()
        with NodeCache(tmp_path, 20).file(f"{number:03}", 10, bring):
            pass

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert max(at_once) <= 2
    assert 1 <= len(names(tmp_path)) <= 2


def test_what_a_killed_process_was_bringing_does_not_count(tmp_path: Path) -> None:
    program = (
        "import os, signal; from pathlib import Path; from storyloom.fs.cache import NodeCache\n"
        f"with NodeCache(Path({str(tmp_path)!r}), 30).file('aa1', 20, lambda _: os.kill(os.getpid(), 9)): pass\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    cache = NodeCache(tmp_path, 30)
    for name in ("bb2", "cc3", "dd4"):
        used(cache, name)
    assert len(list(tmp_path.glob("files/*/???"))) == 3
