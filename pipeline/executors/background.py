"""Work beside the main thread whose failure is not forgotten."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Background:
    """One piece of work at a time in a thread that does not keep the program alive: Ctrl-C ends it."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._failed: BaseException | None = None

    def start(self, work: Callable[[], None]) -> None:
        """Begin, once what was begun before has ended.

        Raises:
            BaseException: What the work before raised.
        """
        self.join()

        def keep_failure() -> None:
            try:
                work()
            except BaseException as reason:  # noqa: BLE001 - raised again where it is waited for
                self._failed = reason

        self._thread = threading.Thread(target=keep_failure, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the end.

        Raises:
            BaseException: What the work raised.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._failed is not None:
            failed, self._failed = self._failed, None
            raise failed
