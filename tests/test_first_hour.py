"""A stranger's first hour as the README tells it: the demo, two videos of their own, why one failed, a threshold chosen
by looking, the checks, and a trainer that reads what came out."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browsers import chromium
from tests.runs import ROOT, clip

NUMBER = re.compile(r"^\d+$")

STORYLOOM = [sys.executable, "-m", "pipeline.cli"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What a clone holds."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("this is no clone")
    folder = tmp_path / "storyloom"
    for name in filter(None, listed.stdout.decode().split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


def said(checkout: Path, *words: str, program: list[str] = STORYLOOM) -> str:
    """What a command prints that ends well."""
    done = subprocess.run([*program, *words], cwd=checkout, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


@contextmanager
def viewed(checkout: Path, config: str) -> Iterator[Page]:
    """`storyloom view` of a config, in a browser."""
    command = [*STORYLOOM, "view", config, "--no-open"]
    server = subprocess.Popen(command, cwd=checkout, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    assert server.stdout is not None
    try:
        address = server.stdout.readline().split()[0]
        with chromium() as browser:
            page = browser.new_page()
            page.goto(address)
            yield page
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0


def count(page: Page, way: str) -> Locator:
    """The count of frames on the page of tuning; a dash until the server has answered."""
    return page.locator(f"tr[data-what=frames] td[data-way={way}]")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_first_hour_works_as_the_readme_tells_it(checkout: Path) -> None:
    said(checkout, "run", "configs/demo.yaml")
    assert "A red cup of coffee and a spoon are on the wooden table." in said(checkout, "show", "out/demo/shards")

    clip(checkout / "holiday.mp4", 0.0, 24.0)
    (checkout / "broken.mp4").write_text("no video at all")
    (checkout / "videos.txt").write_text("holiday.mp4\nbroken.mp4\n")
    said(checkout, "init", "mine.yaml", "--recipe", "demo")
    ended = said(checkout, "run", "mine.yaml")
    assert "broken.mp4" in ended
    assert "storyloom failures mine.yaml" in ended
    assert "broken.mp4" in said(checkout, "failures", "mine.yaml")
    assert "1 video failed" in said(checkout, "run", "mine.yaml")

    with viewed(checkout, "mine.yaml") as page:
        page.get_by_role("link", name="Tune").click()
        expect(count(page, "then")).to_have_text(NUMBER)
        page.get_by_label("a number").check()
        page.locator("#threshold-slider").focus()
        page.keyboard.press("End")
        expect(count(page, "lost")).to_have_text(re.compile("^[1-9]"))
        before = int(count(page, "then").inner_text())
        page.locator("#threshold-slider").fill("0.25")
        expect(page.locator("#options")).to_have_text("--set filter.threshold=0.25")
        chosen, options = int(count(page, "now").inner_text()), page.locator("#options").inner_text().split()
    assert 0 < chosen < before
    said(checkout, "run", "mine.yaml", "--from", "filter", *options)
    assert json.loads(said(checkout, "stats", "shards", "--json"))["total"]["images"] == chosen

    said(checkout, "validate", "shards")
    trained = said(checkout, "examples/train.py", "shards", "--width", "96", program=[sys.executable])
    assert "step 25: loss" in trained
