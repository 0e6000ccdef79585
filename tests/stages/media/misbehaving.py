"""A program for the tests of the sandbox: it does what its argument says."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

from stages.media.forkserver import EXTRA


def attempt(behaviour: str, target: str) -> str:
    """What came of doing what a child should not."""
    try:
        if behaviour == "read":
            return Path(target).read_text()
        if behaviour == "write":
            Path(target).write_text("new")
        elif behaviour == "execute":
            os.execv(target, [target])
        elif behaviour == "connect":
            socket.create_connection(("127.0.0.1", int(target))).close()
        elif behaviour == "kill":
            os.kill(int(target), signal.SIGUSR1)
        elif behaviour == "flood":
            while True:
                os.write(2, b"message\n" * 10_000)
    except OSError as refused:
        return type(refused).__name__
    return "done"


def run(behaviour: str, target: str = "") -> None:  # noqa: C901 - one line for each
    """Behave as named."""
    if behaviour in ("read", "write", "execute", "connect", "kill", "flood"):
        sys.stdout.write(attempt(behaviour, target))
        return
    if behaviour.startswith("SIG"):
        os.kill(os.getpid(), getattr(signal, behaviour))
    elif behaviour == "sleep":
        time.sleep(60)
    elif behaviour == "say":
        sys.stdout.write(f"{os.getppid()}\n")
    elif behaviour == "environment":
        json.dump(sorted(os.environ), sys.stdout)
    elif behaviour == "extra":
        os.write(EXTRA, b"into the file")
    elif behaviour == "fill":
        while True:
            os.write(EXTRA, bytes(1000))
    elif behaviour == "memory":
        bytearray(2**33)
    elif behaviour == "disk":
        raise OSError(errno.ENOSPC, "no space left")
    else:
        raise KeyError(behaviour)
