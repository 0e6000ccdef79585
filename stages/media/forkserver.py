"""A server that forks the children that read media, with their libraries loaded, which takes a while.

``python forkserver.py FD`` serves the socket FD until its other end is closed. A request is a line of JSON,
``{"module", "arguments", "memory"}``, with the descriptors of the child's standard output, its standard error, a socket
for its process number and status, and one more that it inherits as `EXTRA`. Nothing of a child stays in the server.
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
from typing import Any, NoReturn

PRELOADED = ("av", "numpy", "stages.media.probe", "stages.media.sound", "stages.sample.pictures")
"""Modules that the children need."""

EXTRA = 3
"""Number of the descriptor that a child inherits besides its standard ones."""

DESCRIPTORS = 4
"""Descriptors of a request."""

HIGH = 128
"""A number above those of the server's own descriptors."""

REQUEST_BYTES = 2**20
"""Bytes that are read at once."""

BROKEN = os.EX_SOFTWARE
"""Exit status of a child that met a fault of ours or of its library, not of the file."""

DISK = 100
"""Exit status, less the number of the error, of a child that could not write its output to a disk."""


def serve(server: socket.socket) -> None:
    """Fork a child for each request, and report its process number and, when it has ended, its status."""
    ended, wake = socket.socketpair()
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
                for pid in reports:
                    os.kill(pid, signal.SIGKILL)
                return
            pid = os.fork()
            if pid == 0:
                for inherited in (server, ended, wake, *reports.values()):
                    inherited.close()
                _become_child(request, descriptors)
            out, err, report, extra = descriptors
            for one in (out, err, extra):
                os.close(one)
            reports[pid] = socket.socket(fileno=report)
            _send(reports[pid], pid)


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
        resource.setrlimit(resource.RLIMIT_AS, (request["memory"], request["memory"]))
        status = run(request["module"], request["arguments"])
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
    out, err, _, extra = (fcntl.fcntl(one, fcntl.F_DUPFD, HIGH) for one in descriptors)
    for number, one in ((1, out), (2, err), (EXTRA, extra)):
        os.dup2(one, number)
    os.closerange(EXTRA + 1, HIGH + DESCRIPTORS)


def run(module: str, arguments: list[str]) -> int:
    """Call a module's `run` with the arguments; returns the exit status that tells a bad file from a fault of ours."""
    import av

    try:
        importlib.import_module(module).run(*arguments)
    except (av.FFmpegError, MemoryError) as reason:
        sys.stderr.write(f"{type(reason).__name__}: {reason}\n")
        return 1
    except OSError as reason:
        if reason.errno == errno.EPIPE:  # nobody reads any more
            return 1
        with suppress(OSError):  # the trace may go to the same disk
            traceback.print_exc()
        return DISK + reason.errno if reason.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO) else BROKEN
    return 0


def main() -> None:
    """Load the libraries, then serve. An interrupt is for the process that asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = socket.socket(fileno=int(sys.argv[1]))
    for module in PRELOADED:
        with suppress(Exception):  # each child says what is wrong
            importlib.import_module(module)
    gc.freeze()
    serve(server)


if __name__ == "__main__":
    main()
