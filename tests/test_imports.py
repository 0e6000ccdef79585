"""Imports point one way, the machine names no stage, and heavy packages wait until they are used."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {"benchmarks", "pipeline", "schemas", "stages", "storyloom", "tests"}
ALLOWED = {
    "storyloom": {"storyloom"},
    "schemas": {"schemas", "storyloom"},
    "stages": {"schemas", "stages", "storyloom"},
    "pipeline": {"schemas", "stages", "pipeline", "storyloom"},
    "benchmarks": {"schemas", "stages", "pipeline", "storyloom", "benchmarks"},
}
FORMAT = {"storyloom.format", "storyloom.fs", "storyloom.errors"}
"""What schemas and the rooms beside the format stand on."""

STORYLOOM = {
    "storyloom/format": FORMAT,
    "storyloom/fs": FORMAT,
    "storyloom/errors.py": set[str](),
    "schemas": {*FORMAT, "schemas"},
    "stages": {*FORMAT, "schemas", "stages"},
}
"""Modules of ours that these may import, by their beginnings."""

OF_ALL_STAGES = {"stages.base", "stages.registry", "stages.timing", "stages.turns", "stages.media.sandbox"}
"""What the machine may import of stages/: what every stage has, and none of them."""

NAMES_A_STAGE = {
    "pipeline/publish/run.py": {"stages.write.stage"},
    "pipeline/publish/publish.py": {"stages.write.stage"},
}
"""Whoever turns groups into a dataset knows the stage that wrote them."""

KNOWS_STAGES = ("pipeline/bench/", "pipeline/view/")
"""`storyloom bench align` measures stages by name, `storyloom view CONFIG` shows what they decided and decides anew;
neither is a part of the machine."""

LATE = {"pipeline/cli/bench.py": {"benchmarks"}, "storyloom/__init__.py": {"pipeline"}}
"""Commands that are there in a checkout only; `storyloom.run`, which is looked up when somebody runs something."""

DATASETS_OF_TORCH = {"storyloom/reader/dataset.py", "storyloom/reader/packing.py", "storyloom/reader/planned.py"}
"""Loaded when somebody asks for one of their classes; the reader's other modules do without."""

HEAVY = {"av", "datasets", "faster_whisper", "fsspec", "httpx", "open_clip", "ray", "skimage", "torch", "transformers"}


def modules(file: Path) -> Iterator[str]:
    """What a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files_of(place: str) -> list[Path]:
    found = [ROOT / place] if place.endswith(".py") else sorted((ROOT / place).rglob("*.py"))
    assert found
    return found


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def begins_with(module: str, names: set[str]) -> bool:
    return any(f"{module}.".startswith(f"{name}.") for name in names)


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_those_before_it(package: str) -> None:
    wrong = {
        f"{name_of(file)} imports {module}"
        for file in files_of(package)
        for module in modules(file)
        if module.partition(".")[0] in PACKAGES - ALLOWED[package] - LATE.get(name_of(file), set())
    }
    assert wrong == set()


@pytest.mark.parametrize("place", STORYLOOM)
def test_a_room_imports_of_ours_only_what_it_stands_on(place: str) -> None:
    wrong = {
        f"{name_of(file)} imports {module}"
        for file in files_of(place)
        for module in modules(file)
        if module.partition(".")[0] in PACKAGES and not begins_with(module, STORYLOOM[place])
    }
    assert wrong == set()


@pytest.mark.parametrize("package", ["storyloom", "schemas", "stages", "pipeline"])
def test_parquet_is_read_by_one_class_whose_threads_cannot_outlive_the_program(package: str) -> None:
    reads = {"ParquetDataset", "ParquetFile", "read_pandas", "read_table"}
    of_arrow = {"pyarrow.dataset", *(f"pyarrow.parquet.{name}" for name in reads)}
    used = {
        name_of(file): {node.attr for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Attribute)}
        for file in files_of(package)
    }
    wrong = {name for name, names in used.items() if names & reads or of_arrow & set(modules(ROOT / name))}
    assert wrong - {"storyloom/format/parquet.py"} == set()


def test_the_machine_names_no_stage() -> None:
    wrong = {
        f"{name_of(file)} imports {module}"
        for file in files_of("pipeline")
        if not name_of(file).startswith(KNOWS_STAGES)
        for module in modules(file)
        if module.startswith("stages.")
        and not begins_with(module, OF_ALL_STAGES | NAMES_A_STAGE.get(name_of(file), set()))
    }
    assert wrong == set()


def test_every_exception_is_still_needed() -> None:
    for name, allowed in {**NAMES_A_STAGE, **LATE}.items():
        found = set(modules(ROOT / name))
        assert all(any(f"{module}.".startswith(f"{one}.") for module in found) for one in allowed), name


@pytest.mark.parametrize("place", ["storyloom", "schemas"])
def test_no_module_below_the_stages_needs_torch_or_ray_but_the_datasets_of_torch(place: str) -> None:
    needing = {name_of(file) for file in files_of(place) if {"torch", "ray"} & set(top_level(file))}
    assert needing - DATASETS_OF_TORCH == set()


def top_level(file: Path) -> Iterator[str]:
    """Packages that a file imports when it is imported itself."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def loaded_by(code: str) -> set[str]:
    command = [sys.executable, "-c", f"import sys, {code}; print(*sys.modules)"]
    return set(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split())


def test_loading_a_config_imports_nothing_heavy() -> None:
    assert not HEAVY & loaded_by("pipeline.config, pipeline.run, pipeline.cli")


def test_the_command_line_imports_no_stage_before_a_command_runs() -> None:
    assert not {"pyarrow", "pydantic", "numpy", "stages.base"} & loaded_by("pipeline.cli")


READING = [
    *("reader", "reader.shards", "validate.dataset", "validate.report", "stats.figures", "stats.page", "export.run"),
    *("view.show", "view.pages", "view.serve", "card.card"),
]


@pytest.mark.parametrize("module", READING)
def test_what_reads_finished_datasets_loads_neither_torch_nor_ray_nor_the_pipeline(module: str) -> None:
    assert not (HEAVY | {"matplotlib", "pipeline", "stages", "schemas"}) & loaded_by(f"storyloom.{module}")


def test_the_package_has_the_version_of_its_distribution_and_types() -> None:
    import storyloom

    assert storyloom.__version__ == version("storyloom")
    assert (ROOT / "storyloom" / "py.typed").is_file()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = storyloom.nothing  # type: ignore[attr-defined]
