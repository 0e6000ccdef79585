"""The figures of docs/scale.md are those of its sums, whose givens are those of the pages that have them."""

from pathlib import Path

import pytest

from benchmarks import sums
from pipeline.config import RunConfig
from stages.base import GroupStage
from tests.runs import ROOT, demo_config

PAGE = (ROOT / "docs" / "scale.md").read_text()


@pytest.mark.parametrize("table", [sums.parts_table(), sums.bytes_table(), sums.machines_table()], ids=lambda t: t[0])
def test_the_page_has_the_tables_of_the_sums(table: list[str]) -> None:
    assert "\n".join(table) in PAGE


def test_the_page_names_what_the_sums_are_given() -> None:
    for given in (sums.PUT, sums.LIST, sums.GET, sums.HEAD, sums.WRITING, sums.READING, sums.STORAGE, sums.REGION):
        assert f"{given}" in PAGE
    assert f"{sums.egress():,.0f} dollars" in PAGE
    assert "122.7 s of 1080p in 3.00 s and 35.1 s of 320x180 in 0.32 s" in PAGE


def test_the_speeds_of_sample_are_those_of_the_page_of_speed() -> None:
    measured = (ROOT / "docs" / "speed.md").read_text()
    for video, seconds, took in (("laion400m_intro.mp4", 122.7, 3.00), ("googlework_short.mp4", 35.1, 0.32)):
        assert f"{video} " in measured
        assert f"{seconds} s" in measured
        (line,) = (one for one in measured.splitlines() if one.startswith(f"| sample, {video} |"))
        assert line.split("|")[3].strip() == f"{took:.2f}"


def test_the_sums_count_the_stages_that_do_every_part(tmp_path: Path) -> None:
    config: RunConfig = demo_config(tmp_path)
    stages = [name for name in config.graph.names if name != "calibrate"]  # which does one group
    assert sum(not issubclass(config.graph.stages[name], GroupStage) for name in stages) == sums.STAGES
    assert set(sums.KB) == set(stages)
    assert config.parts.group == sums.GROUP
