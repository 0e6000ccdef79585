"""The command line: what it prints and which code it ends with."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import typer
from rich.console import Console

from pipeline.cli.run import run_until_stopped
from pipeline.progress.terminal import TerminalListener
from storyloom.fs.atomic import TEMPORARY_SUFFIX
from tests.runs import ROOT, Finished, content_of, demo_config

DEMO = str(ROOT / "configs" / "demo.yaml")


def storyloom(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline.cli", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=200)


def folders(run: Finished) -> list[str]:
    names = ("manifest", "work", "output")
    return [part for name in names for part in ("--set", f"{name}={getattr(run.config, name)}")]


def test_a_finished_run_says_that_everything_is_up_to_date(demo_run: Finished) -> None:
    result = storyloom("run", DEMO, *folders(demo_run))
    assert result.returncode == 0
    assert "every stage is up to date" in result.stdout


def test_the_version_is_that_of_the_package() -> None:
    result = storyloom("--version")
    assert (result.returncode, result.stdout) == (0, f"storyloom {version('storyloom')}\n")


def test_show_prints_frames_and_sentences_in_order(demo_run: Finished) -> None:
    result = storyloom("show", demo_run.config.output)
    lines = result.stdout.splitlines()
    cup = next(number for number, line in enumerate(lines) if "red cup of coffee" in line)
    assert "000" in lines[1]
    assert "score +" in lines[cup - 1]
    assert "11.60 s" in lines[cup - 1]


def test_show_says_when_there_is_no_such_document(demo_run: Finished) -> None:
    result = storyloom("show", demo_run.config.output, "nothing-0000")
    assert (result.returncode, "no document 'nothing-0000'" in result.stderr) == (2, True)


def test_show_says_when_the_folder_holds_no_dataset(tmp_path: Path) -> None:
    result = storyloom("show", str(tmp_path))
    assert (result.returncode, "holds no finished dataset" in result.stderr) == (2, True)


def test_status_as_json_names_every_stage(demo_run: Finished) -> None:
    result = storyloom("status", DEMO, *folders(demo_run), "--json")
    stages = {one["stage"]: one for one in json.loads(result.stdout)}
    assert list(stages) == [
        "download",
        "duplicates",
        "transcribe",
        "sample",
        "align",
        "score",
        "calibrate",
        "filter",
        "write",
    ]
    assert all(one["to_do"] == 0 for one in stages.values())
    assert stages["transcribe"]["counts"]["words"] > 100


@pytest.mark.parametrize("command", [["status"], ["report"], ["run", "--dry-run"], ["gc"], ["gc", "--dry-run"]])
def test_commands_that_only_look_leave_no_trace_of_a_mistyped_folder(tmp_path: Path, command: list[str]) -> None:
    name, *options = command
    places = ["--set", f"work={tmp_path / 'wrok'}", "--set", f"output={tmp_path / 'out'}"]
    result = storyloom(name, DEMO, *options, *places)
    assert "Traceback" not in result.stderr
    assert result.returncode == (1 if name == "report" else 0)
    assert list(tmp_path.iterdir()) == []


def test_status_says_that_nothing_was_done_yet(tmp_path: Path) -> None:
    result = storyloom("status", DEMO, "--set", f"work={tmp_path / 'wrok'}")
    assert f"nothing was done yet: there is no folder {tmp_path / 'wrok'}" in result.stdout


def test_a_dry_run_says_what_would_run_and_why_and_changes_nothing(demo_run: Finished) -> None:
    before = content_of(demo_run.config.work)
    result = storyloom("run", DEMO, *folders(demo_run), "--set", "filter.min_words=1", "--dry-run")
    assert result.returncode == 0
    assert "filter.min_words" in result.stdout
    assert "write      1 of 1 group  (filter to be done again)" in result.stdout
    assert "score" not in result.stdout
    assert content_of(demo_run.config.work) == before


def test_a_dry_run_of_force_counts_everything(demo_run: Finished) -> None:
    result = storyloom("run", DEMO, *folders(demo_run), "--force", "--only", "score", "--dry-run")
    assert "score      1 of 1 part  (--force)" in result.stdout
    assert "align" not in result.stdout


def test_gc_says_what_would_go_of_a_folder_that_is_in_order(demo_run: Finished) -> None:
    result = storyloom("gc", DEMO, *folders(demo_run), "--dry-run")
    assert result.returncode == 0
    assert "media: 0 would go, 0.0 MiB" in result.stdout


def test_sigterm_ends_a_run_as_ctrl_c_does(tmp_path: Path) -> None:
    config = demo_config(tmp_path)
    command = [sys.executable, "-m", "pipeline.cli", "run", DEMO, *folders(Finished(config))]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "download: 1" in line:
                process.send_signal(signal.SIGTERM)
                break
        _, stderr = process.communicate(timeout=120)
    assert (process.returncode, "stopped; the same command goes on from here" in stderr) == (143, True)
    assert "Traceback" not in stderr
    assert list((tmp_path / "work" / "attempts").rglob("*.json")) == []
    assert [file for file in tmp_path.rglob("*") if file.name.endswith(TEMPORARY_SUFFIX)] == []


@pytest.fixture
def own_handlers() -> Iterator[None]:
    """Ctrl-C is heard, and both signals are handled as before afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("own_handlers")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_that_comes_in_a_finalizer_is_not_lost(
    number: signal.Signals, code: int, capfd: pytest.CaptureFixture[str]
) -> None:
    class Stopping:
        def __del__(self) -> None:
            signal.raise_signal(number)

    interrupted = False

    def work() -> None:
        nonlocal interrupted
        Stopping()
        interrupted = True
        time.sleep(60)
        interrupted = False

    with pytest.raises(typer.Exit) as end:
        run_until_stopped(work, TerminalListener(Console()))
    assert (end.value.exit_code, interrupted) == (code, True)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.usefixtures("own_handlers")
def test_what_sigterm_does_is_as_before_once_the_work_is_done() -> None:
    before = signal.getsignal(signal.SIGTERM)
    during: list[object] = []
    run_until_stopped(lambda: during.append(signal.getsignal(signal.SIGTERM)), TerminalListener(Console()))
    assert during != [before]
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", DEMO, "--set", "work=ftp://host/work"], "nothing is written to ftp://"),
        (["run", "nowhere.yaml"], "no config at"),
        (["run", DEMO, "--set", "filter.treshold=1"], "did you mean 'threshold'?"),
        (["run", DEMO, "--set", "manifest=nowhere.txt"], "no manifest at"),
        (["run", DEMO, "--only", "filtre"], "no stage 'filtre'"),
        (["run", DEMO, "--only", "filter", "--from", "align"], "exclude each other"),
        (["run", DEMO, "--runner", "slurm"], "got 'slurm'"),
        (["run", DEMO, "--no-such-option"], "--no-such-option"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(arguments: list[str], message: str) -> None:
    result = storyloom(*arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
