"""Child processes that decode untrusted media: bounded in time and memory, killed when their reader ends."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar, Protocol

from stages.media import forkserver

KILLED = (-signal.SIGKILL, -signal.SIGTERM)
"""Exit statuses of a child that was killed from outside; its own crashes have other signals."""

ANSWER_SECONDS = 60.0
"""Seconds beyond a child's own in which the fork server must answer (our choice)."""

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


@dataclass(frozen=True)
class Program:
    """A program of ours for a child.

    Attributes:
        module: Name of the module whose `run` is called.
        arguments: Its arguments.
        extra: A descriptor that it inherits as `forkserver.EXTRA`; None for none.
    """

    module: str
    arguments: tuple[str, ...]
    extra: int | None = None


class _Process(Protocol):
    """A running child."""

    pid: int

    def kill(self) -> None:
        """Kill it; nothing happens when it has ended."""

    def wait(self) -> int:
        """Its exit status, once it has ended."""


@contextmanager
def child(command: Sequence[str] | Program, limits: Limits) -> Iterator[IO[bytes]]:
    """Run a command and yield its standard output; the process is always ended with the block.

    Raises:
        ChildFailed: Its exit status is not 0 after its output was read to the end, or it ran out of time.
        ChildKilled: It was killed from outside.
    """
    with tempfile.TemporaryFile() as stderr:
        if isinstance(command, Program):
            name = command.module
            process, stdout = _forked(command, limits, stderr)
        else:
            name = Path(command[0]).name
            process, stdout = _started(command, limits, stderr)
        timed_out = threading.Event()

        def stop() -> None:
            timed_out.set()
            process.kill()

        timer = threading.Timer(limits.seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            yield stdout
            stdout.close()
            status = process.wait()
        finally:
            timer.cancel()
            process.kill()
            process.wait()
            stdout.close()
        if status in KILLED and not timed_out.is_set():
            raise ChildKilled(f"{name} was killed by {signal.Signals(-status).name}")
        if status != 0:
            stderr.seek(0)
            message = stderr.read().decode(errors="replace")[-STDERR_KEPT:]
            raise ChildFailed(name, status, message, timed_out=timed_out.is_set())


def _started(command: Sequence[str], limits: Limits, stderr: IO[bytes]) -> tuple[_Process, IO[bytes]]:
    """A process of a command, and its standard output."""
    process = subprocess.Popen(  # noqa: S603 - a list of arguments, no shell
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env={**os.environ, "AV_LOG_FORCE_NOCOLOR": "1"},
    )
    resource.prlimit(process.pid, resource.RLIMIT_AS, (limits.memory, limits.memory))
    assert process.stdout is not None
    return process, process.stdout


def _forked(program: Program, limits: Limits, stderr: IO[bytes]) -> tuple[_Process, IO[bytes]]:
    """A process of a program of ours, and its standard output."""
    readable, writable = os.pipe()
    stdout = os.fdopen(readable, "rb")
    request = {"module": program.module, "arguments": program.arguments, "memory": limits.memory}
    report, theirs = socket.socketpair()
    extra = writable if program.extra is None else program.extra
    try:
        server = _Server.running()
        server.request(request, [writable, stderr.fileno(), theirs.fileno(), extra])
    finally:
        os.close(writable)
        theirs.close()
    return _Forked(report, server, limits), stdout


class _Forked:
    """A child of the fork server.

    Args:
        report: Socket on which the server reports its process number and status.
        server: The server.
        limits: Of the child.
    """

    def __init__(self, report: socket.socket, server: _Server, limits: Limits) -> None:
        report.settimeout(limits.seconds + ANSWER_SECONDS)
        self._report = report.makefile("rb")
        report.close()
        self._server = server
        self._status: int | None = None
        self._turn = threading.Lock()
        self.pid = int(self._answer() or -1)

    def kill(self) -> None:
        if self._status is None and self.pid > 0:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        with self._turn:
            if self._status is None:
                line = self._answer()
                self._report.close()
                self._status = int(line) if line else self._server.process.wait()
            return self._status

    def _answer(self) -> bytes:
        """The server's next line; empty when it has ended."""
        try:
            return self._report.readline()
        except TimeoutError as hung:
            self._server.process.kill()
            raise ChildKilled("the fork server hung and was killed") from hung


class _Server:
    """The fork server of this process (see `stages.media.forkserver`), which ends with it."""

    _current: ClassVar[_Server | None] = None
    _turn: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self) -> None:
        self._owner, self._import_path = os.getpid(), _import_path()
        self._socket, theirs = socket.socketpair()
        self.process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-P", forkserver.__file__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Threads of numpy's would not survive a fork.
            env={**os.environ, "PYTHONPATH": self._import_path, "OPENBLAS_NUM_THREADS": "1"},
        )
        theirs.close()

    @classmethod
    def running(cls) -> _Server:
        """The server, started if it is not there, or if modules are now found elsewhere."""
        with cls._turn:
            if cls._current is None or not cls._current.usable():
                cls._current = cls()
            return cls._current

    def request(self, request: dict[str, Any], descriptors: list[int]) -> None:
        """Ask for a child."""
        with self._turn, suppress(BrokenPipeError, ConnectionResetError):  # it has ended: so has its report
            socket.send_fds(self._socket, [json.dumps(request).encode() + b"\n"], descriptors)

    def usable(self) -> bool:
        """Whether it runs, is this process's own, and finds modules where this process does."""
        same = self._owner == os.getpid() and self._import_path == _import_path()
        return same and self.process.poll() is None


def _import_path() -> str:
    """Where this process finds modules; ``PYTHONPATH`` still comes first."""
    return os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), *sys.path]))
