"""Datasets opened by the app."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from storyloom.view.app import Room, create_app
from storyloom.view.dataset import Dataset

PATIENCE = 60.0


def opened(output: Path | str, cache: Path) -> Dataset:
    """A dataset whose index is whole, in a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORYLOOM_CACHE", str(cache))
        dataset = Dataset(output)
    dataset.start(PATIENCE)
    assert dataset.index.progress().finished
    return dataset


def browsing(dataset: Dataset | None, rooms: Sequence[Room] = ()) -> TestClient:
    """A browser on this machine."""
    return TestClient(create_app(dataset, rooms), base_url="http://127.0.0.1", raise_server_exceptions=False)


def read_through(browser: TestClient) -> None:
    """Wait until the index of what is shown is whole: an app waits a second for it, then shows what there is."""
    while not browser.get("/indexing").json()["finished"]:
        time.sleep(0.01)
