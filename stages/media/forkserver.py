"""A server that forks the children that read media, with their libraries loaded, which takes a while.

``python forkserver.py FD`` serves the socket FD until its other end is closed. A request is a line of JSON,
``{"name", "arguments", "own", "free", "memory", "written"}``, with the descriptors of the child's standard output, its
standard error, a socket for its process number and status, the one that it inherits as `EXTRA`, and that of its own
file. Nothing of a child stays in the server. What a child cannot do is in `stages.media.confine`.
"""

from __future__ import annotations

import errno
import fcntl
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from stages.media.confine import refuse_files, refuse_network

PRELOADED = (
    "av",
    "landlockpy",
    "numpy",
    "stages.media.probe",
    "stages.media.sound",
    "stages.sample.pictures",
)
"""Modules that the children need."""

EXTRA = 3
"""Number of the descriptor that a child writes to besides its standard ones."""

OWN = 4
"""Number of the descriptor of the file that a child reads."""

OWN_PATH = f"/dev/fd/{OWN}"
"""Path by which a child opens its file, and no other that has come to the place where it was."""

DESCRIPTORS = 5
"""Descriptors of a request."""

HIGH = 128
"""A number above those of the server's own descriptors."""

REQUEST_BYTES = 2**20
"""Bytes that are read at once."""

BROKEN = os.EX_SOFTWARE
"""Exit status of a child that met a fault of ours or of its library, not of the file."""

OF_THE_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""Errors of a disk that is full or broken."""

DISK = 100
"""Exit status, less the number of the error, of a child that could not write its output to a disk."""


def serve(server: socket.socket, ended: socket.socket, wake: socket.socket) -> None:
    """Fork a child for each request, and report its process number and, when it has ended, its status.

    Args:
        server: Where the requests come from.
        ended: Tells that a child has ended.
        wake: Its other end.
    """
    wake.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno())
    reports: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([server, ended], [], [])
        if ended in ready:
            ended.recv(4096)
            _report(reports)
        if server in ready:
            request, descriptors = _received(server)
            if not request:
                for one in reports:
                    os.kill(one, signal.SIGKILL)
                return
            pid = _forked()
            if pid == 0:
                for inherited in (server, ended, wake, *reports.values()):
                    inherited.close()
                _become_child(request, descriptors)
            out, err, report, extra, own = descriptors
            for one in (out, err, extra, own):
                os.close(one)
            told = socket.socket(fileno=report)
            if pid is None:
                told.close()
                continue
            reports[pid] = told
            _send(told, pid)


def _forked() -> int | None:
    """A new process's number, 0 in that process; None where the machine has no room for one, as its closed report says.

    The server goes on: other children run.
    """
    with suppress(OSError):
        return os.fork()
    return None


def _received(server: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The next request with its descriptors; empty when the other end is closed."""
    line, descriptors = b"", list[int]()
    while not line.endswith(b"\n"):
        piece, received, _, _ = socket.recv_fds(server, REQUEST_BYTES, DESCRIPTORS)
        if not piece:
            return {}, []
        line += piece
        descriptors += received
    return json.loads(line), descriptors


def _report(reports: dict[int, socket.socket]) -> None:
    """Report the statuses of the children that have ended."""
    for pid in list(reports):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            report = reports.pop(pid)
            _send(report, os.waitstatus_to_exitcode(status))
            report.close()


def _send(report: socket.socket, number: int) -> None:
    with suppress(BrokenPipeError):  # nobody waits for it any more
        report.sendall(f"{number}\n".encode())


def _become_child(request: dict[str, Any], descriptors: list[int]) -> NoReturn:
    """Run the module of a request, and end this process with the status of its failure."""
    status = BROKEN
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _take(descriptors)
        _limit(resource.RLIMIT_AS, request["memory"])
        _limit(resource.RLIMIT_FSIZE, request["written"])
        _limit(resource.RLIMIT_CORE, 0)
        own = OWN_PATH if request["own"] else ""
        status = run(request["name"], request["arguments"], own, free=request["free"])
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001 - the process ends here, with the whole trace
        with suppress(OSError):
            traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(status)


def _take(descriptors: list[int]) -> None:
    """Make the descriptors of a request this process's own, under their fixed numbers."""
    out, err, _, extra, own = (fcntl.fcntl(one, fcntl.F_DUPFD, HIGH) for one in descriptors)
    for number, one in ((1, out), (2, err), (EXTRA, extra), (OWN, own)):
        os.dup2(one, number)
    os.closerange(OWN + 1, HIGH + DESCRIPTORS)


def _limit(what: int, most: int) -> None:
    """Set a limit of this process, unless it has a lower one."""
    _, hard = resource.getrlimit(what)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


def run(name: str, arguments: list[str], own: str, *, free: bool) -> int:
    """Call a module's `run` with the arguments, or become the program at a path, confined to its own file unless free.

    Returns:
        The exit status, which tells a bad file from a fault of ours.
    """
    if Path(name).is_absolute():
        _confine(own, name)
        os.execv(name, [name, *arguments])  # noqa: S606 - our own choice of a program
    import av

    try:
        program = importlib.import_module(name)
        if not free:
            _confine(own)
        program.run(*arguments)
    except (av.FFmpegError, MemoryError) as reason:
        sys.stderr.write(f"{type(reason).__name__}: {reason}\n")
        return 1
    except OSError as reason:
        if reason.errno == errno.EPIPE:  # nobody reads any more
            return 1
        if reason.errno == errno.ENOMEM:  # of its own limit
            sys.stderr.write(f"{type(reason).__name__}: {reason}\n")
            return 1
        with suppress(OSError):  # the trace may go to the same disk
            traceback.print_exc()
        return DISK + reason.errno if reason.errno in OF_THE_DISK else BROKEN
    return 0


def _confine(own: str, program: str = "") -> None:
    with suppress(OSError):  # a kernel without it
        refuse_files(own, program)


def main() -> None:
    """Load the libraries, then serve. An interrupt is for the process that asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = socket.socket(fileno=int(sys.argv[1]))
    ended = socket.socketpair()
    with suppress(OSError):  # a kernel without it
        refuse_network()
    for module in PRELOADED:
        with suppress(Exception):  # each child says what is wrong
            importlib.import_module(module)
    gc.freeze()
    serve(server, *ended)


if __name__ == "__main__":
    main()
