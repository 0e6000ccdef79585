"""The config that `storyloom init` writes: it is valid, its comments are true, and nothing is overwritten."""

import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.config import load_config
from pipeline.settings.recipes import Recipe, recipe_file
from pipeline.settings.reference import settings
from pipeline.settings.starter import CHANGED, PLACES, starter, write_starter
from storyloom.errors import UsageError

COMMENTED = re.compile(r"^( *)#(?=\w)", re.MULTILINE)
"""Before a setting that is a comment; prose has a space there."""


@pytest.mark.parametrize("recipe", Recipe)
def test_a_starting_config_says_what_its_recipe_says_but_for_places(recipe: Recipe, tmp_path: Path) -> None:
    file = tmp_path / "storyloom.yaml"
    write_starter(file, recipe)
    ours, theirs = load_config(file).model_dump(), load_config(recipe_file(recipe)).model_dump()
    assert {key: value for key, value in ours.items() if key not in PLACES} == {
        key: value for key, value in theirs.items() if key not in PLACES
    }


@pytest.mark.parametrize("recipe", Recipe)
def test_every_commented_setting_is_one_with_its_default(recipe: Recipe, tmp_path: Path) -> None:
    text = starter(recipe, "storyloom.yaml")
    file, open_file = tmp_path / "a.yaml", tmp_path / "b.yaml"
    file.write_text(text)
    open_file.write_text(COMMENTED.sub(r"\1", text))
    assert load_config(open_file) == load_config(file)
    written, opened = (yaml.safe_load(path.read_text()) for path in (file, open_file))
    known = {one.key: one.default for one in settings()}
    added = 0
    for section, inside in opened.items():
        for key, value in inside.items() if isinstance(inside, dict) and section != "columns" else ():
            if key not in (written[section] or {}):
                default = known[f"{section}.{key}"]
                assert value == (list(default) if isinstance(default, tuple) else default)
                added += 1
    assert added > 20


def test_every_key_that_people_change_is_in_it_once() -> None:
    text = starter(Recipe.LOCAL, "storyloom.yaml")
    names = [key.rpartition(".")[2] for key in CHANGED]
    assert set(CHANGED) <= {one.key for one in settings()}
    for name in set(names):
        assert len(re.findall(rf"^ *#?{name}:", text, re.MULTILINE)) == names.count(name), name


def test_a_config_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "storyloom.yaml").write_text("mine")
    result = CliRunner().invoke(app, ["init", str(tmp_path)])
    assert isinstance(result.exception, UsageError)
    assert "is there already and was left as it is" in str(result.exception)
    assert (tmp_path / "storyloom.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("place", "written"),
    [("new", "new/storyloom.yaml"), ("mine.yml", "mine.yml"), ("a/b/c.yaml", "a/b/c.yaml"), (".", "storyloom.yaml")],
)
def test_a_folder_gets_a_config_and_a_name_of_a_file_is_one(
    place: str, written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["init", place])
    assert result.exit_code == 0
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()] == [written]
    assert f"storyloom run {Path(written).name}" in result.output


def test_the_recipe_of_a_bucket_keeps_its_places_in_one_and_has_no_credentials() -> None:
    text = starter(Recipe.S3, "x.yaml")
    assert all(f"{key}: s3://BUCKET/" in text for key in ("manifest", "work", "output"))
    assert not re.search(r"(?i)secret|password|key_id: ", text)


def test_the_demo_recipe_warns_where_it_is_read() -> None:
    assert "FOR TRYING ONLY" in starter(Recipe.DEMO, "x.yaml").splitlines()[0]
