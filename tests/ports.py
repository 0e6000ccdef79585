"""Ports for servers that do not choose one themselves."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from itertools import cycle, islice

FIRST, EACH, SHARES = 29_000, 32, 117
"""The first port that is given, how many a process has, and how many processes have their own. All lie below those that
systems give to connections (Linux: from 32,768 on), so that no connection takes one before the server does, and above
those of Ray and of tests/pipeline/test_jobs.py."""

_MINE = FIRST + os.getpid() % SHARES * EACH
_PORTS = cycle(range(_MINE, _MINE + EACH))


def free_ports(number: int) -> list[int]:
    """Ports of loopback that nothing listens at, of this process's share; each call gives others."""
    found: list[int] = []
    for port in islice(_PORTS, EACH):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
        if len(found) == number:
            return found
    raise RuntimeError(f"{len(found)} ports from {_MINE} on are free, {number} are wanted")
