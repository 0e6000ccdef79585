"""Turns at hosts over a Ray cluster: one small actor that all workers of a run ask."""

from __future__ import annotations

import functools
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from stages.turns import LONGEST

LEASE = 60.0
"""Seconds for which a turn is kept for a worker that is not heard of (our choice)."""

RENEWAL = 10.0
"""Seconds between two signs of life of a worker (our choice)."""


class Hosts:
    """The turns that are taken, and when each host may be asked; the actor's class.

    Args:
        lease: Seconds for which a turn is kept for a worker that is not heard of.
        clock: Gives the time in seconds.
    """

    def __init__(self, lease: float = LEASE, clock: Callable[[], float] = time.monotonic) -> None:
        self._lease = lease
        self._clock = clock
        self._taken: dict[str, dict[str, float]] = defaultdict(dict)
        self._next: dict[str, float] = {}
        self._spent: dict[str, float] = defaultdict(float)

    def take(self, host: str, most: int, lease: str) -> bool:
        """Give a lease one of a host's turns, unless `most` are taken."""
        now = self._clock()
        taken = self._taken[host] = {one: until for one, until in self._taken[host].items() if until > now}
        if len(taken) >= most:
            return False
        taken[lease] = now + self._lease
        return True

    def renew(self, leases: dict[str, str]) -> None:
        """Keep the turns of leases, named with their hosts; also those that a restarted actor has forgotten."""
        for lease, host in leases.items():
            self._taken[host][lease] = self._clock() + self._lease

    def give_back(self, host: str, lease: str) -> None:
        """End a lease."""
        self._taken[host].pop(lease, None)

    def due(self, host: str, interval: float) -> float:
        """See `stages.turns.Turns.due`."""
        now = self._clock()
        left = self._next.get(host, now) - now
        if left <= 0.0:
            self._next[host] = now + interval
        return max(0.0, left)

    def pause(self, host: str, seconds: float) -> None:
        """See `stages.turns.Turns.pause`."""
        now = self._clock()
        self._next[host] = max(self._next.get(host, now), now + min(seconds, LONGEST))

    def spend(self, account: str, amount: float) -> float:
        """See `stages.turns.Turns.spend`."""
        self._spent[account] += amount
        return self._spent[account]


@contextmanager
def shared_turns(lease: float = LEASE) -> Iterator[RayTurns]:
    """The turns of a run on the session's cluster; the actor, with these leases, ends with the block."""
    import ray

    name = f"storyloom-turns-{uuid.uuid4().hex}"
    # Where its node is lost it starts again with an empty memory, which renewals fill.
    actor: Any = ray.remote(Hosts).options(name=name, num_cpus=0, max_restarts=-1, max_task_retries=-1).remote(lease)
    try:
        yield RayTurns(name)
    finally:
        ray.kill(actor)


@dataclass
class RayTurns:
    """`stages.turns.Turns` of a cluster, as a worker sees them.

    Attributes:
        name: The actor's, in the run's namespace.
    """

    name: str
    _held: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _renewing: bool = False

    def __reduce__(self) -> tuple[type[RayTurns], tuple[str]]:
        """Another process holds nothing yet."""
        return RayTurns, (self.name,)

    def take(self, host: str, most: int) -> Callable[[], None] | None:
        """See `stages.turns.Turns.take`."""
        lease = uuid.uuid4().hex
        if not self._asked("take", host, most, lease):
            return None
        with self._lock:
            self._held[lease] = host
            if not self._renewing:
                self._renewing = True
                threading.Thread(target=self._renew, daemon=True).start()
        return functools.partial(self._give_back, host, lease)

    def due(self, host: str, interval: float) -> float:
        """See `stages.turns.Turns.due`."""
        return float(self._asked("due", host, interval))

    def pause(self, host: str, seconds: float) -> None:
        """See `stages.turns.Turns.pause`."""
        self._asked("pause", host, seconds)

    def spend(self, account: str, amount: float) -> float:
        """See `stages.turns.Turns.spend`."""
        return float(self._asked("spend", account, amount))

    def _give_back(self, host: str, lease: str) -> None:
        with self._lock:
            del self._held[lease]
        self._asked("give_back", host, lease)

    def _renew(self) -> None:
        """Give signs of life while the process lives."""
        while True:
            time.sleep(RENEWAL)
            with self._lock, suppress(Exception):  # the run has ended, or the next sign comes through
                if self._held:  # locked, so that nothing is renewed that is given back meanwhile
                    self._asked("renew", dict(self._held))

    def _asked(self, method: str, *arguments: object) -> Any:
        import ray

        actor: Any = ray.get_actor(self.name)
        return ray.get(getattr(actor, method).remote(*arguments))
