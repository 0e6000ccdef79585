"""A program for the tests of the sandbox: it does what its argument says."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time

from stages.media.forkserver import EXTRA


def run(behaviour: str) -> None:
    """Behave as named."""
    if behaviour.startswith("SIG"):
        os.kill(os.getpid(), getattr(signal, behaviour))
    elif behaviour == "sleep":
        time.sleep(60)
    elif behaviour == "say":
        sys.stdout.write(f"{os.getppid()}\n")
    elif behaviour == "extra":
        os.write(EXTRA, b"into the file")
    elif behaviour == "memory":
        bytearray(2**33)
    elif behaviour == "disk":
        raise OSError(errno.ENOSPC, "no space left")
    else:
        raise KeyError(behaviour)
