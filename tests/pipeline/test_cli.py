"""The command line: what it prints and which code it ends with."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runs import ROOT, Finished

DEMO = str(ROOT / "configs" / "demo.yaml")


def storyloom(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline.cli", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=200)


def folders(run: Finished) -> list[str]:
    names = ("manifest", "work", "output")
    return [part for name in names for part in ("--set", f"{name}={getattr(run.config, name)}")]


def test_a_finished_run_says_that_everything_is_up_to_date(demo_run: Finished) -> None:
    result = storyloom("run", DEMO, *folders(demo_run))
    assert result.returncode == 0
    assert "everything is up to date" in result.stdout


def test_show_prints_frames_and_sentences_in_order(demo_run: Finished) -> None:
    result = storyloom("show", demo_run.config.output)
    lines = result.stdout.splitlines()
    cup = next(number for number, line in enumerate(lines) if "red cup of coffee" in line)
    assert "000" in lines[1]
    assert "score +" in lines[cup - 1]
    assert "11.60 s" in lines[cup - 1]


def test_show_says_when_there_is_no_such_document(demo_run: Finished) -> None:
    result = storyloom("show", demo_run.config.output, "nothing-0000")
    assert (result.returncode, "no document 'nothing-0000'" in result.stderr) == (2, True)


def test_show_says_when_the_folder_holds_no_dataset(tmp_path: Path) -> None:
    result = storyloom("show", str(tmp_path))
    assert (result.returncode, "holds no finished dataset" in result.stderr) == (2, True)


def test_status_as_json_names_every_stage(demo_run: Finished) -> None:
    result = storyloom("status", DEMO, *folders(demo_run), "--json")
    stages = {one["stage"]: one for one in json.loads(result.stdout)}
    assert list(stages) == ["download", "sample", "transcribe", "align", "score", "filter", "write"]
    assert all(one["to_do"] == 0 for one in stages.values())
    assert stages["transcribe"]["counts"]["words"] > 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nowhere.yaml"], "no config at"),
        (["run", DEMO, "--set", "filter.treshold=1"], "did you mean 'threshold'?"),
        (["run", DEMO, "--set", "manifest=nowhere.txt"], "no manifest at"),
        (["run", DEMO, "--only", "filtre"], "no stage 'filtre'"),
        (["run", DEMO, "--only", "filter", "--from", "align"], "exclude each other"),
        (["run", DEMO, "--runner", "slurm"], "got 'slurm'"),
        (["run", DEMO, "--no-such-option"], "--no-such-option"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(arguments: list[str], message: str) -> None:
    result = storyloom(*arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
