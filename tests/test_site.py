"""The documentation as a site, and the tutorial as a notebook."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.runs import ROOT

REQUESTS = re.compile(r'<(?:script|img|iframe|link)[^>]*(?:src|href)="(?:https?:)?//')


def pages(nav: object) -> set[str]:
    """The files that a navigation names."""
    if isinstance(nav, str):
        return {nav}
    entries: Iterable[object] = nav.values() if isinstance(nav, dict) else nav  # type: ignore[assignment]
    return {page for entry in entries for page in pages(entry)}


def test_the_navigation_names_every_page() -> None:
    nav = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]
    assert pages(nav) == {file.name for file in (ROOT / "docs").glob("*.md")}


@pytest.mark.slow
def test_the_site_has_the_api_from_docstrings_and_asks_no_other_host(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    for package in ("pipeline", "stages", "schemas", "storyloom"):
        (tmp_path / package).symlink_to(ROOT / package)
    program = Path(sys.executable).with_name("zensical")
    subprocess.run([program, "build", "--strict"], cwd=tmp_path, check=True, capture_output=True, timeout=200)
    site = tmp_path / "out" / "site"
    assert {file.stem for file in (ROOT / "docs").glob("*.md")} < {file.stem for file in site.glob("*.html")}
    python = (site / "python.html").read_text()
    for said in ("Bring a config up to date", "A document by its key or its number", "pixels"):
        assert said in python
    for page in site.glob("*.html"):
        assert not REQUESTS.search(page.read_text()), page.name


@pytest.mark.slow
def test_the_tutorial_runs_from_its_first_cell_to_its_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    for name in ("configs", "demo"):
        shutil.copytree(ROOT / name, tmp_path / name)
    notebook = nbformat.read(ROOT / "examples" / "tutorial.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    assert all(not cell.get("outputs") for cell in notebook.cells)  # what is committed holds no pictures
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    client = NotebookClient(notebook, timeout=280, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    outputs = ["".join(str(one) for one in cell.get("outputs", [])) for cell in notebook.cells]
    assert any("data:image/jpeg;base64" in one for one in outputs)
    assert any("A red cup of coffee" in one for one in outputs)
    assert any("(360, 640, 3)" in one for one in outputs)
