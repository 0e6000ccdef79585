"""Files below a folder: what is opened, and what is refused whatever lies there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from storyloom.fs.within import MOST_HOLES, Refused, open_within, read_within


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """``inner/file`` in a folder beside a secret."""
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "folder" / "inner" / "file").write_bytes(b"content")
    (tmp_path / "secret").write_bytes(b"secret")
    return tmp_path / "folder"


def test_a_file_below_a_folder_is_read_also_through_a_link_to_the_folder(folder: Path) -> None:
    link = folder.with_name("link")
    link.symlink_to(folder)
    assert read_within(link, "inner/file", 7) == read_within(str(folder), "inner/file", 7) == b"content"


@pytest.mark.parametrize(
    "file", ["../secret", "inner/../../secret", "/etc/hostname", "", ".", "inner//file", "a\0b", "\n"]
)
def test_a_name_that_is_no_path_below_the_folder_is_refused(folder: Path, file: str) -> None:
    with pytest.raises(Refused, match="no path within the dataset"):
        open_within(folder, file)


@pytest.mark.parametrize("target", ["../secret", "inner", "inner/file", "link", "/dev/zero"])
def test_a_link_is_refused_as_file_and_on_the_way(folder: Path, target: str) -> None:
    (folder / "link").symlink_to(target)
    for file in ("link", "link/file"):
        with pytest.raises(Refused):
            open_within(folder, file)


def test_what_is_not_there_is_told_by_its_name_within_the_folder(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"'inner/other'"):
        open_within(folder, "inner/other")
    with pytest.raises(NotADirectoryError):
        open_within(folder / "inner" / "file", "x")


HANDLES = Path("/proc/self/fd")


@pytest.mark.skipif(not HANDLES.exists(), reason="counts open files as Linux tells them")
def test_no_handle_is_left_open(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    before = len(list(HANDLES.iterdir()))
    for file in ("pipe", "inner", "inner/other", "inner/file/x"):
        with pytest.raises(OSError):
            open_within(folder, file)
    assert len(list(HANDLES.iterdir())) == before


def test_more_bytes_than_asked_for_and_large_holes_are_refused(folder: Path) -> None:
    with pytest.raises(Refused, match="has 7 bytes, more than 6"):
        read_within(folder, "inner/file", 6)
    os.truncate(folder / "inner" / "file", MOST_HOLES)
    open_within(folder, "inner/file").close()
    os.truncate(folder / "inner" / "file", 2**40)
    with pytest.raises(Refused, match="holes"):
        open_within(folder, "inner/file")
