"""A background thread whose exception is raised on the next `start` or `join`."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Background:
    """Runs one task at a time in a daemon thread, so that Ctrl-C ends the program."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._failed: BaseException | None = None

    def start(self, work: Callable[[], None]) -> None:
        """Start a task, once the task before it has ended.

        Raises:
            BaseException: The exception of the task before.
        """
        self.join()

        def keep_failure() -> None:
            try:
                work()
            except BaseException as reason:  # noqa: BLE001 - raised again by `join`
                self._failed = reason

        self._thread = threading.Thread(target=keep_failure, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the end of the task.

        Raises:
            BaseException: The exception of the task.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._failed is not None:
            failed, self._failed = self._failed, None
            raise failed
