"""Seconds that a stage adds up by kind of work while it turns rows into rows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Literal, get_args

Kind = Literal["fetch", "decode", "model"]
"""Fetching media; looking into it and decoding it; the model with what prepares its input."""

KINDS: tuple[Kind, ...] = get_args(Kind)


class Timings:
    """Seconds of wall time by kind, added up over all threads: threads that work at once add up to more than passed."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._seconds: dict[Kind, float] = {}

    @contextmanager
    def on(self, kind: Kind) -> Iterator[None]:
        """Add the time of a block, also when it raises.

        No `yield` of a generator may lie in the block: it would add its consumer's time too.
        """
        began = time.perf_counter()
        try:
            yield
        finally:
            passed = time.perf_counter() - began
            with self._lock:
                self._seconds[kind] = self._seconds.get(kind, 0.0) + passed

    def take(self) -> dict[Kind, float]:
        """The seconds since the last call, by kind; kinds on which nothing was spent are left out."""
        with self._lock:
            taken, self._seconds = self._seconds, {}
        return taken
