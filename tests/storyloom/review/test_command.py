"""`storyloom review` as it is called; judging itself is in the browser's tests."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.cli.review import default_name
from storyloom.errors import UsageError
from tests.storyloom.review.made import judge, with_scores

SCORES = [[round(0.1 + 0.01 * n, 2)] for n in range(30)]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_scores(tmp_path_factory.mktemp("reviewed"), SCORES)


def test_two_files_are_summed_up_with_their_agreement(output: Path, tmp_path: Path) -> None:
    judge(output, tmp_path / "me.jsonl", lambda _pair: "right")
    judge(output, tmp_path / "you.jsonl", lambda pair: "wrong" if pair.score < 0.13 else "right")
    files = [str(tmp_path / name) for name in ("me.jsonl", "you.jsonl")]
    said = CliRunner().invoke(app, ["review", str(output), "--summary", *files]).output
    assert "score 0.1000 to 0.1500, 20.0 % of the pairs: 3 right, 3 wrong, 0 cannot say" in said
    assert "27 of 30 pairs alike, Cohen's kappa 0.00" in said
    found = json.loads(CliRunner().invoke(app, ["review", str(output), "--summary", *files, "--json"]).output)
    assert [one["precision"]["value"] for one in found["files"]] == pytest.approx([1.0, 0.9])
    assert found["agreement"][0]["same"] == 27


def test_judgements_of_another_dataset_are_refused(output: Path, tmp_path: Path) -> None:
    other = with_scores(tmp_path / "other", [[0.5]])
    judge(other, tmp_path / "me.jsonl", lambda _pair: "right")
    result = CliRunner().invoke(app, ["review", str(output), "--summary", str(tmp_path / "me.jsonl")])
    assert isinstance(result.exception, UsageError)
    assert "another dataset" in str(result.exception)


def test_answers_are_not_kept_in_the_dataset(output: Path) -> None:
    result = CliRunner().invoke(app, ["review", str(output), str(output / "me.jsonl"), "--no-open"])
    assert "lies in the dataset" in str(result.exception)
    assert not (output / "me.jsonl").exists()


def test_the_default_file_is_named_after_the_dataset_and_stays_in_the_folder() -> None:
    assert default_name("mugs & cups") == "review-mugs-cups.jsonl"
    assert default_name("../../etc") == "review-etc.jsonl"
    assert default_name("…") == "review-dataset.jsonl"
