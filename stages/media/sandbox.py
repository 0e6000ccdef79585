"""Child processes that decode untrusted media: bounded in time and memory, killed when their reader ends."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import IO

KILLED = (-signal.SIGKILL, -signal.SIGTERM)
"""Exit statuses of a child that was killed from outside; its own crashes have other signals."""

STDERR_KEPT = 2000
"""Characters from the end of a failed child's stderr that go into an error message."""


class ChildFailed(Exception):
    """A child process failed.

    Args:
        command: Its program's name.
        status: Exit status; negative when a signal ended it.
        stderr: The end of its standard error.
        timed_out: Whether it was killed for taking too long.
    """

    def __init__(self, command: str, status: int, stderr: str, *, timed_out: bool) -> None:
        cause = "took too long and was stopped" if timed_out else f"ended with status {status}"
        super().__init__(f"{command} {cause}: {stderr.strip() or 'it printed nothing'}")
        self.status = status
        self.stderr = stderr
        self.timed_out = timed_out


class ChildKilled(OSError):
    """A child process was killed from outside: by the kernel when memory ran out, or with this process.

    This is a fault of the machine, not of the video: the part is retried.
    """


@dataclass(frozen=True)
class Limits:
    """Bounds of one child.

    Attributes:
        seconds: Wall-clock time after which it is killed.
        memory: Bytes of address space it may take.
    """

    seconds: float
    memory: int


def _import_path() -> str:
    """Where this process finds modules; ``PYTHONPATH`` still comes first."""
    return os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), *sys.path]))


def program(module: ModuleType, *arguments: str) -> list[str]:
    """The command that runs a module of ours in a child, which finds modules where this process does."""
    return [sys.executable, "-P", str(module.__file__), *arguments]


@contextmanager
def child(command: Sequence[str], limits: Limits, *, pass_fds: Sequence[int] = ()) -> Iterator[IO[bytes]]:
    """Run a command and yield its standard output; the process is always ended with the block.

    Raises:
        ChildFailed: Its exit status is not 0 after its output was read to the end, or it ran out of time.
        ChildKilled: It was killed from outside.
    """
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(  # noqa: S603 - a list of arguments, no shell
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            pass_fds=tuple(pass_fds),
            env={**os.environ, "AV_LOG_FORCE_NOCOLOR": "1", "PYTHONPATH": _import_path()},
        )
        resource.prlimit(process.pid, resource.RLIMIT_AS, (limits.memory, limits.memory))
        timed_out = threading.Event()

        def stop() -> None:
            timed_out.set()
            process.kill()

        timer = threading.Timer(limits.seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            assert process.stdout is not None
            yield process.stdout
            process.stdout.close()
            status = process.wait()
        finally:
            timer.cancel()
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        if status in KILLED and not timed_out.is_set():
            raise ChildKilled(f"{Path(command[0]).name} was killed by {signal.Signals(-status).name}")
        if status != 0:
            stderr.seek(0)
            message = stderr.read().decode(errors="replace")[-STDERR_KEPT:]
            raise ChildFailed(Path(command[0]).name, status, message, timed_out=timed_out.is_set())
