"""The documentation is true: its commands run, and it names every code that a row may carry."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stages.download.sites.failures import AVAILABILITY, LIVE, MESSAGES

ROOT = Path(__file__).parents[1]
SERVERS = ("view", "review")
"""Commands that end with Ctrl-C; `tests/test_first_hour.py` and those of their pages run them."""

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def commands(page: Path) -> list[str]:
    lines = (line.split("#")[0].strip() for block in blocks(page, "sh") for line in block.splitlines())
    return [line for line in lines if line]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a user has after cloning, as far as the commands need it."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("configs", "demo", "schemas"):
        shutil.copytree(ROOT / name, folder / name)
    return folder


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_commands_of_the_pages_run_in_their_order(checkout: Path) -> None:
    pages = [
        ROOT / "README.md",
        *(
            ROOT / "docs" / f"{name}.md"
            for name in ("manifest", "alignment", "fusion", "tokenizers", "cluster", "stats", "profile")
        ),
    ]
    found = [line for page in pages for line in commands(page) if line.startswith(".venv/bin/storyloom")]
    found = [line for line in found if line.split()[1] not in SERVERS]
    assert len(found) >= 9
    run = [sys.executable, "-m", "pipeline.cli"]
    for line in [".venv/bin/storyloom run configs/demo.yaml", *found]:
        words = line.split()[1:]
        result = subprocess.run(
            [*run, *words], cwd=checkout, env=_environment(), capture_output=True, text=True, check=False, timeout=400
        )
        assert result.returncode == 0, f"{line}: {result.stderr}"
    for code in blocks(ROOT / "README.md", "python"):
        printed = subprocess.run([sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True, check=True)
        assert "A red cup of coffee" in printed.stdout
        assert "(640, 360)" in printed.stdout


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_that_a_page_names_exist(page: Path) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = {line.split()[1] for line in commands(page) if line.startswith("make ")}
    assert named <= set(targets)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_links_to_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_every_code_that_a_stage_raises_is_explained() -> None:
    explained = set(re.findall(r"`([a-z_]+)`", (ROOT / "docs" / "errors.md").read_text()))
    raised: set[str] = set()
    for file in (ROOT / "stages").rglob("*.py"):
        raised |= set(re.findall(r'Video(?:Failed|Dropped)\(\s*"([a-z_]+)"', file.read_text()))
    raised |= {code for code, _ in MESSAGES} | {*LIVE.values(), *AVAILABILITY.values(), "region_locked", "not_live"}
    assert len(raised) > 15
    assert raised <= explained
