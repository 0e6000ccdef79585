"""Committed JSON Schemas: complete, and true to the code."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.schema_files import differing_schemas, schemas, write_schemas
from stages.base import Stage
from stages.registry import STAGES
from storyloom.errors import UsageError

COMMITTED = Path(__file__).parents[2] / "schemas" / "json"


def test_there_is_a_schema_for_every_row_the_config_and_a_sample() -> None:
    rows = {f"{stage.name}-row.schema.json" for stage in STAGES if issubclass(stage, Stage)}
    assert set(schemas()) == rows | {
        "calibrate-result.schema.json",
        "duplicates-result.schema.json",
        "config.schema.json",
        "manifest-row.schema.json",
        "shard-sample.schema.json",
    }


def test_the_committed_schemas_are_those_of_the_code() -> None:
    assert differing_schemas(COMMITTED) == {}


def test_a_missing_a_changed_and_a_strange_schema_are_told_apart(tmp_path: Path) -> None:
    write_schemas(tmp_path)
    (tmp_path / "config.schema.json").unlink()
    (tmp_path / "align-row.schema.json").write_text("{}")
    (tmp_path / "old.schema.json").write_text("{}")
    assert differing_schemas(tmp_path) == {
        "align-row.schema.json": "differs from the code",
        "config.schema.json": "missing",
        "old.schema.json": "no such schema in the code",
    }


def test_check_exits_with_1_and_names_the_file(tmp_path: Path) -> None:
    write_schemas(tmp_path)
    assert CliRunner().invoke(app, ["schema", "check", str(tmp_path)]).exit_code == 0
    (tmp_path / "config.schema.json").write_text("{}")
    result = CliRunner().invoke(app, ["schema", "check", str(tmp_path)])
    assert result.exit_code == 1
    assert "config.schema.json: differs from the code" in result.output


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match=f"no folder can be made at {folder}: "):
            write_schemas(folder)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_shards_sample_can_be_checked_with_the_schema_alone() -> None:
    schema = json.loads(schemas()["shard-sample.schema.json"])
    assert {"texts", "images", "image_time", "text_start"} <= set(schema["required"])


def test_a_stage_of_ones_own_has_schemas_of_its_rows_its_further_tables_and_its_section() -> None:
    found = schemas(("tests.machine:Measure", "tests.machine:Echo", "tests.machine:Total"))
    own = set(found) - set(schemas())
    assert own == {
        "measure-row.schema.json",
        "echo-row.schema.json",
        "echo-letters-row.schema.json",
        "total-row.schema.json",
        "total-result.schema.json",
    }
    assert "said" in json.loads(found["echo-row.schema.json"])["properties"]
    assert {"measure", "echo", "total", "filter"} <= set(json.loads(found["config.schema.json"])["properties"])
