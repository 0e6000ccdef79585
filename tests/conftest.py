"""The demo, run once for all tests that look at what comes out of a run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.browsers import chromium
from tests.runs import CLIP_SECONDS, CLIP_SETTINGS, CLIPS, Finished, clip, demo_config, run_quietly

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# No test is about time, and machines are shared.
settings.register_profile("explore", deadline=None, derandomize=False, suppress_health_check=[HealthCheck.too_slow])
# The same examples every time: a change fails by what it changes, not by luck; `make test-explore` has new ones.
settings.register_profile("storyloom", settings.get_profile("explore"), derandomize=True)
settings.load_profile("storyloom")
os.environ["HF_HUB_OFFLINE"] = "1"  # before any library reads it: no test may need a hub


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """configs/demo.yaml over the committed video, run inline. Tests only look at it."""
    folder = tmp_path_factory.mktemp("demo")
    config = demo_config(folder)
    run_quietly(config)
    return Finished(config)


@pytest.fixture(scope="session")
def clips_run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Four clips of the demo's video in four parts and two groups. Tests take a `copy_of` it."""
    folder = tmp_path_factory.mktemp("clips-run")
    (folder / "clips").mkdir()
    for number, start in enumerate(CLIPS):
        clip(folder / "clips" / f"{number}.mp4", start, CLIP_SECONDS, "-vf", "scale=320:-2")
    config = demo_config(folder, f"manifest={folder / 'clips'}", *CLIP_SETTINGS)
    run_quietly(config)
    return Finished(config)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser without a window; a module's, since playwright's event loop runs as long as it does."""
    with chromium() as found:
        yield found
