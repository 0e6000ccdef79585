"""The server behind `storyloom view`: it listens on this machine alone, until Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette

from storyloom.errors import UsageError

LOOPBACK = "127.0.0.1"

PATIENCE = 2
"""Seconds that answers under way are waited for at the end (our choice)."""


def serve(app: Starlette, port: int, say: Callable[[str], None], *, browser: bool, path: str = "/") -> None:
    """Serve an app until Ctrl-C, and say its address.

    Args:
        app: The app.
        port: To listen at; 0 for any free one.
        say: Prints a line.
        path: Of the page to begin with.
        browser: Whether to open the address in the user's browser, where there is a screen.

    Raises:
        UsageError: Something else listens at the port.
    """
    with socket.socket() as ear:
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            ear.bind((LOOPBACK, port))
            ear.listen()  # whoever follows the address at once waits for the answer
        except OSError as reason:
            raise UsageError(f"port {port} cannot be used ({reason.strerror}): give another one, or none") from reason
        address = f"http://{LOOPBACK}:{ear.getsockname()[1]}{path}"
        say(f"{address}  (Ctrl-C ends it)")
        if browser and has_screen():
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=PATIENCE
        )
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[ear])


def has_screen() -> bool:
    """Whether a browser would be seen: not over SSH, nor on a machine without a display."""
    if "SSH_CONNECTION" in os.environ:
        return False
    return sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
