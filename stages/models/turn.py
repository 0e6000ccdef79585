"""One thread at a time on a model."""

from __future__ import annotations

from threading import Lock

from stages.timing import spent


class ModelTurn:
    """Lets one thread at a time use a model: a worker may have two parts in hand, and reads and decodes both."""

    def __init__(self) -> None:
        self._lock = Lock()

    def __enter__(self) -> None:
        with spent("wait"):
            self._lock.acquire()

    def __exit__(self, *_raised: object) -> None:
        self._lock.release()
