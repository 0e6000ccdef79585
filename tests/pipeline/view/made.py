"""The app over a run, for tests."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from starlette.applications import Starlette
from starlette.testclient import TestClient

from pipeline.config import RunConfig
from pipeline.view import rooms
from storyloom.view.app import create_app
from tests.runs import CLIP_SETTINGS, Finished, demo_config


def app_of(config: RunConfig) -> Starlette:
    return create_app(None, rooms(config, "storyloom run demo.yaml"))


def client_of(config: RunConfig) -> TestClient:
    return TestClient(app_of(config), base_url="http://127.0.0.1")


def beside(finished: Finished, folder: Path, *settings: str) -> Finished:
    """A copy of the work folder of `clips_run`, over the same clips."""
    shutil.copytree(finished.config.work, folder / "work", symlinks=True)
    return Finished(demo_config(folder, f"manifest={finished.config.manifest}", *CLIP_SETTINGS, *settings))


def plain(html: str) -> str:
    """The text of a page, in one line."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))
