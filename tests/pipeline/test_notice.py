"""SIGTERM lets what is in hand end, for a while."""

# ruff: noqa: PT012 - a signal comes within the block, not from it

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import notice
from pipeline.notice import ending_before_sigterm
from pipeline.worker import Problem, Worker
from stages.base import Video
from tests import machine
from tests.machine import Echo, EchoRow

LONG = 60.0


class Told(BaseException):
    """SIGTERM took effect."""


@pytest.fixture(autouse=True)
def handled() -> Iterator[None]:
    """SIGTERM raises `Told`."""

    def tell(_signal: int, _frame: object) -> None:
        raise Told

    before = signal.signal(signal.SIGTERM, tell)
    yield
    signal.signal(signal.SIGTERM, before)
    notice.given.clear()


def test_what_is_in_hand_ends_before_sigterm_takes_effect() -> None:
    ended = False
    with pytest.raises(Told), ending_before_sigterm(LONG):
        signal.raise_signal(signal.SIGTERM)
        ended = True
    assert ended
    with pytest.raises(Told):
        signal.raise_signal(signal.SIGTERM)


def test_it_is_dropped_once_the_grace_is_over() -> None:
    began = time.monotonic()
    with pytest.raises(Told), ending_before_sigterm(0.2):
        signal.raise_signal(signal.SIGTERM)
        time.sleep(LONG)
    assert 0.2 <= time.monotonic() - began < LONG


def test_a_second_signal_does_not_wait() -> None:
    with pytest.raises(Told), ending_before_sigterm(LONG):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        time.sleep(LONG)


def test_no_grace_is_no_wait() -> None:
    with pytest.raises(Told), ending_before_sigterm(0.0):
        signal.raise_signal(signal.SIGTERM)
        time.sleep(LONG)


def test_sigterm_is_not_lost_where_what_is_in_hand_fails() -> None:
    with pytest.raises(Told), ending_before_sigterm(LONG):
        signal.raise_signal(signal.SIGTERM)
        raise ValueError


def test_what_nobody_handles_stays_as_it_is() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with ending_before_sigterm(LONG):
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


def test_a_failure_of_a_process_that_was_told_to_end_is_no_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.files(tmp_path, [1, 2])
    workspace = machine.ready(machine.config(tmp_path), "measure")
    (part,) = workspace.plan.parts

    def killed(self: Echo, video: Video) -> EchoRow:
        raise ValueError("its child was killed")

    monkeypatch.setattr(Echo, "one", killed)
    worker = Worker(workspace.job, "echo", pause=None)
    assert isinstance(worker.do(part), Problem)
    before = workspace.job.attempts("echo", part).ended()
    notice.given.set()
    assert isinstance(worker.do(part), Problem)
    assert workspace.job.attempts("echo", part).ended() == before
    assert len(before) == 1


def test_an_attempt_is_withdrawn_while_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever kills the process before the unit is done, nothing speaks against its videos."""
    machine.files(tmp_path, [1, 2])
    workspace = machine.ready(machine.config(tmp_path), "measure")
    (part,) = workspace.plan.parts
    worker = Worker(workspace.job, "echo", pause=None)
    one, busy = Echo.one, threading.Event()
    left: list[int] = []

    def withdrawn(self: Echo, video: Video) -> EchoRow:
        if worker.busy:
            busy.set()
        worker.withdraw()
        left.append(len(list((tmp_path / "work" / "attempts" / "echo").rglob("part-*.json"))))
        return one(self, video)

    monkeypatch.setattr(Echo, "one", withdrawn)
    assert not isinstance(worker.do(part), Problem)
    assert left == [0, 0]
    assert busy.is_set()
    assert not worker.busy
