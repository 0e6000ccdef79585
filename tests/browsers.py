"""Chromium for the tests that need a browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Error, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


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
