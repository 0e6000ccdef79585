"""A run's report: what it says agrees with the shards and the rows."""

import json
from pathlib import Path

import pytest

from pipeline.config import load_config
from pipeline.report import EDGES, alignment_report
from pipeline.workspace import survey
from schemas.rows import LEAST_LAG_CONFIDENCE
from stages.filter.stage import FilterConfig
from storyloom.errors import RunFailed
from tests.pipeline.test_cli import DEMO, folders, storyloom
from tests.runs import ROOT, Finished, copy_of, demo_config, run_quietly


def test_pairs_and_frames_are_those_of_the_shards(demo_run: Finished) -> None:
    (document,) = demo_run.documents()
    report = alignment_report(demo_run.workspace)
    paired = [
        score
        for score, text in zip(document["image_clip_score"], document["image_text_index"], strict=True)
        if text >= 0
    ]
    assert (report.videos, report.frames, report.pairs) == (1, len(document["image_time"]), len(paired))
    assert report.pairs_per_minute == pytest.approx(len(paired) / (52.0 / 60), abs=0.1)
    assert min(paired) >= report.threshold
    assert report.kept[2] > report.null[2] + 0.1


def test_the_share_of_unrelated_pairs_over_the_threshold_is_the_stated_rate(demo_run: Finished) -> None:
    report = alignment_report(demo_run.workspace)
    assert report.null_above_threshold == pytest.approx(
        demo_run.config.section(FilterConfig).false_accept_rate, abs=0.02
    )


def test_histograms_count_every_video_and_pair_once(demo_run: Finished) -> None:
    report = alignment_report(demo_run.workspace)
    assert (sum(report.lags), sum(report.shifts)) == (report.videos, report.pairs)
    assert len(report.lags) == len(report.shifts) == len(EDGES) - 1


def test_the_lag_of_a_video_has_a_confidence(demo_run: Finished) -> None:
    report = alignment_report(demo_run.workspace)
    assert report.lag_confidence == [report.lag_confidence[2]] * 5
    assert report.lag_confidence[2] > LEAST_LAG_CONFIDENCE
    assert report.lags_unknown == 0


def test_a_run_that_is_not_finished_has_no_report(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="filter has 1 of 1 part to do"):
        alignment_report(survey(demo_config(tmp_path)))


def test_a_config_without_the_alignments_stages_has_no_report() -> None:
    config = load_config(
        ROOT / "configs" / "demo.yaml", [f"manifest={ROOT / 'demo'}", "filter.enabled=false", "write.enabled=false"]
    )
    with pytest.raises(RunFailed, match="download, score or filter is off"):
        alignment_report(survey(config))


def test_a_damaged_table_is_named_with_what_mends_it(clips_run: Finished, tmp_path: Path) -> None:
    copy = copy_of(clips_run, tmp_path)
    run_quietly(copy.config)
    table = min(Path(copy.config.work, "filter").glob("*/part-*.rows.parquet"))
    table.write_bytes(table.read_bytes()[:-1] + b"x")
    with pytest.raises(RunFailed, match=r"filter, part .* was changed since it was written; .*--only filter --force"):
        alignment_report(copy.workspace)


def test_the_command_prints_it_for_people_and_as_json(demo_run: Finished) -> None:
    shown = storyloom("report", DEMO, *folders(demo_run))
    assert shown.returncode == 0
    assert "frame with its sentence" in shown.stdout
    assert "confidence of the narration lag" in shown.stdout
    assert shown.stdout.startswith("1 video, ")
    assert "frames with a sentence per minute of video: " in shown.stdout
    printed = json.loads(storyloom("report", DEMO, *folders(demo_run), "--json").stdout)
    assert printed["videos"] == 1
