"""Chromium, and a server for it, for the tests that need a browser."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from playwright.sync_api import Browser, Error, expect, sync_playwright
from starlette.applications import Starlette

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

expect.set_options(timeout=30_000)  # as playwright waits for all else; its 5 s are little where models run beside it


def program() -> str | None:
    """A browser: what STORYLOOM_CHROMIUM names, one on the path, or the one that playwright fetched."""
    named = [os.environ.get("STORYLOOM_CHROMIUM", ""), *NAMES]
    return next((found for found in (shutil.which(name) for name in named if name) if found), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window; the test is skipped where there is none."""
    with sync_playwright() as playwright:
        try:
            found = playwright.chromium.launch(executable_path=program(), args=["--no-sandbox"])
        except Error as reason:
            pytest.skip(f"no Chromium: install one, or run `playwright install chromium` ({reason.message[:80]})")
        yield found
        found.close()


@contextmanager
def served(app: Starlette) -> Iterator[str]:
    """The address of an app that is served on loopback."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()
