"""Whose fault it was: what attempts that ended badly say of a part and of its videos."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.attempts import (
    CRASHED,
    KILLED,
    MACHINE,
    RAISED,
    UNPROVEN,
    Attempt,
    Attempts,
    evidence,
    given_up,
    of_device,
    of_the_machine,
    one_by_one,
    worker_name,
)
from stages.media.sandbox import ChildKilled
from storyloom.fs.files import files_at
from tests.runs import ROOT

SUSPECT, INNOCENT = "a" * 20, "b" * 20


BUG, CRASH = "Bug: x", "Fatal Python error: Segmentation fault"


def alone(worker: str, how: int, video: str = SUSPECT, passed: Sequence[str] = (), message: str = BUG) -> Attempt:
    return Attempt(worker=worker, alone=True, video=video, passed=tuple(passed), message=message, evidence=how)


def attempts_of(how: int, times: int, message: str = BUG) -> list[Attempt]:
    return [alone(f"host.{number}", how, message=message) for number in range(times)]


def test_six_killed_processes_give_nobody_up() -> None:
    assert given_up("sample", attempts_of(KILLED, 6)) == {}


def test_two_crashes_are_enough_and_the_video_may_be_retried() -> None:
    (found,) = given_up("sample", attempts_of(CRASHED, 2, CRASH)).items()
    video, error = found
    assert (video, error.stage, error.code, error.retryable) == (SUSPECT, "sample", "worker_crashed", True)
    assert "Segmentation fault" in error.message


def test_an_exception_in_two_workers_that_had_done_other_work_is_enough() -> None:
    (error,) = given_up("sample", attempts_of(RAISED, 2)).values()
    assert (error.code, error.retryable) == ("internal", True)
    assert "Bug: x" in error.message


def test_an_exception_in_workers_that_did_nothing_else_takes_four_of_them() -> None:
    assert given_up("sample", attempts_of(UNPROVEN, 3)) == {}
    assert set(given_up("sample", attempts_of(UNPROVEN, 4))) == {SUSPECT}


@pytest.mark.parametrize("times", [1, 10, 1000])
def test_what_is_the_machines_fault_alone_never_counts(times: int) -> None:
    assert given_up("sample", attempts_of(MACHINE, times)) == {}


def test_one_worker_alone_proves_nothing() -> None:
    assert given_up("sample", [alone("host.1", CRASHED)] * 5) == {}


def test_a_video_that_was_finished_since_is_cleared_of_what_was_before() -> None:
    cleared = alone("host.9", CRASHED, INNOCENT, passed=[SUSPECT])
    assert given_up("sample", [*attempts_of(CRASHED, 2), cleared]) == {}
    assert set(given_up("sample", [cleared, *attempts_of(CRASHED, 2)])) == {SUSPECT}


def test_a_part_whose_videos_were_worked_on_together_says_nothing_of_one() -> None:
    together = [one.model_copy(update={"alone": False}) for one in attempts_of(CRASHED, 5)]
    assert given_up("sample", together) == {}


def test_videos_are_worked_on_one_by_one_after_two_bad_ends_of_different_workers() -> None:
    assert [one_by_one(attempts_of(KILLED, times)) for times in range(4)] == [False, False, True, True]
    assert not one_by_one([alone("host.1", KILLED)] * 5)


ends = st.builds(
    alone,
    worker=st.sampled_from(["host.1", "host.2", "other.1"]),
    how=st.sampled_from([CRASHED, RAISED, UNPROVEN, KILLED, MACHINE]),
    video=st.sampled_from([SUSPECT, INNOCENT, ""]),
    passed=st.sets(st.sampled_from([SUSPECT, INNOCENT])).map(sorted),
)


@given(ended=st.lists(ends, max_size=12))
def test_nobody_is_given_up_without_evidence_of_two_workers_since_it_last_passed(ended: list[Attempt]) -> None:
    for video, error in given_up("sample", ended).items():
        passed = max((n for n, one in enumerate(ended) if video in one.passed), default=-1)
        against = [one for one in ended[max(passed, 0) :] if one.video == video]
        assert sum(one.evidence for one in against) >= 2 * CRASHED
        assert error.retryable
        assert len({one.worker for one in ended if one.video == video}) > 1
    harmless = [one for one in ended if one.evidence in (MACHINE, KILLED)]
    assert len(harmless) < 8 or not set(given_up("sample", harmless)) - {one.video for one in harmless}


@pytest.mark.parametrize(
    ("reason", "proven", "found"),
    [
        (ZeroDivisionError("a bug"), True, RAISED),
        (ZeroDivisionError("a bug"), False, UNPROVEN),
        (RuntimeError("CUDA error: device-side assert triggered"), True, MACHINE),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"), True, MACHINE),
        (RuntimeError("HIP error: invalid device function"), True, MACHINE),
        (RuntimeError("the graph has no such node"), True, RAISED),
        (OSError(28, "No space left on device"), True, MACHINE),
        (FileNotFoundError("a file"), True, MACHINE),
        (ConnectionResetError(), True, MACHINE),
        (MemoryError(), True, KILLED),
        (ChildKilled("ffmpeg was killed by SIGKILL"), True, KILLED),
    ],
)
def test_how_much_an_exception_says_of_the_video_in_hand(reason: BaseException, *, proven: bool, found: int) -> None:
    assert evidence(reason, proven=proven) == found


def test_a_device_is_known_by_what_its_library_says() -> None:
    assert of_device(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert of_device(RuntimeError("CUBLAS_STATUS_NOT_INITIALIZED when calling cublasCreate(handle)"))
    assert not of_device(RuntimeError("shape mismatch"))
    assert not of_device(ValueError("CUDA is a word in this transcript"))


def test_a_full_disk_is_the_machines_and_a_missing_file_is_not() -> None:
    assert of_the_machine(OSError(28, "No space left on device"))
    assert of_the_machine(OSError(30, "Read-only file system"))
    assert not of_the_machine(FileNotFoundError(2, "No such file or directory"))
    assert not of_the_machine(ChildKilled("ffmpeg was killed by SIGKILL"))


def unit(folder: Path) -> Attempts:
    return Attempts(files_at(folder), FOLDER, "unit")


FOLDER = "attempts/echo/0123"


def test_an_attempt_that_ends_well_leaves_nothing(tmp_path: Path) -> None:
    attempts = unit(tmp_path)
    attempts.begin(Attempt(worker=worker_name()))
    assert len(list((tmp_path / FOLDER).iterdir())) == 1
    attempts.clear()
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_an_attempt_that_is_being_made_has_not_ended_badly(tmp_path: Path) -> None:
    attempts = unit(tmp_path)
    attempts.begin(Attempt(worker=f"{worker_name()}#1"))
    assert attempts.ended() == []


def test_an_exception_is_kept_with_the_video_in_hand(tmp_path: Path) -> None:
    attempts = unit(tmp_path)
    attempts.begin(Attempt(worker="host.1#1"))
    attempts.isolate()
    attempts.in_hand(INNOCENT)
    attempts.passed()
    attempts.in_hand(SUSPECT)
    attempts.fail(ZeroDivisionError("a bug"), proven=False)
    (found,) = unit(tmp_path).ended()
    assert (found.video, found.passed, found.message) == (SUSPECT, (INNOCENT,), "ZeroDivisionError: a bug")
    assert found.evidence == RAISED  # this process had finished another video


def test_one_that_was_interrupted_on_purpose_counts_for_nothing(tmp_path: Path) -> None:
    first, second = unit(tmp_path), unit(tmp_path)
    first.begin(Attempt(worker="host.1"))
    first.fail(ZeroDivisionError(), proven=True)
    second.begin(Attempt(worker="host.2"))
    second.withdraw()
    assert [one.worker for one in unit(tmp_path).ended()] == ["host.1"]


def test_a_note_that_a_full_disk_cut_short_is_passed_over(tmp_path: Path) -> None:
    attempts = unit(tmp_path)
    attempts.begin(Attempt(worker="host.1"))
    (file,) = (tmp_path / FOLDER).iterdir()
    file.write_bytes(b"{")
    assert unit(tmp_path).ended() == []


def attempt_that_ends(folder: Path, how: str) -> int:
    """A process that makes an attempt at a video and ends in the middle of it; its exit status."""
    code = f"""
        import ctypes, os, signal, sys
        from pipeline.attempts import Attempt, Attempts, note_crashes, worker_name
        from storyloom.fs.files import files_at
        files = files_at({str(folder)!r})
        note_crashes(files)
        attempts = Attempts(files, {FOLDER!r}, "unit")
        attempts.begin(Attempt(worker=worker_name() + "#1"))
        attempts.isolate()
        attempts.in_hand({SUSPECT!r})
        {how}
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode


def test_a_process_that_was_killed_is_told_from_one_that_crashed(tmp_path: Path) -> None:
    assert attempt_that_ends(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)") == -signal.SIGKILL
    assert attempt_that_ends(tmp_path, "ctypes.string_at(0)") == -signal.SIGSEGV
    assert attempt_that_ends(tmp_path, "os.abort()") == -signal.SIGABRT
    killed, segfault, abort = unit(tmp_path).ended()
    assert [one.evidence for one in (killed, segfault, abort)] == [KILLED, CRASHED, CRASHED]
    assert killed.message == "its process was killed"
    assert "Segmentation fault" in segfault.message
    assert "Aborted" in abort.message
    assert {one.video for one in (killed, segfault, abort)} == {SUSPECT}


def test_a_process_that_lives_has_not_ended(tmp_path: Path) -> None:
    attempts = unit(tmp_path)
    with subprocess.Popen(  # it waits for what never comes
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE
    ) as other:
        attempts.begin(Attempt(worker=f"{socket.gethostname()}.{other.pid}#1"))
        assert unit(tmp_path).ended() == []
        other.kill()
        other.wait()
    assert [one.evidence for one in unit(tmp_path).ended()] == [KILLED]
    assert str(os.getpid()) in worker_name()
