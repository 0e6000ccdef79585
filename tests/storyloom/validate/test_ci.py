"""What docs/ci.md, action.yml and .pre-commit-hooks.yaml contain runs."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.schema_files import write_schemas
from tests.runs import ROOT, Finished

ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
HOOKS = {hook["id"]: hook for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.DOTALL)


WORKFLOW, PRE_COMMIT = (yaml.safe_load(block) for block in blocks("ci.md", "yaml"))


@pytest.fixture
def checkout(tmp_path: Path, demo_run: Finished) -> Path:
    """A repository with a dataset and schemas, and `storyloom` on its PATH."""
    shutil.copytree(demo_run.config.output, tmp_path / "shards")
    shutil.copytree(demo_run.config.output, tmp_path / "out" / "demo" / "shards")
    write_schemas(tmp_path / "schemas" / "json")
    program = tmp_path / "bin" / "storyloom"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m pipeline.cli "$@"\n')
    program.chmod(0o755)
    return tmp_path


def run(command: str, checkout: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{checkout / 'bin'}:{os.environ['PATH']}", **variables}
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", command]  # as GitHub starts it
    return subprocess.run(
        shell, cwd=checkout, env=environment, capture_output=True, text=True, check=False, timeout=200
    )


def step(name: str, checkout: Path, given: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a step of the action with these inputs."""
    (found,) = (one for one in ACTION["runs"]["steps"] if one["name"] == name)
    inputs = {key: one["default"] for key, one in ACTION["inputs"].items()} | given
    expression = re.compile(r"\$\{\{ inputs\.(\w+) \}\}")
    variables = {key: expression.sub(lambda match: inputs[match[1]], text) for key, text in found["env"].items()}
    return run(found["run"], checkout, **variables)


def test_the_workflow_gives_the_action_only_inputs_that_it_has() -> None:
    steps = WORKFLOW["jobs"]["validate"]["steps"]
    (ours,) = (one for one in steps if one["uses"].startswith("OWNER/storyloom@"))
    assert set(ours["with"]) <= set(ACTION["inputs"])
    assert ACTION["runs"]["using"] == "composite"
    assert all(one["shell"] == "bash" for one in ACTION["runs"]["steps"])


def test_no_input_is_pasted_into_a_script() -> None:
    """An input may come from a stranger's pull request."""
    assert not [one["name"] for one in ACTION["runs"]["steps"] if "${{" in one["run"]]


def test_the_steps_of_the_action_pass_on_a_good_dataset(checkout: Path) -> None:
    (given,) = (one["with"] for one in WORKFLOW["jobs"]["validate"]["steps"] if one["uses"].startswith("OWNER/"))
    validated = step("Validate the dataset", checkout, given)
    assert (validated.returncode, "every image decoded: all fine" in validated.stdout) == (0, True), validated.stderr
    assert (checkout / given["junit"]).read_bytes().startswith(b"<?xml")
    checked = step("Check the schemas", checkout, given)
    assert (checked.returncode, "matches the code" in checked.stdout) == (0, True), checked.stderr


def test_the_steps_of_the_action_fail_on_what_is_wrong(checkout: Path) -> None:
    (checkout / "shards" / "croissant.json").unlink()
    validated = step("Validate the dataset", checkout, {"dataset": "shards"})
    assert (validated.returncode, "croissant.json  -  missing_file" in validated.stdout) == (1, True)
    next((checkout / "schemas" / "json").glob("*.json")).write_text("{}")
    assert step("Check the schemas", checkout, {"schemas": "schemas/json"}).returncode == 1


@pytest.mark.parametrize("hook", [hook["id"] for hook in PRE_COMMIT["repos"][0]["hooks"]])
def test_the_hooks_of_the_page_pass(checkout: Path, hook: str) -> None:
    (used,) = (one for one in PRE_COMMIT["repos"][0]["hooks"] if one["id"] == hook)
    result = run(shlex.join([*shlex.split(HOOKS[hook]["entry"]), *used["args"]]), checkout)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_hooks_run_when_a_file_of_theirs_is_committed(demo_run: Finished) -> None:
    output = Path(demo_run.config.output)
    names = [f"shards/{path.relative_to(output)}" for path in output.rglob("*") if path.is_file()]
    assert [name for name in names if not re.search(HOOKS["storyloom-validate"]["files"], name)] == []
    schemas = [path.name for path in (ROOT / "schemas" / "json").iterdir()]
    assert [name for name in schemas if not re.search(HOOKS["storyloom-schema-check"]["files"], name)] == []
    assert not re.search(HOOKS["storyloom-validate"]["files"], "src/main.py")


def commands() -> list[Any]:
    return [line for page in ("ci.md", "validate.md") for block in blocks(page, "sh") for line in block.splitlines()]


def test_the_commands_of_the_pages_pass(checkout: Path) -> None:
    lines = [line.removeprefix(".venv/bin/") for line in commands() if "schema export" not in line]
    assert len(lines) == 5
    for line in lines:
        result = run(line, checkout)
        assert result.returncode == 0, f"{line}: {result.stdout}{result.stderr}"
