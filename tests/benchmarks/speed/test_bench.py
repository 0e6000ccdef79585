"""The speed bench measures its sides in turns, and says what it measured; other tools are left out here."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.overhead import Fresh
from benchmarks.speed.memory import long_video, peaks
from benchmarks.speed.ours import DECODES, run_whole
from benchmarks.speed.report import SpeedReport
from pipeline.cli import app
from storyloom.errors import UsageError
from tests.runs import NARRATED, ROOT, clip

DEMO = ROOT / "configs" / "demo.yaml"


@pytest.mark.slow
def test_every_stage_stands_beside_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    video = clip(tmp_path / "short.mp4", 9.0, 10.0)
    options = ["--clips", "1", "--rounds", "1", "--peer", "none", "--json", str(tmp_path / "report.json")]
    result = CliRunner().invoke(app, ["bench", "speed", str(DEMO), "--video", str(video), *options])
    assert result.exit_code == 0, result.output
    report = SpeedReport.model_validate_json((tmp_path / "report.json").read_bytes())
    by_work = {one.work: one for one in report.comparisons}
    assert list(by_work) == ["sample", "transcribe", "transcribe: 1 clips of 8 s", "score", "write", "whole"]
    for comparison in by_work.values():
        assert comparison.limit is not None
        assert comparison.ours is not None
        assert not any(side.failed for side in comparison.sides)
    limits = [by_work[work].limit or 0.0 for work in ("sample", "transcribe", "score", "write")]
    assert by_work["whole"].limit == pytest.approx(sum(limits))
    assert len(by_work["sample"].sides) == 2 + len(DECODES)
    assert [side.name for side in report.startup.sides][1:] == ["storyloom --help", "storyloom run, nothing to do"]
    assert report.versions["faster-whisper"]
    assert report.machine.cores > 0
    assert "### whole" in result.output
    assert report.memory == []


@pytest.mark.slow
def test_the_set_up_of_a_whole_run_is_part_of_its_wall_time_and_taken_off(tmp_path: Path) -> None:
    video = clip(tmp_path / "short.mp4", 9.0, 10.0)
    start = time.perf_counter()
    whole = run_whole(Fresh(DEMO, [], tmp_path), [video])
    assert whole.seconds > 0
    assert whole.setup_seconds > 0
    assert whole.seconds + whole.setup_seconds <= time.perf_counter() - start


def test_a_video_that_is_not_there_is_named() -> None:
    result = CliRunner().invoke(app, ["bench", "speed", str(DEMO), "--video", "nowhere.mp4", "--peer", "none"])
    assert isinstance(result.exception, UsageError)
    assert "nowhere.mp4" in str(result.exception)


@pytest.mark.slow
def test_the_peak_memory_of_a_stage_is_above_nothing_and_counts_ffmpeg(tmp_path: Path) -> None:
    video = long_video(0.005, NARRATED, tmp_path)
    found = {one.stage: one for one in peaks(DEMO, [], {0.005: video}, tmp_path)}
    assert not found["sample"].failed
    assert found["sample"].with_children_mebibytes > found["sample"].worker_mebibytes > 0
    assert found["transcribe"].hours == 0.005
