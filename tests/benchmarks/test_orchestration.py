"""The orchestration bench brings the same work through the loop and the runners, and prints what it measured."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.large import status
from benchmarks.overhead import Fresh, cut_clips, on_clips, on_nothing
from pipeline.bench.finished import FinishedRun
from pipeline.cli import app
from pipeline.config import load_config
from schemas.rows import FramesRow
from storyloom.errors import RunFailed
from tests.runs import ROOT

DEMO = ROOT / "configs" / "demo.yaml"


def bench(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["bench", "orchestration", str(DEMO), *arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
def test_the_table_has_a_line_for_each_way_of_working(tmp_path: Path) -> None:
    options = [
        "--clips",
        "0",
        "--parts",
        "3",
        "--planned",
        "50",
        "--by",
        "loop",
        "--by",
        "inline",
    ]
    printed = bench(*options, "--json", str(tmp_path / "report.json"))
    lines = [line.split(" | ") for line in printed.splitlines() if line.startswith("| nothing")]
    assert [cells[1:4] for cells in lines] == [
        ["loop", "3", "1"],
        ["inline", "3", "1"],
        ["loop", "3", "4"],
        ["inline", "3", "4"],
    ]
    assert re.search(r"A further video of a part and stage: loop \S+ ms, inline \S+ ms", printed)
    assert "| plan 50 videos |" in printed
    assert "| status of the same 50 videos |" in printed
    assert "| status of 3 parts, download and sample done |" in printed
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["work"][0].keys() >= {"one_seconds", "all_seconds"}
    assert report["machine"]
    assert report["versions"]["pyarrow"]


def test_work_on_nothing_leaves_every_part_done_with_its_failures(tmp_path: Path) -> None:
    fresh = Fresh(DEMO, [], tmp_path)
    timing, settings = on_nothing(fresh, "inline", parts=3, videos=2)
    assert (timing.parts, timing.videos, timing.stages) == (3, 2, 2)
    finished = FinishedRun(load_config(DEMO, settings))
    errors = [video[FramesRow].error for video in finished.videos("sample")]
    assert [(error.stage, error.code) for error in errors if error] == [("download", "not_found")] * 6


@pytest.mark.slow
def test_clips_go_through_all_stages_with_the_loop_and_inline(tmp_path: Path) -> None:
    clips = cut_clips(ROOT / "demo" / "narrated.mp4", 2, tmp_path / "clips")
    fresh = Fresh(DEMO, [], tmp_path)
    for how in ("loop", "inline"):
        timing = on_clips(fresh, how, clips, rounds=1)
        assert (timing.parts, timing.stages) == (2, 6)
        assert timing.all_seconds > 0


def test_a_command_that_ends_otherwise_than_it_should_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"pipeline.cli status .* ended with exit code 2"):
        status(Fresh(tmp_path / "none.yaml", [], tmp_path), 2, [])


@pytest.mark.ray
@pytest.mark.slow
def test_ray_is_measured_like_the_others(tmp_path: Path) -> None:
    options = ["--clips", "0", "--parts", "2", "--planned", "0", "--by", "ray"]
    printed = bench(*options)
    assert "| nothing | ray | 2 | 1 |" in printed


def test_one_part_is_too_few_to_measure() -> None:
    result = CliRunner().invoke(app, ["bench", "orchestration", str(DEMO), "--parts", "1"])
    assert "take 2 or more" in str(result.exception)
