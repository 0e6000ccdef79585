"""The failures of a run: a ledger of them, the command that shows them, and trying some of them again."""

import csv
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console
from typer.testing import CliRunner

from pipeline.attempts import Attempt
from pipeline.cli import app
from pipeline.cli.options import command_line
from pipeline.config import RunConfig
from pipeline.failures import ROWS_AT_ONCE, SCHEMA, failures, write_ledger
from pipeline.progress.terminal import Commands, TerminalListener
from pipeline.remedies import REMEDIES, remedy
from pipeline.run import Selection, run
from pipeline.store import FAILURES
from pipeline.workspace import survey
from stages.base import Video, VideoFailed
from stages.media.sandbox import ChildKilled
from storyloom.fs.disk import DiskFiles
from tests import machine
from tests.machine import Echo, EchoRow, config, files, manifest, ran
from tests.runs import EVERYTHING, ROOT


def ledger(found: RunConfig) -> list[dict[str, Any]]:
    file = Path(found.work, "failures.parquet")
    rows: list[dict[str, Any]] = pq.read_table(file).to_pylist() if file.exists() else []
    return rows


def brief(found: RunConfig) -> list[tuple[str, str, str, int, bool]]:
    return sorted((row["name"], row["stage"], row["code"], row["attempts"], row["pending"]) for row in ledger(found))


@pytest.fixture
def lost(tmp_path: Path) -> RunConfig:
    """A run in which 1.bin and 3.bin of five files were missing."""
    files(tmp_path, [10, 20, 30, 40, 50])
    for number in (1, 3):
        (tmp_path / f"{number}.bin").unlink()
    found = config(tmp_path)
    ran(found)
    return found


@pytest.fixture
def refusing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[RunConfig, set[str]]:
    """A run in which titles of a set fail for good in `echo`."""
    bad = {"T1"}

    def one(self: Echo, video: Video) -> EchoRow:
        if video.manifest.title in bad:
            raise VideoFailed(
                "bad_title", f"{video.manifest.title} from https://u:secret@example.org/x?token=secret is no"
            )
        return EchoRow(video=video.key, said=video.manifest.title)

    monkeypatch.setattr(Echo, "one", one)
    files(tmp_path, [10, 20, 30, 40, 50])
    found = config(tmp_path)
    ran(found)
    return found, bad


def test_a_run_without_failures_leaves_no_ledger(tmp_path: Path) -> None:
    files(tmp_path, [10, 20])
    assert (ran(config(tmp_path)).failures, ledger(config(tmp_path))) == ([], [])


def test_every_failed_video_is_in_the_ledger_with_what_is_known_of_it(lost: RunConfig) -> None:
    assert brief(lost) == [("1.bin", "measure", "not_found", 1, False), ("3.bin", "measure", "not_found", 1, False)]
    assert {row["message"] for row in ledger(lost)} == {"no 1.bin", "no 3.bin"}
    assert all(row["retryable"] for row in ledger(lost))
    assert pq.read_schema(Path(lost.work, "failures.parquet")).equals(SCHEMA)


def test_the_end_of_a_run_names_the_first_failures(lost: RunConfig) -> None:
    recorder = ran(lost)
    assert sorted(recorder.failures) == ["1.bin measure.not_found 1", "3.bin measure.not_found 1"]
    assert recorder.failures_in_all == 2


def test_attempts_are_counted_over_runs(lost: RunConfig) -> None:
    ran(lost, Selection(retry=True))
    ran(lost)
    ran(lost, Selection(retry=True))
    assert [attempts for *_, attempts, _ in brief(lost)] == [3, 3]


def test_what_passed_leaves_the_ledger(lost: RunConfig) -> None:
    Path(lost.work, "..", "1.bin").write_bytes(b"x")
    ran(lost)
    assert [name for name, *_ in brief(lost)] == ["3.bin"]


