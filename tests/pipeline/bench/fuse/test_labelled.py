"""The checks over answers whose faults are known."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from pipeline.bench.fuse.labelled import HALVES, labelled_answers, scores
from pipeline.cli import app
from stages.fuse.checks import CHECKS
from tests.runs import ROOT

WANTED = 0.9
"""Recall and precision of each check, in each half (our choice)."""

LABELLED = labelled_answers()


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("reason", CHECKS)
def test_a_check_finds_the_faults_it_is_for_and_few_others(reason: str, half: str) -> None:
    made = [one for one in LABELLED if one.held == HALVES[half]]
    found = next(score for score in scores(made) if score.reason == reason)
    assert found.wrong >= 10
    assert found.recall is not None
    assert found.recall >= WANTED
    assert found.precision is not None
    assert found.precision >= WANTED


def test_the_set_is_large_and_each_answer_is_labelled_once() -> None:
    assert len(LABELLED) >= 200
    assert all(not one.wrong & one.open for one in LABELLED)


def test_halves_share_no_input() -> None:
    seen, held = ({one.answer.caption for one in LABELLED if one.held == half} for half in (False, True))
    assert not seen & held


def test_the_set_is_the_same_each_time() -> None:
    assert labelled_answers() == LABELLED


def test_the_command_shows_both_halves_of_each_check() -> None:
    result = CliRunner().invoke(app, ["bench", "fuse", "--labelled", "--json"])
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    assert list(shown) == ["seen", "held out"]
    assert [one["reason"] for one in shown["held out"]] == list(CHECKS)


def test_each_reason_is_explained_where_errors_and_rules_are() -> None:
    pages = [(ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("errors.md", "fusion.md")]
    assert all(f"`{reason}`" in page for page in pages for reason in CHECKS)
