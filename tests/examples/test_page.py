"""The commands of docs/training.md that need no photos do what the page says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runs import ROOT, Finished, demo_config, run_quietly

PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_example_learns_the_demo_s_words_and_codes(demo_run: Finished, tmp_path: Path) -> None:
    (command,) = re.findall(r"^\.venv/bin/storyloom run configs/demo\.yaml (.*)$", PAGE, re.MULTILINE)
    settings = re.findall(r"--set (\S+)", command)
    shutil.copytree(Path(demo_run.config.work), tmp_path / "work", symlinks=True)
    config = demo_config(tmp_path, *settings)
    run_quietly(config)
    small = ("--width", "96", "--layers", "2", "--rate", "0.003")
    told = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "train.py"), config.output, *small],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    costs = re.findall(r"held out: text (\d+\.\d+), visual (\d+\.\d+), marks", told.stdout)
    assert "no validation split" in told.stdout
    assert len(costs) == 5
    (words, codes), (words_then, codes_then) = ([float(cost) for cost in one] for one in (costs[0], costs[-1]))
    assert words_then < words - 0.5
    assert codes_then < codes - 0.5
    assert codes_then < 12  # bits of a code of 4,096, as long as nothing is learnt
