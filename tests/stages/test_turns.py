"""The budgets of hosts, as locks of a machine."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from stages.turns import LONGEST, FolderTurns
from tests.downloads import ROOT


def elsewhere(folder: Path, script: str) -> subprocess.Popen[str]:
    """A process of its own that has `turns` of a folder."""
    head = f"""
        import time
        from pathlib import Path
        from stages.turns import FolderTurns
        turns = FolderTurns(Path({str(folder)!r}))
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(head) + script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def test_processes_share_the_turns_of_a_host_and_the_dead_hold_none(tmp_path: Path) -> None:
    turns = FolderTurns(tmp_path / "turns")
    other = elsewhere(
        tmp_path / "turns", "held = turns.take('a.example', 2)\nprint('held', flush=True)\ntime.sleep(60)"
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    second = turns.take("a.example", 2)
    assert second is not None
    assert turns.take("a.example", 2) is None
    assert turns.take("b.example", 2) is not None
    other.kill()
    other.wait()
    third = turns.take("a.example", 2)
    assert third is not None
    assert turns.take("a.example", 2) is None
    second()
    assert turns.take("a.example", 2) is not None


def test_processes_share_the_interval_between_requests(tmp_path: Path) -> None:
    turns = FolderTurns(tmp_path / "turns")
    assert turns.due("a.example", 50.0) == 0.0
    other = elsewhere(tmp_path / "turns", "print(turns.due('a.example', 50.0), turns.due('b.example', 50.0))")
    left, there = other.communicate(timeout=60)[0].split()
    assert 0.0 < float(left) <= 50.0
    assert float(there) == 0.0


def test_a_host_that_asks_for_a_pause_gets_it_from_all(tmp_path: Path) -> None:
    FolderTurns(tmp_path).pause("a.example", 30.0)
    FolderTurns(tmp_path).pause("a.example", 1.0)
    assert 29.0 < FolderTurns(tmp_path).due("a.example", 0.0) <= 30.0


def test_a_host_without_pauses_leaves_no_files(tmp_path: Path) -> None:
    turns = FolderTurns(tmp_path)
    give_back = turns.take("a.example", 1)
    assert give_back is not None
    assert turns.due("a.example", 0.0) == 0.0
    give_back()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seconds", [1e30, float("inf")])
def test_no_host_has_itself_left_alone_for_ever(tmp_path: Path, seconds: float) -> None:
    FolderTurns(tmp_path).pause("a.example", seconds)
    assert 0.0 < FolderTurns(tmp_path).due("a.example", 0.0) <= LONGEST


@pytest.mark.parametrize("content", ["", "soon", "nan", "1e400", "99999999999"])
def test_a_time_that_cannot_be_is_none(tmp_path: Path, content: str) -> None:
    turns = FolderTurns(tmp_path)
    turns.due("a.example", 1.0)
    (file,) = tmp_path.iterdir()
    file.write_text(content)
    assert turns.due("a.example", 0.0) == 0.0


def test_a_folder_that_somebody_else_could_have_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "file").touch()
    (tmp_path / "nowhere").symlink_to("missing")
    for folder in ("link", "open", "file", "nowhere"):
        with pytest.raises(PermissionError, match="TMPDIR"):
            FolderTurns(tmp_path / folder).take("a.example", 1)
    assert FolderTurns().folder.name.endswith(str(os.getuid()))
