"""Timings inside a stage, summed by kind of work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Literal, get_args

Kind = Literal["fetch", "decode", "model"]
"""Fetching media; probing and decoding it; the model with the preparation of its input."""

KINDS: tuple[Kind, ...] = get_args(Kind)


class Timings:
    """Seconds of wall time by kind, summed over threads, so the sum may exceed the elapsed time."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._seconds: dict[Kind, float] = {}

    @contextmanager
    def on(self, kind: Kind) -> Iterator[None]:
        """Measure a block, also when it raises.

        The block must not contain a generator's `yield`: it would include the consumer's time.
        """
        began = time.perf_counter()
        try:
            yield
        finally:
            passed = time.perf_counter() - began
            with self._lock:
                self._seconds[kind] = self._seconds.get(kind, 0.0) + passed

    def take(self) -> dict[Kind, float]:
        """Return the seconds since the last call, by kind, without empty kinds."""
        with self._lock:
            taken, self._seconds = self._seconds, {}
        return taken
