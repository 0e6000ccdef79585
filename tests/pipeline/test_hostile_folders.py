"""Folders in which something is in the way: refused before any work, or told in a sentence."""

import json
import os
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import cli
from pipeline.places import check_places
from pipeline.plan import COLUMNS, DIGEST, _rows_digest
from pipeline.publish.publish import check_output
from storyloom.errors import UsageError
from storyloom.fs.files import files_at
from tests.machine import config, files, manifest, ran
from tests.runs import demo_config


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; tests change copies of it."""
    folder = tmp_path_factory.mktemp("finished")
    files(folder, [10, 20, 30])
    ran(config(folder))
    return folder


def a_file_for(name: str) -> Callable[[Path], None]:
    def change(work: Path) -> None:
        shutil.rmtree(work / name, ignore_errors=True)
        (work / name).write_text("")

    return change


def in_place_of(pattern: str, put: Callable[[Path], object]) -> Callable[[Path], None]:
    """Removes what a pattern finds first, and puts something there."""

    def change(work: Path) -> None:
        found = min(work.glob(pattern))
        shutil.rmtree(found) if found.is_dir() else found.unlink()
        put(found)

    return change


def a_plan_of_another_program(work: Path) -> None:
    table = pa.table([["abc"], [0], ["v"]], schema=COLUMNS)
    pq.write_table(table.replace_schema_metadata({DIGEST: _rows_digest([table])}), work / "plan" / "x.parquet")


def another_keys_description(content: str) -> Callable[[Path], None]:
    def change(work: Path) -> None:
        folder = work / "measure" / "0123456789abcdef"
        folder.mkdir()
        (folder / "stage.json").write_text(content)

    return change


def dangling(path: Path) -> None:
    path.symlink_to("nothing")


MARK, TABLE = "measure/*/*.*.json", "measure/*/*.rows.parquet"

LAYOUTS: dict[str, Callable[[Path], object]] = {
    "an empty stage.json": in_place_of("measure/*/stage.json", Path.touch),
    "a folder as stage.json": in_place_of("measure/*/stage.json", Path.mkdir),
    "an empty stage.json of another key": another_keys_description(""),
    "a list in the stage.json of another key": another_keys_description('{"config": [], "version": 1}'),
    "a deep stage.json of another key": another_keys_description("[" * 100_000),
    "notes in the plan": lambda work: (work / "plan" / "notes.txt").write_text("x"),
    "a text in the plan": lambda work: (work / "plan" / "x.parquet").write_text("x"),
    "a table in the plan": lambda work: pq.write_table(pa.table({"a": [1]}), work / "plan" / "x.parquet"),
    "parts of another program in the plan": a_plan_of_another_program,
    "a folder in the plan": lambda work: (work / "plan" / "x.parquet").mkdir(),
    "a link to nothing in the plan": lambda work: dangling(work / "plan" / "x.parquet"),
    "a pipe in the plan": lambda work: os.mkfifo(work / "plan" / "x.parquet"),
    "a leftover of nobody": lambda work: (work / "plan" / f".x.{socket.gethostname()}.nobody.storyloom-tmp").write_text(
        ""
    ),
    **{f"a file for {name}": a_file_for(name) for name in ("plan", "attempts", "measure")},
    "a file for a key": in_place_of("measure/*", Path.touch),
    "a folder for a mark": in_place_of(MARK, Path.mkdir),
    "a pipe for a mark": in_place_of(MARK, os.mkfifo),
    "a link to nothing for a mark": in_place_of(MARK, dangling),
    "nothing in a mark": in_place_of(MARK, Path.touch),
    "a folder for a table": in_place_of(TABLE, Path.mkdir),
    "a file for a group": in_place_of("pack/*/group-?????.????????????????.????????????????", Path.touch),
    "a folder for the lines": in_place_of("manifests/*.parquet", Path.mkdir),
    "a folder for the ledger": lambda work: (work / "failures.parquet").mkdir(),
    "a trace of nobody": lambda work: (work / "attempts" / "processes" / "x.trace").write_text(""),
}


def ended(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str, **changes: Any) -> int:
    """Exit code of a command; a traceback fails the test."""
    content = config(folder, **changes).model_dump(mode="json")
    (folder / "config.yaml").write_text(json.dumps(content))
    monkeypatch.setattr(sys, "argv", ["storyloom", arguments[0], str(folder / "config.yaml"), *arguments[1:]])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.mark.timeout(60)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_in_the_way_in_a_work_folder_ends_no_command_in_a_traceback(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    (folder / "work" / "attempts" / "processes").mkdir(parents=True, exist_ok=True)
    LAYOUTS[layout](folder / "work")
    for command in (["status"], ["gc", "--dry-run"], ["run"]):
        assert ended(monkeypatch, folder, *command, measure={"most": 900}) in (0, 1, 2)


@pytest.mark.parametrize(
    ("work", "output"),
    [("a", "a"), ("a", "a/b"), ("a/b", "a"), ("a", "x/../a/b"), ("a", "link"), ("link", "a/b"), ("/", "a"), (".", "a")],
)
def test_work_and_output_may_not_be_within_each_other(tmp_path: Path, work: str, output: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    found = demo_config(tmp_path, f"work={tmp_path / work}", f"output={tmp_path / output}")
    with pytest.raises(UsageError, match="choose folders beside each other"):
        check_places(found)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a", "link"]


def test_work_and_output_beside_each_other_are_fine(tmp_path: Path) -> None:
    check_places(demo_config(tmp_path, f"work={tmp_path / 'out'}", f"output={tmp_path / 'output'}"))


@pytest.mark.parametrize("place", ["work", "output"])
@pytest.mark.parametrize("media", ["x", "x/media"])
def test_a_folder_of_media_may_not_lie_in_work_or_output(tmp_path: Path, place: str, media: str) -> None:
    (tmp_path / media).mkdir(parents=True)
    found = demo_config(tmp_path, f"manifest={tmp_path / media}", f"{place}={tmp_path / 'x'}")
    with pytest.raises(UsageError, match=f"choose another `{place}`"):
        check_places(found)


def test_work_and_output_within_a_folder_of_media_are_fine(tmp_path: Path) -> None:
    found = demo_config(tmp_path, f"manifest={tmp_path}", f"work={tmp_path / 'work'}", f"output={tmp_path / 'out'}")
    check_places(found)


def foreign(output: Path) -> None:
    output.mkdir()
    (output / "thesis.txt").write_text("mine")


@pytest.mark.parametrize(
    "put",
    [foreign, Path.touch, dangling, lambda output: output.symlink_to(output.name)],
    ids=["foreign files", "a file", "a link to nothing", "a link to itself"],
)
def test_an_output_that_cannot_be_used_is_refused_before_anything_is_made(
    tmp_path: Path, put: Callable[[Path], None]
) -> None:
    put(tmp_path / "out")
    found = demo_config(tmp_path, f"output={tmp_path / 'out'}")
    with pytest.raises(UsageError, match=r"[Cc]hoose another `output`"):
        ran(found)
    assert not Path(found.work).exists()


def test_an_output_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("storyloom.fs.disk.tempfile.TemporaryFile", read_only)
    said = files_at(tmp_path / "deep" / "out").flaw(by_trying=True)
    assert said == f"{tmp_path} cannot be written ([Errno 30] Read-only file system)"


def test_the_test_of_an_output_leaves_nothing(tmp_path: Path) -> None:
    check_output(files_at(tmp_path / "out"))
    assert files_at(tmp_path / "out").flaw(by_trying=True) == ""
    assert list(tmp_path.iterdir()) == []


def test_a_run_does_again_what_has_an_empty_mark(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    LAYOUTS["nothing in a mark"](folder / "work")
    manifest(folder, {f"{number}.bin": f"T{number}" for number in range(3)})
    assert "measure" in ran(config(folder)).ran


def test_no_command_waits_for_an_answer(monkeypatch: pytest.MonkeyPatch, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    readable, writable = os.pipe()
    before = os.dup(0)
    os.dup2(readable, 0)
    try:
        ended(monkeypatch, tmp_path / "run", "status")
        assert os.read(0, 1) == b""
    finally:
        os.dup2(before, 0)
        for one in (readable, writable, before):
            os.close(one)
