"""The wheel, installed with the core's packages only and used outside the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.settings.recipes import Recipe
from stages.write.stage import WriteConfig
from tests.documents import dataset, videos
from tests.runs import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel in it, and a folder beside it to work in."""

    wheel: Path
    bin: Path
    folder: Path

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        command = [str(self.bin / program), *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=clean, capture_output=True, text=True, check=False, timeout=200
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Only `pip` is used, as by someone who has never heard of uv."""
    folder = tmp_path_factory.mktemp("wheel")
    venv, work = folder / "venv", folder / "work"
    work.mkdir()
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip = [str(venv / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT], check=True, cwd=work)
    (wheel,) = folder.glob("storyloom-*.whl")
    subprocess.run([*pip, "install", wheel], check=True, cwd=work)
    size = sum(path.lstat().st_size for path in venv.rglob("*") if path.is_file())
    took = time.monotonic() - began
    print(f"\nwheel {wheel.stat().st_size / 1e6:.1f} MB; environment {size / 1e6:.0f} MB, {took:.0f} s")
    dataset(work / "made", [videos(3)], WriteConfig())
    (work / "made" / "out").rename(work / "shards")
    return Installed(wheel, venv / "bin", work)


def test_the_wheel_holds_the_four_packages_their_types_and_no_benchmark(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        names = wheel.namelist()
    folders = {name.split("/")[0] for name in names}
    assert folders == {"storyloom", "schemas", "stages", "pipeline", f"storyloom-{VERSION}.dist-info"}
    assert "storyloom/py.typed" in names
    assert {f"pipeline/settings/configs/{recipe.value}.yaml" for recipe in Recipe} <= set(names)
    assert {
        *("storyloom/view/templates/static.html", "storyloom/view/templates/base.html"),
        *("storyloom/view/static/style.css", "storyloom/view/static/static-page.js", "storyloom/view/static/app.js"),
        *("storyloom/diff/templates/diff.html", "storyloom/review/templates/review.html"),
        *("storyloom/review/static/review.js", "storyloom/review/static/review.css"),
        *("pipeline/view/templates/tune.html", "pipeline/view/static/tune.js", "pipeline/view/static/run.css"),
    } <= set(names)


def test_the_core_brings_no_torch_no_ray_and_no_decoder(installed: Installed) -> None:
    code = "import sys, importlib.util as u; print([name for name in sys.argv[1:] if u.find_spec(name)])"
    unwanted = ["torch", "ray", "av", "faster_whisper", "open_clip", "yt_dlp", "whisper", "benchmarks", "tests"]
    result = installed.run("python", "-c", code, *unwanted)
    assert (result.stdout, result.stderr) == ("[]\n", "")


def test_the_version_is_that_of_the_project(installed: Installed) -> None:
    result = installed.run("python", "-c", "import storyloom; print(storyloom.__version__, storyloom.__file__)")
    version, file = result.stdout.split()
    assert version == VERSION
    assert Path(file).is_relative_to(installed.bin.parent)


def test_help_lists_the_commands(installed: Installed) -> None:
    began = time.monotonic()
    result = installed.run("storyloom", "--help")
    print(f"\nstoryloom --help: {time.monotonic() - began:.2f} s")
    assert result.returncode == 0, result.stderr
    listed = set(re.findall(r"^  (\w+) ", result.stdout, re.MULTILINE))
    assert {"run", "status", "report", "show", "stats", "export", "validate", "view", "schema", "bench"} <= listed


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        (
            "validate shards",
            "1 shard, 6 documents, 12 images, 40,960 bytes read; images not decoded (--deep does): all fine",
        ),
        ("stats shards", "texts by source: asr 12"),
        ("stats shards --html page.html", "page: page.html"),
        ("show shards", "“so here we "),
        ("export shards qwen --to qwen-vl", "qwen-vl in qwen  (train: 6 documents, 12 images)"),
        ("export shards obelics --to obelics", "obelics in obelics  (train: 6 documents, 12 images)"),
        ("schema export schemas", "shard-sample.schema.json"),
        ("schema check schemas", "schemas matches the code"),
        ("init mine", "config: mine/storyloom.yaml"),
        ("init demo.yaml --recipe demo", "config: demo.yaml"),
        ("settings filter.min_words", "default 10"),
    ],
)
def test_a_command_over_a_finished_dataset_needs_no_extra(installed: Installed, command: str, printed: str) -> None:
    result = installed.run("storyloom", *command.split())
    assert (result.returncode, result.stderr) == (0, "")
    assert printed in result.stdout


def test_the_page_of_plots_is_whole(installed: Installed) -> None:
    assert installed.run("storyloom", "stats", "shards", "--html", "whole.html").returncode == 0
    page = (installed.folder / "whole.html").read_text(encoding="utf-8")
    assert page.count("<svg") >= 2
    assert page.rstrip().endswith("</html>")


def test_a_document_is_read_without_torch_and_the_datasets_say_what_they_need(installed: Installed) -> None:
    lines = ("from storyloom.reader import Document", "print(Document)", "from storyloom.reader import DocumentDataset")
    result = installed.run("python", "-c", "\n".join(lines))
    assert result.stdout == "<class 'storyloom.reader.document.Document'>\n"
    assert result.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: storyloom.reader.DocumentDataset needs torch: pip install 'storyloom[train]'"
    )


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("run {root}/configs/demo.yaml", "run"),
        ("try shards", "demo"),
        ("status {root}/configs/demo.yaml --set manifest={root}/demo", "run"),
        ("validate shards --deep", "deep"),
        ("validate shards --address local", "cluster"),
    ],
)
def test_what_needs_an_extra_names_it(installed: Installed, command: str, extra: str) -> None:
    result = installed.run("storyloom", *command.format(root=ROOT).split())
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.endswith(f"pip install 'storyloom[{extra}]'")
