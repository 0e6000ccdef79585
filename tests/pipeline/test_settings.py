"""The reference of every setting: complete, and true to the classes."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.config import RunConfig, config_class
from pipeline.settings.page import differs, lines, settings_page
from pipeline.settings.reference import NO_DEFAULT, settings
from pipeline.settings.values import in_words
from storyloom.errors import UsageError

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_committed_page_is_that_of_the_code() -> None:
    assert differs(PAGE) == ""


def test_every_setting_has_a_meaning_and_none_is_left_out() -> None:
    found = settings()
    assert [one.key for one in found if not one.meaning] == []
    stages = [stage.name for stage in config_class()._registered()]
    assert {one.section for one in found} - {""} == {*stages, "runner", "prices", "parts"}
    assert {one.key for one in found if not one.section} == set(RunConfig.model_fields) - {"runner", "prices", "parts"}


def test_a_setting_has_its_values_default_and_what_a_change_does() -> None:
    found = {one.key: one for one in settings()}
    threshold, device, manifest = found["filter.threshold"], found["score.device"], found["manifest"]
    assert (threshold.values, threshold.default_text, threshold.again) == (
        "`calibrated` or number, -1 to 1",
        "calibrated",
        True,
    )
    assert (device.values, device.again) == ("`auto` or `cpu` or `cuda`", False)
    assert (manifest.default is NO_DEFAULT, manifest.again) == (True, True)
    assert not any(one.again for one in found.values() if ".resources." in one.key or one.section == "runner")
    assert found["filter.resources.cpus"].default == 0.25
    assert "Seconds of silence" in found["transcribe.vad.min_silence"].meaning


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Annotated[float, Field(gt=0, lt=1)], "number, over 0, under 1"),
        (Annotated[int, Field(ge=2**20, le=2**30)], "whole number, 2^20 to 2^30"),
        (Annotated[float, Field(ge=0.25)], "number, 0.25"),
        (Literal["a", "b"] | None, "`a` or `b`"),
        (tuple[str, ...], "list of texts"),
    ],
)
def test_values_are_said_in_words(annotation: object, words: str) -> None:
    assert in_words(annotation, []) == words


def test_a_stage_of_ones_own_has_a_section() -> None:
    assert b"## `measure`" in settings_page(("tests.machine:Measure",))


def test_the_command_prints_a_section_or_a_key_and_says_what_is_near() -> None:
    assert "filter.min_words: whole number, 1 to 1,000,000; default 10" in "\n".join(lines("filter"))
    assert len(list(lines("filter.min_words"))) == 3
    with pytest.raises(UsageError, match=r"did you mean 'filter\.threshold'"):
        list(lines("filter.treshold"))


def test_a_page_that_is_out_of_date_is_told_with_the_command_that_mends_it(tmp_path: Path) -> None:
    page = tmp_path / "settings.md"
    assert CliRunner().invoke(app, ["schema", "settings", str(page), "--check"]).exit_code == 1
    assert CliRunner().invoke(app, ["schema", "settings", str(page)]).exit_code == 0
    page.write_text(page.read_text().replace("0.25", "0.26"))
    result = CliRunner().invoke(app, ["schema", "settings", str(page), "--check"])
    assert (result.exit_code, f"storyloom schema settings {page}" in result.output) == (1, True)
