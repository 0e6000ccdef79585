"""SIGTERM, such as a machine that is taken back sends before it goes: the unit in hand may end, and none begins."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

given = threading.Event()
"""Whether this process has to go: what fails in it from now on says nothing about a video."""


@contextmanager
def ending_before_sigterm(seconds: float) -> Iterator[None]:
    """Let SIGTERM take effect when the block ends, or once so many seconds are over. A second one does not wait.

    Where nobody handles it, or outside of the main thread, nothing changes.
    """
    handler = signal.getsignal(signal.SIGTERM)
    if not callable(handler) or not seconds or threading.current_thread() is not threading.main_thread():
        yield
        return
    over = threading.Timer(seconds, signal.pthread_kill, [threading.get_ident(), signal.SIGTERM])
    over.daemon = True

    def wait(_signal: int, _frame: object) -> None:
        given.set()
        signal.signal(signal.SIGTERM, handler)
        over.start()

    signal.signal(signal.SIGTERM, wait)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
        over.cancel()
        if given.is_set():
            given.clear()
            signal.raise_signal(signal.SIGTERM)


def on_sigterm(leave: Callable[[], None]) -> None:
    """Call a function in a thread of its own once SIGTERM comes, in place of what it does; again for each further one.

    Outside of the main thread, where no handler can be set, nothing changes.
    """

    def handle(_signal: int, _frame: object) -> None:
        given.set()
        threading.Thread(target=leave, daemon=True).start()

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handle)