def test_a_video_that_left_the_manifest_leaves_the_ledger(lost: RunConfig) -> None:
    manifest(Path(lost.manifest).parent, {f"{number}.bin": f"T{number}" for number in (0, 1, 2, 4)})
    ran(lost)
    assert [name for name, *_ in brief(lost)] == ["1.bin"]


def test_an_interrupted_retry_keeps_the_count_and_says_that_it_is_to_be_done(
    lost: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(self: object, video: Video) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(machine.Measure, "one", stopped)
    with pytest.raises(KeyboardInterrupt):
        ran(lost, Selection(retry=True))
    assert brief(lost) == [("1.bin", "measure", "not_found", 1, True), ("3.bin", "measure", "not_found", 1, True)]
    monkeypatch.undo()
    ran(lost)
    assert [(attempts, pending) for *_, attempts, pending in brief(lost)] == [(2, False), (2, False)]


def test_a_code_is_tried_again_also_where_it_would_not_pass_by_itself(refusing: tuple[RunConfig, set[str]]) -> None:
    found, bad = refusing
    assert brief(found) == [("1.bin", "echo", "bad_title", 1, False)]
    assert machine.worked(found, Selection(retry=True)) == []
    ran(found, Selection(codes=("bad_title",)))
    assert brief(found) == [("1.bin", "echo", "bad_title", 2, False)]
    bad.clear()
    done = {stage for stage, _ in machine.worked(found, Selection(codes=("echo.bad_title",)))}
    assert (brief(found), "measure" in done, "echo" in done) == ([], False, True)


def test_only_the_parts_of_a_code_are_tried_again(refusing: tuple[RunConfig, set[str]]) -> None:
    found, _ = refusing
    made = machine.worked(found, Selection(("echo",), codes=("bad_title",)))
    (part,) = {row["part"] for row in ledger(found)}
    assert made == [("echo", part)]


def test_a_code_that_nothing_failed_with_is_told_and_nothing_is_done(lost: RunConfig) -> None:
    recorder = ran(lost, Selection(codes=("not_fund",)))
    assert recorder.notes == ["no video failed with 'not_fund', so none is retried for it; failures: measure.not_found"]
    assert recorder.done == []


def test_secrets_of_urls_are_in_no_message(refusing: tuple[RunConfig, set[str]]) -> None:
    (row,) = ledger(refusing[0])
    assert row["message"] == "T1 from https://example.org/x is no"


def test_a_video_over_which_attempts_fail_is_told_before_its_part_is_done(lost: RunConfig) -> None:
    (Path(lost.work).parent / "1.bin").write_bytes(b"x")
    workspace = survey(lost, write=True)
    (part,) = (part for part in workspace.plan.parts if part not in workspace.done("measure"))
    (line,) = (line for line in workspace.lines[part] if line.url == "1.bin")
    attempts = workspace.job.attempts("measure", part)
    attempts.begin(Attempt(worker="elsewhere.1", alone=True, video=line.video))
    attempts.fail(ChildKilled("killed over https://u:p@example.org/x"), proven=True)
    found = [one for one in failures(survey(lost)) if one.name == "1.bin"]
    assert [(one.code, one.pending, one.attempts) for one in found] == [("unfinished", True, 1)]
    assert "https://example.org/x" in found[0].message


def test_a_damaged_ledger_costs_the_counts_alone(lost: RunConfig) -> None:
    Path(lost.work, "failures.parquet").write_bytes(b"PAR1 no PAR1")
    ran(lost)
    assert [attempts for *_, attempts, _ in brief(lost)] == [1, 1]


def test_a_large_ledger_is_written_in_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.failures.ROWS_AT_ONCE", 3)
    files(tmp_path, [10] * 11)
    for file in tmp_path.glob("*.bin"):
        file.unlink()
    found = config(tmp_path)
    assert ran(found).failures_in_all == 11
    assert pq.ParquetFile(Path(found.work, "failures.parquet")).num_row_groups == 4
    first, total = write_ledger(survey(found), 4)
    assert (len(first), total, len(ledger(found))) == (4, 11, 11)
    assert ROWS_AT_ONCE == 10_000


def shown(found: RunConfig, *options: str) -> str:
    """What the command prints."""
    file = Path(found.work).parent / "config.yaml"
    content = found.model_dump(mode="json")
    file.write_text(json.dumps(content))
    done = CliRunner().invoke(app, ["failures", str(file), *options], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def state(folder: Path) -> dict[str, int]:
    return {str(file): file.lstat().st_mtime_ns for file in folder.rglob("*")}


def test_the_command_groups_by_code_with_an_example_and_a_remedy(lost: RunConfig) -> None:
    printed = shown(lost)
    assert re.search(r"measure\.not_found: 2 videos, most tries 1\W.*\n  e\.g\. (1|3)\.bin: no", printed)
    assert "correct the path or URL" in printed


def test_the_command_says_that_trying_again_may_help_and_how(lost: RunConfig) -> None:
    again = f"to try again: storyloom run {Path(lost.work).parent / 'config.yaml'} --set parts.videos=2 --retry\n"
    printed = shown(lost, "--set", "parts.videos=2")
    assert "measure.not_found: 2 videos, most tries 1; --retry may help\n" in printed
    assert again in printed


def test_the_command_says_what_has_to_be_mended_first(refusing: tuple[RunConfig, set[str]]) -> None:
    printed = shown(refusing[0])
    assert "echo.bad_title: 1 video, most tries 1; --retry helps once that is mended" in printed
    assert "config.yaml --retry bad_title\n" in printed


def test_a_pasted_command_shows_no_password(tmp_path: Path) -> None:
    found = command_line("run", tmp_path / "a b.yaml", ["download.site_proxy=http://user:secret@host:1"])
    assert found.startswith(f"storyloom run '{tmp_path}/a b.yaml' --set ")
    assert "secret" not in found


def printed_by(found: RunConfig, selection: Selection = EVERYTHING) -> str:
    """What a run prints where there is no terminal."""
    printed = io.StringIO()
    commands = Commands("storyloom run c.yaml", "storyloom failures c.yaml")
    run(found, selection, TerminalListener(Console(file=printed, width=100), commands))
    return printed.getvalue()


def test_a_run_with_nothing_but_failures_to_do_says_so_and_how_to_try_again(lost: RunConfig) -> None:
    printed = printed_by(lost)
    assert "nothing to do but what failed: 2 videos failed; 2 may pass with --retry\n" in printed
    assert printed.endswith("\nall of them: storyloom failures c.yaml\nto try again: storyloom run c.yaml --retry\n")


def test_what_does_not_pass_by_itself_is_tried_again_by_its_code(refusing: tuple[RunConfig, set[str]]) -> None:
    printed = printed_by(refusing[0])
    assert "nothing to do but what failed: 1 video failed\n" in printed
    assert printed.endswith("to try again: storyloom run c.yaml --retry bad_title\n")


def test_a_remedy_stands_below_the_first_failure_of_its_kind_alone(lost: RunConfig) -> None:
    printed = printed_by(lost)
    assert re.search(r"  \d\.bin: measure\.not_found: no \d\.bin\n    correct the path", printed)
    assert printed.count("correct the path") == 1


def test_our_own_bugs_are_named_first(lost: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def one(self: machine.Measure, video: Video) -> machine.MeasureRow:
        code = "internal" if video.manifest.url == "4.bin" else "not_found"
        raise VideoFailed(code, f"{code} over {video.manifest.url}", retryable=True)

    monkeypatch.setattr(machine.Measure, "one", one)
    ran(lost, Selection(force=True))
    first, total = write_ledger(survey(lost), 2)
    assert (first[0].message, total) == ("internal over 4.bin", 5)


def test_the_command_says_where_nothing_ran(tmp_path: Path) -> None:
    files(tmp_path, [10])
    found = config(tmp_path)
    assert shown(found) == f"nothing was done yet in {found.work}\n"
    ran(found)
    assert shown(found) == "no video failed\n"


def test_the_command_looks_and_writes_nothing(lost: RunConfig) -> None:
    shown(lost)
    before = state(Path(lost.work))
    shown(lost, "--json")
    assert state(Path(lost.work)) == before


def test_the_command_works_without_a_ledger_while_a_run_goes_on(lost: RunConfig) -> None:
    Path(lost.work, "failures.parquet").unlink()
    assert len(json.loads(shown(lost, "--json"))) == 2


def test_the_command_gives_json_and_csv(lost: RunConfig, tmp_path: Path) -> None:
    listed = json.loads(shown(lost, "--json", "--code", "not_found", "--stage", "measure"))
    assert {one["name"] for one in listed} == {"1.bin", "3.bin"}
    assert json.loads(shown(lost, "--json", "--code", "other")) == []
    shown(lost, "--csv", str(tmp_path / "failures.csv"))
    with (tmp_path / "failures.csv").open(newline="") as file:
        assert {line["name"] for line in csv.DictReader(file)} == {"1.bin", "3.bin"}


def test_the_command_lists_the_videos_of_a_code(lost: RunConfig) -> None:
    printed = shown(lost, "--code", "not_found")
    assert len(re.findall(r"^[13]\.bin  measure\.not_found  1x, last 20", printed, re.MULTILINE)) == 2


def test_a_name_may_not_write_to_the_terminal(tmp_path: Path) -> None:
    files(tmp_path, [1])
    (tmp_path / "list.csv").write_text('url,id,title\nx.bin,"a\x1b[31m[red]b",t\n')
    found = config(tmp_path)
    ran(found)
    printed = shown(found)
    assert "\x1b" not in printed
    assert "[red]" in printed


@pytest.mark.parametrize(
    ("options", "retry", "codes"),
    [
        (["--retry"], True, ()),
        (["--retry", "timeout"], False, ("timeout",)),
        (["--retry", "download.timeout", "--retry", "not_found"], False, ("download.timeout", "not_found")),
        (["--retry=timeout", "--retry"], True, ("timeout",)),
        (["--retry", "--force"], True, ()),
        ([], False, ()),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_retry_stands_alone_or_with_codes(
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    retry: bool,  # noqa: FBT001
    codes: tuple[str, ...],
    first: bool,  # noqa: FBT001
) -> None:
    asked: list[Selection] = []
    monkeypatch.setattr("pipeline.preview.preview", lambda _config, selection, _listener: asked.append(selection))
    monkeypatch.chdir(ROOT / "configs")
    order = ["demo.yaml", *options] if first else [*options, "demo.yaml"]
    done = CliRunner().invoke(app, ["run", "--dry-run", *order], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert [(one.retry, one.codes) for one in asked] == [(retry, codes)]


def test_every_remedy_is_for_a_code_of_the_docs() -> None:
    documented = set(re.findall(r"`([a-z_]+)`", (ROOT / "docs" / "errors.md").read_text()))
    assert REMEDIES.keys() - documented == set()


def test_an_unknown_code_has_a_remedy_too() -> None:
    assert "--retry odd" in remedy("odd", retryable=False)
    assert "sound copy" in remedy("picture_undecodable", retryable=False)


def test_a_ledger_that_cannot_be_written_does_not_hide_how_the_run_ended(
    lost: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = DiskFiles.replace

    def full(files: DiskFiles, name: str, content: bytes | Path, **options: bool) -> None:
        if name == FAILURES:
            raise OSError(28, os.strerror(28))
        replace(files, name, content, **options)

    monkeypatch.setattr(DiskFiles, "replace", full)
    assert ran(lost).done == []
