"""The benches of speed and orchestration are not in the wheel, and an installed `storyloom` says where they are."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

from tests.runs import ROOT


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with the packages that the wheel holds, and no others of the checkout."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        (tmp_path / package).symlink_to(ROOT / package, target_is_directory=True)
    return tmp_path


def storyloom(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, run in and from a folder; without `site`, no editable install of the checkout is on the path."""
    path = os.pathsep.join([str(folder), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    command = [sys.executable, "-S", "-m", "pipeline.cli", *arguments]
    environment = os.environ | {"PYTHONPATH": path}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("bench", ["speed", "orchestration"])
def test_an_installed_command_says_in_one_line_that_it_runs_from_a_checkout(installed: Path, bench: str) -> None:
    done = storyloom(installed, "bench", bench)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"storyloom: bench {bench} is not in the installed package; run it from a checkout of the repository"
    ]


def test_the_same_command_runs_in_a_checkout() -> None:
    done = storyloom(ROOT, "bench", "orchestration", "--by", "nobody")
    assert done.returncode == 2
    assert done.stderr == "storyloom: nothing is run by 'nobody'; there are loop, inline, ray\n"
    done = storyloom(ROOT, "bench", "speed", "--peer", "none", "--video", "nowhere.mp4")
    assert done.returncode == 2
    assert done.stderr == "storyloom: there is no video nowhere.mp4\n"


def test_the_alignment_benches_are_in_the_wheel(installed: Path) -> None:
    done = storyloom(installed, "bench", "assign", "--sentences", "5", "--frames", "20")
    assert done.returncode == 0, done.stderr
    assert '"sentences": 5' in done.stdout
