"""Atomic files: whole or absent, the first writer wins, nothing temporary stays."""

import subprocess
import sys
from pathlib import Path

import pytest

from storyloom.fs.atomic import commit_bytes, committing, remove_leftovers


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def write_half(file: Path) -> None:
    with committing(file) as temporary:
        temporary.write_bytes(b"half")
        raise ZeroDivisionError


def test_the_first_writer_wins(tmp_path: Path) -> None:
    commit_bytes(tmp_path / "file", b"first")
    commit_bytes(tmp_path / "file", b"second")
    assert (tmp_path / "file").read_bytes() == b"first"
    assert names(tmp_path) == ["file"]


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        write_half(tmp_path / "file")
    assert names(tmp_path) == []


def test_the_file_is_not_there_before_it_is_whole(tmp_path: Path) -> None:
    with committing(tmp_path / "file") as temporary:
        temporary.write_bytes(b"half")
        assert not (tmp_path / "file").exists()
        temporary.write_bytes(b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_what_a_killed_writer_left_is_removed_and_a_living_ones_is_not(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, signal, sys; from storyloom.fs.atomic import committing\n"
        "with committing(pathlib.Path(sys.argv[1])) as t: t.write_bytes(b'half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "killed")], check=False)
    assert len(names(tmp_path)) == 1
    with committing(tmp_path / "alive") as temporary:
        temporary.write_bytes(b"whole")
        remove_leftovers(tmp_path)
    assert names(tmp_path) == ["alive"]
