"""Marks of starts, and what they are for."""

import contextlib
from pathlib import Path

import pytest

from pipeline.starts import started
from stages.media.sandbox import ChildKilled


def test_a_start_that_ends_leaves_no_mark(tmp_path: Path) -> None:
    with started(tmp_path, "part") as number:
        assert [file.name for file in tmp_path.iterdir()] == [".part.start-1"]
    assert (number, list(tmp_path.iterdir())) == (1, [])


def test_an_exception_is_an_end_too(tmp_path: Path) -> None:
    with contextlib.suppress(OSError), started(tmp_path, "part"):
        raise OSError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("deaths", [1, 2, 5])
def test_starts_of_processes_that_died_are_counted_until_one_ends(tmp_path: Path, deaths: int) -> None:
    for number in range(1, deaths + 1):
        (tmp_path / f".part.start-{number}").touch()
    with started(tmp_path, "part") as number:
        assert number == deaths + 1
    assert list(tmp_path.iterdir()) == []


def test_a_child_that_was_killed_counts_like_a_death(tmp_path: Path) -> None:
    with contextlib.suppress(ChildKilled), started(tmp_path, "part"):
        raise ChildKilled
    assert [file.name for file in tmp_path.iterdir()] == [".part.start-1"]
