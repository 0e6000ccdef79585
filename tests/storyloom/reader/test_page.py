"""docs/reader.md and examples/train.py do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.runs import ROOT, Finished

CODE = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "reader.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def place(demo_run: Finished, tmp_path: Path) -> Path:
    """A folder in which out/demo/shards is a finished dataset."""
    (tmp_path / "out" / "demo").mkdir(parents=True)
    (tmp_path / "out" / "demo" / "shards").symlink_to(Path(demo_run.config.output).resolve())
    return tmp_path


def run(place: Path, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    result = subprocess.run(
        [sys.executable, *arguments], cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_page_s_documents_are_the_demo_s(place: Path) -> None:
    printed = run(place, "-c", CODE[0])
    assert "A red cup of coffee and a spoon" in printed
    assert "(360, 640, 3)" in printed


def test_the_page_s_texts_are_what_was_said(place: Path) -> None:
    assert "A red cup of coffee and a spoon" in run(place, "-c", CODE[1])


def test_the_page_s_frames_stand_before_their_sentences(place: Path) -> None:
    assert "2.24 0\n The woman in an orange space suit" in run(place, "-c", CODE[2])


def test_the_page_s_sequences_hold_the_demo_s_document(place: Path) -> None:
    printed = run(place, "-c", CODE[3])
    assert re.match(r"torch\.Size\(\[\d+\]\) tensor\(\[ *0, +\d+\], dtype=torch\.int32\) \d", printed)


def test_the_page_s_plan_has_the_demo_s_document(place: Path) -> None:
    printed = run(place, "-c", CODE[4])
    assert re.match(r"[1-9]\d* 0\.\d\d\ntensor\(\[0\], dtype=torch\.int32\) tensor\(\[\[ 1, 22, 40\]", printed)
    assert (place / "out" / "counts.npz").exists()


@pytest.mark.consumers
@pytest.mark.skipif(find_spec("torchdata") is None, reason="torchdata is in the group consumers")
def test_the_page_s_run_goes_on(place: Path) -> None:
    assert run(place, "-c", CODE[5]).split() == ["1"]


def test_every_block_of_the_page_is_run_here() -> None:
    assert len(CODE) == 6


@pytest.mark.slow
def test_the_example_learns_words_where_there_are_no_codes(place: Path) -> None:
    small = ("--width", "96", "--layers", "2", "--rate", "0.003")
    printed = run(place, str(ROOT / "examples/train.py"), "out/demo/shards", *small)
    losses = [float(loss) for loss in re.findall(r"loss (\d+\.\d+)", printed)]
    assert len(losses) == 5
    assert losses[-1] < losses[0] - 1
    assert "visual" not in printed
