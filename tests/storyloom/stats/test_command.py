"""`storyloom stats` as a person and a program use it."""

import json
from pathlib import Path

import pytest

from tests.pipeline.test_cli import DEMO, folders, storyloom
from tests.runs import Finished
from tests.storyloom.stats.made import HOSTILE, small_dataset


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(small_dataset(tmp_path_factory.mktemp("small")))


def keys(value: object) -> object:
    """The structure of what was printed, without its values."""
    return {name: keys(one) for name, one in value.items()} if isinstance(value, dict) else type(value).__name__


def test_people_get_tables_and_bars(output: str) -> None:
    result = storyloom("stats", output)
    assert result.returncode == 0, result.stderr
    for said in ("documents", "words per document", "shift of a text", "en 2, de 1", "CC-BY-4.0 2, unknown 1"):
        assert said in result.stdout


def test_programs_get_json_with_the_same_keys_for_every_dataset(output: str, demo_run: Finished) -> None:
    small, demo = (
        json.loads(storyloom("stats", str(one), "--json").stdout) for one in (output, demo_run.config.output)
    )
    for one in (small, demo):
        for figures in (one["total"], one["splits"]["train"]):
            for names in ("languages", "text_sources", "licenses"):
                figures[names] = {}
    assert keys(small) == keys(demo)
    assert (small["total"]["documents"], demo["total"]["documents"]) == (3, 1)


def test_a_page_is_written_and_named(output: str, tmp_path: Path) -> None:
    page = tmp_path / "new" / "page.html"
    result = storyloom("stats", output, "--html", str(page), "--gallery", "2")
    assert f"page: {page}" in result.stdout
    assert page.read_text().count("<article") == 2
    assert HOSTILE not in page.read_text()


def test_the_config_of_the_run_gives_the_page_its_dropped_frames(demo_run: Finished, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    arguments = ["--html", str(page), "--config", DEMO, *folders(demo_run)]
    result = storyloom("stats", demo_run.config.output, *arguments)
    assert result.returncode == 0, result.stderr
    assert "dropped: low_similarity" in page.read_text()


def test_a_config_without_a_page_is_wrong_usage(output: str) -> None:
    result = storyloom("stats", output, "--config", DEMO)
    assert result.returncode == 2
    assert "--html" in result.stderr


def test_a_folder_without_a_dataset_is_wrong_usage(tmp_path: Path) -> None:
    assert storyloom("stats", str(tmp_path)).returncode == 2


def test_a_folder_in_the_place_of_the_page_is_named_and_nothing_else(output: str, tmp_path: Path) -> None:
    result = storyloom("stats", output, "--html", str(tmp_path))
    assert (result.returncode, result.stderr) == (2, f"storyloom: {tmp_path} cannot be written: Is a directory\n")
