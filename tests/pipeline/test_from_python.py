"""`storyloom.run`: a run from Python, and what it returns."""

from __future__ import annotations

from pathlib import Path

import pytest

import storyloom
from pipeline.config_file import parsed
from storyloom.errors import RunFailed, UsageError
from tests.runs import ROOT, Finished

DEMO = ROOT / "configs" / "demo.yaml"


def places(finished: Finished) -> dict[str, str]:
    config = finished.config
    return {"manifest": config.manifest, "work": config.work, "output": config.output}


def test_a_run_from_a_file_gives_the_documents_the_funnel_and_no_failure(demo_run: Finished) -> None:
    run = storyloom.run(DEMO, places(demo_run))
    assert [one.key for one in run.documents] == [one["sample_id"] for one in demo_run.documents()]
    assert {row.what: row.kept for row in run.funnel}["documents"] == 1
    assert list(run.failures) == []
    assert "1 of 1 documents" in repr(run)
    assert "low_similarity" in run._repr_html_()


def test_a_run_from_dictionaries_is_that_of_the_file(demo_run: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    content = {**parsed(DEMO.read_text()), **places(demo_run)}
    before = repr(content)
    storyloom.run(content, {"filter.false_accept_rate": 0.25})
    assert "every stage is up to date" in capsys.readouterr().out
    assert repr(content) == before


def test_a_mistake_is_named_with_the_nearest_right_key(tmp_path: Path) -> None:
    content = {"manifest": "m", "work": str(tmp_path), "output": str(tmp_path / "out")}
    with pytest.raises(UsageError, match="did you mean 'threshold'"):
        storyloom.run(content, {"filter.treshold": 0.5})
    with pytest.raises(UsageError, match=r"overrides 'seed\.a': 'seed' is a value"):
        storyloom.run({**content, "seed": 1}, {"seed.a": 1})
    with pytest.raises(UsageError, match="no stage 'wirte'"):
        storyloom.run(content, only="wirte")


def test_a_stage_that_was_not_written_yet_has_no_documents(tmp_path: Path) -> None:
    run = storyloom.run(
        DEMO,
        {"manifest": str(ROOT / "demo" / "videos.txt"), "work": str(tmp_path / "w"), "output": str(tmp_path / "o")},
        only=["download"],
    )
    assert run.funnel == []
    assert "nothing yet" in repr(run)
    with pytest.raises(UsageError, match="holds no finished dataset"):
        _ = run.documents


def test_a_run_that_fails_lists_its_failures_and_names_python_s_ways(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("notes.md\n")
    (tmp_path / "notes.md").write_text("no video\n")
    content = {
        **parsed(DEMO.read_text()),
        "manifest": tmp_path / "notes.txt",
        "work": tmp_path / "work",
        "download": {"local_root": tmp_path},
    }
    with pytest.raises(RunFailed) as failed:
        storyloom.run(content, {"output": tmp_path / "out"})
    (failure,) = failed.value.run.failures
    assert (failure.name, failure.code) == ("notes.md", "not_media")
    told = capsys.readouterr().out
    assert "to try again: storyloom.run(…, retry=['not_media'])" in told
    assert "CONFIG" not in told
    assert "--" not in told


def test_the_dataset_of_another_is_given_up_when_asked(demo_run: Finished, tmp_path: Path) -> None:
    """The refusal comes before any work, and names the argument."""
    (tmp_path / "others.txt").write_text("other.mp4\n")
    given = {**places(demo_run), "manifest": tmp_path / "others.txt", "work": tmp_path / "work"}
    with pytest.raises(UsageError, match="replace_output=True"):
        storyloom.run(DEMO, given, only="write")
    with pytest.raises(RunFailed, match="what is not done yet"):
        storyloom.run(DEMO, given, only="write", replace_output=True)
