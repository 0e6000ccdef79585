"""Child processes: whose fault it is when they end badly."""

import errno
import os
import signal
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stages.media.forkserver import BROKEN, DISK
from stages.media.sandbox import ChildFailed, ChildKilled, Limits, Program, child

LIMITS = Limits(seconds=60.0, memory=2**33)


def end_of(script: str, limits: Limits = LIMITS) -> None:
    with child(Program("/bin/sh", ("-c", script)), limits) as output:
        output.read()


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_a_child_that_somebody_killed_is_no_fault_of_the_video(name: str) -> None:
    with pytest.raises(ChildKilled, match=name):
        end_of(f"kill -{name.removeprefix('SIG')} $$")


def test_a_child_that_crashed_by_itself_failed() -> None:
    with pytest.raises(ChildFailed) as failed:
        end_of("kill -SEGV $$")
    assert failed.value.status == -signal.SIGSEGV


def test_a_child_that_took_too_long_failed_although_it_was_killed() -> None:
    with pytest.raises(ChildFailed, match="took too long"):
        end_of("while :; do :; done", Limits(seconds=0.5, memory=2**33))


def said(behaviour: str, limits: Limits = LIMITS, extra: int | None = None) -> str:
    """What a program of ours prints."""
    with child(Program("tests.stages.media.misbehaving", (behaviour,), extra=extra), limits) as output:
        return output.read().decode()


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_a_program_that_somebody_killed_is_no_fault_of_the_video(name: str) -> None:
    with pytest.raises(ChildKilled, match=name):
        said(name)


@pytest.mark.parametrize(
    ("behaviour", "status", "says"),
    [
        ("SIGSEGV", -signal.SIGSEGV, "printed nothing"),
        ("memory", 1, "MemoryError"),
        ("disk", DISK + errno.ENOSPC, "no space left"),
        ("nonsense", BROKEN, "KeyError: 'nonsense'"),
    ],
)
def test_the_status_of_a_program_says_whose_fault_it_was(behaviour: str, status: int, says: str) -> None:
    with pytest.raises(ChildFailed, match=says) as failed:
        said(behaviour, Limits(seconds=60, memory=2**32))
    assert failed.value.status == status


def test_a_fault_is_told_also_by_a_program_that_may_write_hardly_anything() -> None:
    nonsense = Program("tests.stages.media.misbehaving", ("nonsense",), written=-1)
    with pytest.raises(ChildFailed, match="KeyError: 'nonsense'"), child(nonsense, LIMITS) as output:
        output.read()


def test_a_server_that_cannot_fork_is_no_fault_of_the_video(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    full = "import errno, os\ndef full():\n    raise OSError(errno.EAGAIN, 'no process')\nos.fork = full\n"
    (tmp_path / "usercustomize.py").write_text(full)
    (tmp_path / "sitecustomize.py").write_text(full)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ChildKilled):
        said("say")


def test_a_program_that_took_too_long_failed_although_it_was_killed() -> None:
    with pytest.raises(ChildFailed, match="took too long"):
        said("sleep", Limits(seconds=0.5, memory=2**33))


def test_a_program_writes_into_the_file_that_it_is_given() -> None:
    with tempfile.TemporaryFile() as file:
        said("extra", extra=file.fileno())
        file.seek(0)
        assert file.read() == b"into the file"


def test_programs_run_beside_each_other_in_children_of_one_server() -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(said, ["say"] * 40))) == 1


def test_a_server_that_was_killed_is_started_again() -> None:
    server = int(said("say"))
    os.kill(server, signal.SIGKILL)
    os.waitpid(server, 0)
    assert int(said("say")) != server


def test_a_block_that_fails_ends_its_program() -> None:
    with pytest.raises(KeyError), child(Program("tests.stages.media.misbehaving", ("sleep",)), LIMITS):
        raise KeyError
