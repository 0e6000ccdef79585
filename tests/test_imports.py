"""Imports point one way, and heavy packages wait until they are used."""

import ast
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "storyloom": {"storyloom"},
    "schemas": {"schemas", "storyloom"},
    "stages": {"schemas", "stages", "storyloom"},
    "pipeline": {"schemas", "stages", "pipeline", "storyloom"},
}
HEAVY = {"av", "datasets", "faster_whisper", "fsspec", "httpx", "open_clip", "ray", "skimage", "torch", "transformers"}


def imported(file: Path) -> set[str]:
    """Top-level packages that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_those_before_it(package: str) -> None:
    for file in (ROOT / package).rglob("*.py"):
        wrong = (imported(file) & set(ALLOWED)) - ALLOWED[package]
        assert not wrong, f"{file.relative_to(ROOT)} imports {wrong}"


def test_schemas_import_neither_torch_nor_ray() -> None:
    for file in (ROOT / "schemas").rglob("*.py"):
        assert not imported(file) & {"torch", "ray"}, file.name


def test_loading_a_config_imports_nothing_heavy() -> None:
    code = "import sys, pipeline.config, pipeline.run, pipeline.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert not HEAVY & set(loaded.split())


def test_the_command_line_imports_no_stage_before_a_command_runs() -> None:
    code = "import sys, pipeline.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert not {"pyarrow", "pydantic", "numpy", "stages.base"} & set(loaded.split())


READING = [
    *("reader", "reader.shards", "validate.dataset", "validate.report", "stats.figures", "stats.page", "export.run"),
    *("view.show", "card.card"),
]


@pytest.mark.parametrize("module", READING)
def test_what_reads_finished_datasets_loads_neither_torch_nor_ray_nor_the_pipeline(module: str) -> None:
    code = f"import sys, storyloom.{module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert not (HEAVY | {"matplotlib", "pipeline", "stages", "schemas"}) & set(loaded.split())


def test_the_package_has_the_version_of_its_distribution_and_types() -> None:
    import storyloom

    assert storyloom.__version__ == version("storyloom")
    assert (ROOT / "storyloom" / "py.typed").is_file()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = storyloom.nothing
