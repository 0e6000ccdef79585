"""`storyloom diff` as it is called."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.dropped_frames import why_dropped
from stages.write.stage import WriteConfig
from tests.documents import dataset, document, video
from tests.runs import Finished
from tests.storyloom.stats.made import HOSTILE, with_provenance


def run(*args: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["diff", *map(str, args)])
    return result.exit_code, result.output


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """B has one video less, and other settings."""
    both, gone = video("stays", document(0)), video("gone", document(0), document(1, start=50.0))
    dataset(tmp_path / "a", [[both, gone]], WriteConfig())
    dataset(tmp_path / "b", [[both]], WriteConfig())
    config = {"filter": {"mode": "time", "threshold": 0.3}, "title": HOSTILE}
    return tmp_path / "a" / "out", with_provenance(tmp_path / "b" / "out", config=config)


def test_equal_datasets_exit_with_0_and_say_how_many_documents_are_the_same(two: tuple[Path, Path]) -> None:
    assert run(two[0], two[0]) == (0, run(two[0], two[0])[1])
    assert "the same 3 documents on both sides" in run(two[0], two[0])[1]


def test_different_datasets_exit_with_1_and_name_settings_first_then_losses(two: tuple[Path, Path]) -> None:
    code, said = run(*two)
    assert code == 1
    lines = said.splitlines()
    at = {text: next(n for n, line in enumerate(lines) if text in line) for text in ("filter.threshold: not", "B lost")}
    assert at["filter.threshold: not"] < at["B lost"]
    assert "B lost 2 documents, 4 frames, 20 words and gained nothing" in said
    assert "4  the other dataset has no document of the video" in said


def test_json_has_all_figures(two: tuple[Path, Path]) -> None:
    code, said = run(*two, "--json")
    found = json.loads(said)
    assert code == 1
    assert found["lost"]["frame_reasons"] == {"no_video": 4}
    assert found["equal"] is False
    assert found["largest"][0]["frames"] == [4, 0]


def test_a_place_without_a_dataset_is_wrong_usage(tmp_path: Path, two: tuple[Path, Path]) -> None:
    result = CliRunner().invoke(app, ["diff", str(two[0]), str(tmp_path)])
    assert "holds no finished dataset" in str(result.exception)


def test_the_filter_s_rows_tell_why_a_run_dropped_a_frame(demo_run: Finished) -> None:
    why = why_dropped(demo_run.workspace)
    workspace = demo_run.workspace
    (part,) = workspace.plan.parts
    (line,) = workspace.lines[part]
    from schemas.rows import DocumentsRow

    (row,) = workspace.rows("filter", part, DocumentsRow)
    frames = [item for item in row.dropped_items if item.kind == "frame"]
    assert frames
    assert [why(line.source_id, item.time) for item in frames] == [item.reason for item in frames]
    assert why(line.source_id, 9999.0) == "" == why("nobody", 0.0)
