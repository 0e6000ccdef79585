"""Waiting for a turn at a host, and for the time at which it may be asked again."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stages.base import VideoFailed
from stages.turns import Turns

FIRST_LOOK, LONGEST_LOOK = 0.05, 2.0
"""Seconds after which a taken turn is asked for again, at first and at last (our choice)."""


@dataclass(frozen=True)
class Pace:
    """A turn at a host.

    Attributes:
        turns: All hosts'.
        host: Name of the host or site.
        interval: Least seconds between two requests of all workers.
        stopped: Set when the run was interrupted.
    """

    turns: Turns
    host: str
    interval: float
    stopped: threading.Event

    def wait(self, deadline: float) -> None:
        """Wait until the host may be asked.

        Args:
            deadline: On `time.monotonic`'s clock.

        Raises:
            VideoFailed: ``rate_limited``, at once, when that is after the deadline.
        """
        while (left := self.turns.due(self.host, self.interval)) > 0.0:
            if time.monotonic() + left > deadline:
                message = f"{self.host} wants to be left alone for {left:.0f} s, beyond download.max_seconds"
                raise VideoFailed("rate_limited", message, retryable=True)
            if self.stopped.wait(left):
                raise KeyboardInterrupt

    def pause(self, seconds: float) -> None:
        """Have nobody ask the host for so long: it said so."""
        self.turns.pause(self.host, seconds)


@contextmanager
def turn_at(turns: Turns, host: str, most: int, interval: float, stopped: threading.Event) -> Iterator[Pace]:
    """Hold one of `most` turns at a host, once it is free; the other arguments are those of `Pace`."""
    look = FIRST_LOOK
    while (give_back := turns.take(host, most)) is None:
        if stopped.wait(look * random.uniform(0.5, 1.0)):  # noqa: S311 - so that workers do not ask in step
            raise KeyboardInterrupt
        look = min(2 * look, LONGEST_LOOK)
    try:
        yield Pace(turns, host, interval, stopped)
    finally:
        give_back()
