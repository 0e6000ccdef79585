"""What packages, hooks, images and pages say of the project is what pyproject.toml says."""

from __future__ import annotations

import re
import tomllib

import pytest
import yaml

from stages.download.probing import TESTED
from tests.runs import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
EXTRAS = set(PROJECT["optional-dependencies"])
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = [path for name in ("storyloom", "stages", "pipeline") for path in sorted((ROOT / name).rglob("*.py"))]
FILES = [ROOT / "action.yml", ROOT / "Makefile", ROOT / "configs" / "cluster" / "Dockerfile"]


def text(*path: str) -> str:
    return ROOT.joinpath(*path).read_text(encoding="utf-8")


def test_every_extra_that_is_named_anywhere_exists() -> None:
    for file in (*PAGES, *SOURCES, *FILES):
        content = file.read_text(encoding="utf-8")
        named = set(re.findall(r"--extra ([\w-]+)", content))
        for group in re.findall(r"(?:storyloom|'\.|\+=\")\[([a-z,-]+)\]", content):
            named |= set(group.split(","))
        assert named <= EXTRAS, file


def test_the_readme_explains_every_extra() -> None:
    explained = re.findall(r"^\| `([\w-]+)` \|", text("README.md"), re.MULTILINE)
    assert set(explained) == EXTRAS


def test_the_image_of_a_node_has_what_a_run_and_its_jobs_need() -> None:
    (line,) = re.findall(r"^RUN uv sync (.*)$", text("configs", "cluster", "Dockerfile"), re.MULTILINE)
    assert {"run", "open-clip", "cluster"} <= set(re.findall(r"--extra ([\w-]+)", line))
    assert "--frozen --no-dev" in line


def test_ci_runs_the_demo_on_every_supported_python() -> None:
    (versions,) = re.findall(r"^for version in (.*); do$", text(".ci", "run"), re.MULTILINE)
    names = [one.rpartition(" ")[2] for one in PROJECT["classifiers"] if one.startswith("Programming Language")]
    assert versions.split() == names
    first, last = names[0], names[-1]
    assert PROJECT["requires-python"] == f">={first},<3.{int(last.removeprefix('3.')) + 1}"


def test_the_lock_file_names_no_host_but_pypi() -> None:
    hosts = set(re.findall(r"https?://([^/\"]+)", text("uv.lock")))
    assert hosts == {"pypi.org", "files.pythonhosted.org"}


@pytest.mark.parametrize("name", ["av", "ctranslate2", "faster-whisper", "imageio-ffmpeg", "onnxruntime", "ray"])
def test_every_python_has_the_same_release_of_what_decodes_hears_and_runs(name: str) -> None:
    packages = tomllib.loads(text("uv.lock"))["package"]
    assert len([one["version"] for one in packages if one["name"] == name]) == 1


def test_a_decoder_that_cannot_be_used_is_answered_with_the_releases_that_are_asked_for() -> None:
    extras = PROJECT["optional-dependencies"]
    assert [one for name in ("run", "deep") for one in extras[name] if one.startswith("av>")] == [TESTED, TESTED]


def test_the_citation_is_of_this_version_and_licence() -> None:
    citation = yaml.safe_load(text("CITATION.cff"))
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])


@pytest.mark.parametrize(
    "hook", yaml.safe_load(text(".pre-commit-config.yaml"))["repos"][0]["hooks"], ids=lambda hook: hook["id"]
)
def test_a_hook_of_this_repository_fetches_nothing(hook: dict[str, str]) -> None:
    assert hook["language"] == "system"
    assert hook["entry"].startswith(".venv/bin/")


def test_the_hooks_take_their_programs_from_nowhere_else() -> None:
    assert [one["repo"] for one in yaml.safe_load(text(".pre-commit-config.yaml"))["repos"]] == ["local"]
