"""`storyloom view` as a program: its address, its end, and what it says of what it cannot show."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from storyloom.errors import UsageError
from tests.runs import ROOT
from tests.storyloom.stats.made import small_dataset


def test_it_says_where_it_is_answers_and_ends_quietly_at_ctrl_c(tmp_path: Path) -> None:
    output = small_dataset(tmp_path)
    command = [sys.executable, "-m", "pipeline.cli", "view", str(output), "--no-open"]
    cache = {**os.environ, "STORYLOOM_CACHE": str(tmp_path / "cache")}
    with subprocess.Popen(
        command, cwd=ROOT, env=cache, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as one:
        try:
            assert one.stdout is not None
            address = one.stdout.readline().split()[0]
            assert address.startswith("http://127.0.0.1:")
            while not json.load(urlopen(f"{address}indexing"))["finished"]:
                time.sleep(0.01)
            with urlopen(address) as answer:
                assert "3 documents from 2 videos" in answer.read().decode()
            one.send_signal(signal.SIGINT)
            assert (*one.communicate(timeout=60), one.returncode) == ("", "", 0)
        finally:
            one.kill()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "holds no finished dataset"),
        (["nothing.yaml"], "no config at"),
        (["nothing", "--set", "seed=1"], "--set overrides a key of a config, and this is none"),
    ],
)
def test_what_cannot_be_shown_is_named(arguments: list[str], said: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["view", str(tmp_path / arguments[0]), *arguments[1:]])
    assert isinstance(result.exception, UsageError)
    assert said in str(result.exception)


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("STORYLOOM_CACHE", str(tmp_path / "cache"))
    result = CliRunner().invoke(app, ["view", str(small_dataset(tmp_path))])
    assert "set STORYLOOM_CACHE to a folder" in str(result.exception)
