"""Child processes that decode untrusted media: bounded in time and memory, killed when their reader ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

from stages.media import forkserver

KILLED = (-signal.SIGKILL, -signal.SIGTERM)
"""Exit statuses of a child that was killed from outside; its own crashes have other signals."""

ANSWER_SECONDS = 60.0
"""Seconds beyond a child's own in which the fork server must answer (our choice)."""

INHERITED = ("PATH", "PYTHON", "LD_", "DYLD_", "LANG", "LC_", "TMPDIR", "CUDA_", "NVIDIA_", "COVERAGE_")
"""Beginnings of the environment variables that children inherit."""

MESSAGES = 2**20
"""Most bytes of a child's messages (our choice)."""

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
    """What a child runs.

    Attributes:
        name: Name of a module of ours, whose `run` is called; or absolute path of a program.
        arguments: Its arguments.
        own: The file that it reads, at `forkserver.OWN_PATH`; it can open no other. None for none.
        extra: A descriptor that it inherits as `forkserver.EXTRA`; None for none.
        written: Most bytes of a file that it writes; its messages have room for `MESSAGES` in any case.
        free: Whether it may open other files too, as a hardware decoder opens its devices.
    """

    name: str
    arguments: tuple[str, ...] = ()
    own: Path | None = None
    extra: int | None = None
    written: int = MESSAGES
    free: bool = False


@contextmanager
def child(program: Program, limits: Limits) -> Iterator[IO[bytes]]:
    """Run a program and yield its standard output; the process is always ended with the block.

    Raises:
        ChildFailed: Its exit status is not 0 after its output was read to the end, or it ran out of time.
        ChildKilled: It was killed from outside.
    """
    with tempfile.TemporaryFile() as stderr:
        name = Path(program.name).name
        process, stdout = _forked(program, limits, stderr)
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


def _forked(program: Program, limits: Limits, stderr: IO[bytes]) -> tuple[_Forked, IO[bytes]]:
    """A process of a program, and its standard output."""
    own = None if program.own is None else os.open(program.own, os.O_RDONLY | os.O_CLOEXEC)
    if own is not None:
        os.lseek(own, 0, os.SEEK_SET)  # macOS: a descriptor's path opens it where it was read last
    readable, writable = os.pipe()
    stdout = os.fdopen(readable, "rb")
    report, theirs = socket.socketpair()
    request = {
        "name": program.name,
        "arguments": program.arguments,
        "own": own is not None,
        "memory": limits.memory,
        "written": max(program.written, MESSAGES),
        "free": program.free,
    }
    extra = writable if program.extra is None else program.extra
    try:
        server = _Server.running()
        given = [writable, stderr.fileno(), theirs.fileno(), extra, writable if own is None else own]
        server.request(request, given)
    finally:
        os.close(writable)
        theirs.close()
        if own is not None:
            os.close(own)
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
                # Without a line, the server has ended or could not fork: a fault of the machine.
                self._status = int(line) if line else -signal.SIGKILL
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
        self._owner, self._environment = os.getpid(), _environment()
        self._socket, theirs = socket.socketpair()
        self.process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-P", forkserver.__file__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self._environment,
        )
        theirs.close()

    @classmethod
    def running(cls) -> _Server:
        """The server, started if it is not there, or if the environment is now another."""
        with cls._turn:
            if cls._current is None or not cls._current.usable():
                cls._current = cls()
            return cls._current

    def request(self, request: dict[str, Any], descriptors: list[int]) -> None:
        """Ask for a child."""
        with self._turn, suppress(BrokenPipeError, ConnectionResetError):  # it has ended: so has its report
            socket.send_fds(self._socket, [json.dumps(request).encode() + b"\n"], descriptors)

    def usable(self) -> bool:
        """Whether it runs, is this process's own, and has its environment: modules are found in the same places."""
        same = self._owner == os.getpid() and self._environment == _environment()
        return same and self.process.poll() is None


def _environment() -> dict[str, str]:
    """The environment of a server that finds modules where this process does, ``PYTHONPATH`` first.

    It is without what is not for children, such as keys.
    """
    import_path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), *sys.path]))
    kept = {name: value for name, value in os.environ.items() if name.startswith(INHERITED)}
    # Threads of numpy's would not survive a fork.
    return kept | {"PYTHONPATH": import_path, "OPENBLAS_NUM_THREADS": "1", "AV_LOG_FORCE_NOCOLOR": "1"}
