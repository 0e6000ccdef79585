"""Files that are opened once: what was checked is what is read, whatever has come to its place since."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Held:
    """An open file.

    Attributes:
        path: By which this process reads it.
        real: Where it lay when it was opened, all links resolved.
    """

    path: Path
    real: Path


@contextmanager
def held(file: Path) -> Iterator[Held]:
    """Hold a file open; what is no regular file is not waited for.

    Raises:
        OSError: It cannot be opened for reading.
        ValueError: Its name holds a null byte.
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        yield Held(Path(f"/dev/fd/{descriptor}"), _real(descriptor))
    finally:
        os.close(descriptor)


def _real(descriptor: int) -> Path:
    if sys.platform == "darwin":
        return Path(os.fsdecode(fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0")))
    return Path(f"/proc/self/fd/{descriptor}").readlink()
