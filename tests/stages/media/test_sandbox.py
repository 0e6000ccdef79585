"""Child processes: whose fault it is when they end badly."""

import signal
import sys

import pytest

from stages.media.sandbox import ChildFailed, ChildKilled, Limits, child

LIMITS = Limits(seconds=60.0, memory=2**33)


def end_of(code: str, limits: Limits = LIMITS) -> None:
    with child([sys.executable, "-c", code], limits) as output:
        output.read()


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_a_child_that_somebody_killed_is_no_fault_of_the_video(name: str) -> None:
    with pytest.raises(ChildKilled, match=name):
        end_of(f"import os, signal; os.kill(os.getpid(), signal.{name})")


def test_a_child_that_crashed_by_itself_failed() -> None:
    with pytest.raises(ChildFailed) as failed:
        end_of("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert failed.value.status == -signal.SIGSEGV


def test_a_child_that_took_too_long_failed_although_it_was_killed() -> None:
    with pytest.raises(ChildFailed, match="took too long"):
        end_of("import time; time.sleep(60)", Limits(seconds=0.5, memory=2**33))
