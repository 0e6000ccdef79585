"""Logs of ended groups say what the marks say: nothing more is done for them, nothing less, whatever happened."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config import RunConfig
from pipeline.gc import collect, remove
from pipeline.logs import fold, logs, voids
from pipeline.logs.fold import fold as write_logs
from pipeline.logs.logs import Logs
from pipeline.logs.voids import Void, voided
from pipeline.run import Selection
from pipeline.status import StageStatus, group_marks, status
from pipeline.store import Address, Mark, Store
from pipeline.workspace import Workspace, survey
from stages.base import Video
from storyloom.fs.files import files_at
from tests.machine import NAMES, Measure, MeasureRow, config, files, manifest, ran, worked

SIZES = range(1, 13)
"""Twelve videos: six parts in three groups."""


@pytest.fixture(autouse=True)
def _every_plan_has_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "FOLDED_FROM", 0)


@pytest.fixture
def done(tmp_path: Path) -> Path:
    """A folder in which everything was done."""
    files(tmp_path, SIZES)
    ran(config(tmp_path))
    return tmp_path


def segments(folder: Path, stage: str = "*") -> list[Path]:
    return sorted((folder / "work" / "logs").glob(f"{stage}/*/*.groups.parquet"))


def without_logs(found: RunConfig) -> list[StageStatus]:
    """The status by the marks alone."""
    shutil.rmtree(Path(found.work) / "logs")
    return status(survey(found))


def unfolded(workspace: Workspace) -> dict[str, list[str]]:
    """The units of each stage that the logs do not count for."""
    return {name: list(workspace.unfolded(name, workspace.units(name))) for name in NAMES}


@pytest.mark.slow
def test_all_that_ended_is_in_the_logs(done: Path) -> None:
    assert unfolded(survey(config(done))) == {name: [] for name in NAMES}


def test_the_status_by_logs_is_that_by_marks(done: Path) -> None:
    by_logs = status(survey(config(done)))
    assert by_logs == without_logs(config(done))
    assert [one.done for one in by_logs] == [6, 6, 6, 6, 3]


@pytest.mark.slow
def test_what_is_done_is_the_same_by_logs_and_by_marks(done: Path) -> None:
    workspace = survey(config(done))
    by_logs = {name: list(workspace.done(name).items()) for name in NAMES}, group_marks(workspace, "pack")
    shutil.rmtree(done / "work" / "logs")
    workspace = survey(config(done))
    assert by_logs[0] == {name: list(workspace.done(name).items()) for name in NAMES}
    by_marks = group_marks(workspace, "pack")
    assert {group: (mark.key, mark.files, mark.result) for group, mark in by_logs[1].items()} == {
        group: (mark.key, mark.files, mark.result) for group, mark in by_marks.items()
    }


def test_a_run_that_has_nothing_to_do_reads_no_mark(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    mark = Store.mark

    def noted(store: Store, address: Address) -> Mark | None:
        read.append(address.unit)
        return mark(store, address)

    monkeypatch.setattr(Store, "mark", noted)
    assert ran(config(done)).done == []
    assert set(read) <= {"corpus"}


def _other_file(folder: Path) -> None:
    (folder / "3.bin").write_bytes(bytes(50))


def _other_title(folder: Path) -> None:
    manifest(folder, {f"{n}.bin": f"T{n}" for n in range(12)} | {"5.bin": "another"})


def _other_license(folder: Path) -> None:
    manifest(folder, {f"{n}.bin": f"T{n}" for n in range(12)}, {"7.bin": "CC0"})


def _one_less(folder: Path) -> None:
    manifest(folder, {f"{n}.bin": f"T{n}" for n in range(11)})


def _one_more(folder: Path) -> None:
    (folder / "12.bin").write_bytes(bytes(9))
    manifest(folder, {f"{n}.bin": f"T{n}" for n in range(13)})


def _same_size(folder: Path) -> None:
    """Another file of the same size: its stage is done again, with the same output, which makes nothing else stale."""
    (folder / "4.bin").write_bytes(b"x" * 5)


def _lost_table(folder: Path) -> None:
    """A table that is read since another part of its group is done again."""
    for table in (folder / "work" / "measure").glob("*/*.rows.parquet"):
        table.write_bytes(b"damaged")
    _other_title(folder)


CHANGES: tuple[Callable[[Path], None], ...] = (
    _other_file,
    _other_title,
    _other_license,
    _one_less,
    _one_more,
    _same_size,
    _lost_table,
)


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("prefix", ["", ">"])
def test_the_same_is_stale_with_logs_and_without(
    tmp_path: Path, change: Callable[[Path], None], prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}
    for kind, least in (("logs", 0), ("marks", 1000)):
        folder = tmp_path / kind
        monkeypatch.setattr(fold, "FOLDED_FROM", least)
        files(folder, SIZES)
        ran(config(folder))
        change(folder)
        changed = config(folder, echo={"prefix": prefix})
        before = [one.model_copy(update={"why": ""}) for one in status(survey(changed))]
        again = worked(changed)
        found[kind] = before, again, status(survey(changed)), worked(changed)
    assert bool(segments(tmp_path / "logs")) > bool(segments(tmp_path / "marks"))
    assert found["logs"] == found["marks"]


@pytest.mark.slow
@pytest.mark.parametrize("selection", [Selection(force=True), Selection(only=("echo",), force=True)])
def test_what_is_forced_is_done_again_and_the_logs_hold_again(done: Path, selection: Selection) -> None:
    again = {stage for stage, _ in worked(config(done), selection)}
    assert again == (set(selection.only) or set(NAMES))
    assert worked(config(done)) == []
    ran(config(done))
    assert unfolded(survey(config(done))) == {name: [] for name in NAMES}


@pytest.mark.slow
def test_only_what_failed_is_retried(tmp_path: Path) -> None:
    files(tmp_path, SIZES)
    (tmp_path / "5.bin").unlink()
    ran(config(tmp_path))
    workspace = survey(config(tmp_path))
    (part,) = workspace.lines.parts_with(["5.bin"])
    assert next(one.failed for one in status(workspace)) == {"measure.not_found": 1}
    again = worked(config(tmp_path), Selection(retry=True))
    assert again[0][0] == "measure"
    assert [unit for stage, unit in again if stage == "measure"] == [part]


def one_address(workspace: Workspace, stage: str = "echo") -> tuple[str, Address]:
    part = workspace.plan.parts[2]
    found = workspace.found(stage, part)
    assert found is not None
    return part, found[0]


def invalidation_killed(store: Store, address: Address, point: str) -> None:
    """What a process leaves that is killed while it invalidates a unit."""
    removing = voided(store.files, address.stage, address.stage_key, [address.stem])
    removing.__enter__()
    mark = store.mark(address)
    assert mark is not None
    if point != "before":
        store.files.remove(store.mark_file(address))
    if point == "after":
        store.files.remove(store.table_file(address, "rows", mark.tables["rows"]))


def aged(folder: Path, kind: str, hours: int) -> None:
    """Let files beside the logs be older."""
    for file in folder.rglob(f"logs/*/*/*.{kind}"):
        os.utime(file, (time.time() - 3600 * hours,) * 2)


@pytest.mark.parametrize("point", ["before", "during", "after"])
def test_an_invalidation_that_was_killed_leaves_nothing_wrong(done: Path, point: str) -> None:
    workspace = survey(config(done))
    part, address = one_address(workspace)
    invalidation_killed(workspace.job.store, address, point)
    by_logs = {one.stage: one.done for one in status(survey(config(done)))}
    assert by_logs["echo"] == (6 if point == "before" else 5)
    assert by_logs == {one.stage: one.done for one in without_logs(config(done))}
    assert [unit for stage, unit in worked(config(done)) if stage == "echo"] == ([] if point == "before" else [part])


def test_no_log_is_made_of_what_is_being_removed(done: Path) -> None:
    workspace = survey(config(done), write=True)
    _, address = one_address(workspace)
    store = workspace.job.store
    with voided(store.files, address.stage, address.stage_key, [address.stem]):
        another = survey(config(done), write=True)
        write_logs(another, NAMES, another.job.groups)  # another driver, which still sees the mark
        store.files.remove(store.mark_file(address))
    now = survey(config(done))
    assert len(unfolded(now)["echo"]) == 2
    assert len(now.done("echo")) == 5


def test_the_first_log_counts_for_no_mark_that_went_meanwhile(done: Path) -> None:
    shutil.rmtree(done / "work" / "logs")
    workspace = survey(config(done), write=True)
    part, address = one_address(workspace)
    store = workspace.job.store
    removing = voided(store.files, address.stage, address.stage_key, [address.stem])
    removing.__enter__()
    another = survey(config(done), write=True)
    write_logs(another, NAMES, another.job.groups)
    store.files.remove(store.mark_file(address))  # and then its process is killed
    assert part not in survey(config(done)).done("echo")


def test_what_is_void_is_not_kept_where_there_are_no_logs(tmp_path: Path) -> None:
    work = files_at(tmp_path)
    with voided(work, "echo", "0" * 16, ["part-0.1"]):
        assert len(list(work.tree())) == 1
    assert list(work.tree()) == []


def test_a_log_of_marks_that_were_read_before_they_went_does_not_count(done: Path) -> None:
    shutil.rmtree(done / "work" / "logs")
    before = survey(config(done), write=True)
    for name in NAMES:
        before.summaries.logs.begin((name, before.job.keys[name].key))
    looked = before.refreshed()
    part, address = one_address(looked)
    assert part in looked.done("echo")
    before.job.store.invalidate(address)
    fold._fold(looked, NAMES, list(looked.job.groups))
    now = survey(config(done))
    assert part not in now.done("echo")
    assert [unit for stage, unit in worked(config(done)) if stage == "echo"] == [part]


@pytest.mark.slow
def test_two_drivers_write_the_same_logs(done: Path) -> None:
    shutil.rmtree(done / "work" / "logs")
    both = [survey(config(done), write=True) for _ in range(2)]
    for one in both:
        write_logs(one, NAMES, one.job.groups)
    assert {stage: len(segments(done, stage)) for stage in NAMES} == dict.fromkeys(NAMES, 1)
    assert status(survey(config(done))) == without_logs(config(done))


@pytest.mark.parametrize("killed", [False, True])
def test_merged_logs_say_the_same(done: Path, *, killed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(done / "work" / "logs")
    workspace = survey(config(done), write=True)
    for group in workspace.job.groups:
        write_logs(workspace, NAMES, [group])
        workspace = workspace.refreshed()
    copies = {file: file.read_bytes() for file in (done / "work" / "logs").rglob("*.parquet")}
    before = status(survey(config(done)))
    monkeypatch.setattr(logs, "MERGED", 3)
    write_logs(workspace, NAMES, [])
    assert {stage: len(segments(done, stage)) for stage in NAMES} == dict.fromkeys(NAMES, 1)
    if killed:  # between the merged one and the removal of the others
        for file, content in copies.items():
            file.write_bytes(content)
    assert unfolded(survey(config(done))) == {name: [] for name in NAMES}
    assert status(survey(config(done))) == before == without_logs(config(done))


@pytest.mark.slow
def test_what_is_void_stays_so_in_merged_logs(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = survey(config(done), write=True)
    part, address = one_address(workspace)
    workspace.job.store.invalidate(address)
    monkeypatch.setattr(logs, "MERGED", 1)
    workspace.summaries.logs.refreshed().merge((address.stage, address.stage_key))
    now = survey(config(done))
    assert (len(now.done("echo")), part in now.done("echo")) == (5, False)
    assert len(unfolded(now)["echo"]) == 2


@pytest.mark.parametrize("hours", [0, 2])
def test_an_invalidation_that_was_killed_long_ago_is_over(done: Path, hours: int) -> None:
    _, address = one_address(survey(config(done)))
    invalidation_killed(Store(done / "work"), address, "during")
    aged(done, "void", hours)
    ran(config(done))
    assert len(unfolded(survey(config(done)))["echo"]) == (2 if hours == 0 else 0)
    assert status(survey(config(done))) == without_logs(config(done))


def test_who_invalidates_for_long_and_was_taken_for_killed_says_it_again(tmp_path: Path) -> None:
    work = files_at(tmp_path)
    work.create("logs/echo/key/begun", b"")
    with voided(work, "echo", "key", ["part-0.1"]):
        aged(tmp_path, "void", 2)
        Logs(work).end_killed()
        taken = set(Logs(work).voids(("echo", "key")))
    now = Logs(work).voids(("echo", "key"))
    assert len(taken) == 1
    assert [now[token] for token in now.keys() - taken] == [Void(frozenset({"part-0.1"}), over=True)]


@pytest.mark.parametrize("named", [0, 10])
def test_what_is_void_is_dropped_once_no_log_counts_for_it(
    done: Path, named: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voids, "MOST_NAMED", named)
    monkeypatch.setattr(logs, "MERGED", 1)
    workspace = survey(config(done), write=True)
    part, address = one_address(workspace)
    workspace.job.store.invalidate(address)
    for hours in (0, 48):
        aged(done, "over", hours)
        survey(config(done)).summaries.logs.merge((address.stage, address.stage_key))
        assert part not in survey(config(done)).done("echo")
        survey(config(done)).summaries.logs.merge((address.stage, address.stage_key))
        assert len(list((done / "work" / "logs").rglob("*.void"))) == (1 if hours == 0 else 0)
    assert bool(segments(done, "echo")) == bool(named)  # without names, all of the stage was void
    assert status(survey(config(done))) == without_logs(config(done))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["groups", "units"])
@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_bytes(b"damaged")])
def test_lost_and_damaged_logs_are_made_of_the_marks_again(
    done: Path, kind: str, damage: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = status(survey(config(done)))
    for file in (done / "work" / "logs").rglob(f"*.{kind}.parquet"):
        damage(file)
    monkeypatch.setattr(logs, "_checked", set())
    assert status(survey(config(done))) == before
    assert worked(config(done)) == []
    if kind == "groups":
        assert unfolded(survey(config(done))) == {name: [] for name in NAMES}


def _folder_for(kind: str) -> Callable[[Path], None]:
    def put(logs_of: Path) -> None:
        for file in logs_of.glob(f"*.{kind}.parquet"):
            file.unlink()
            file.mkdir()

    return put


@pytest.mark.parametrize(
    "put",
    [
        _folder_for("units"),
        _folder_for("groups"),
        lambda logs_of: (logs_of / "ab.void").write_text("[1, [2]]"),
        lambda logs_of: (logs_of / "ab.void").write_text("[" * 100_000),
        lambda logs_of: (logs_of / "ab.void").mkdir(),
        lambda logs_of: (logs_of / "ab.over").write_text(""),
    ],
    ids=["units-folder", "groups-folder", "nested-void", "deep-void", "void-folder", "over-alone"],
)
def test_odd_files_among_the_logs_count_as_damaged(
    done: Path, put: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = status(survey(config(done)))
    for logs_of in (done / "work" / "logs").glob("*/*"):
        put(logs_of)
    monkeypatch.setattr(logs, "_checked", set())
    assert status(survey(config(done))) == before
    assert collect([config(done)])["units"] == []
    assert worked(config(done)) == []


def test_a_file_that_was_away_while_its_group_was_done_is_not_counted_as_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files(tmp_path, SIZES)
    workspace = survey(config(tmp_path), write=True)
    last = workspace.plan.parts[-1]
    (late, _) = (tmp_path / line.url for line in workspace.lines[last])
    one, seen = Measure.one, []

    def unmounted(stage: Measure, video: Video) -> MeasureRow:
        seen.append(video)
        if len(seen) == 5 and late.exists():  # after the first wave, which is one group of four
            late.rename(tmp_path / "away")
        return one(stage, video)

    monkeypatch.setattr(Measure, "one", unmounted)
    ran(config(tmp_path))
    (tmp_path / "away").rename(late)
    assert ("measure", last) in worked(config(tmp_path))
    assert status(survey(config(tmp_path)))[0].failed == {}
    assert unfolded(survey(config(tmp_path))) == {name: [] for name in NAMES}


def test_a_mark_that_somebody_removed_is_missed_once_it_is_read(done: Path) -> None:
    part, address = one_address(survey(config(done)), "measure")
    (done / "work" / Store(done / "work").mark_file(address)).unlink()
    manifest(done, {f"{n}.bin": f"Another {n}" for n in range(12)})
    again = worked(config(done))
    assert ("measure", part) in again
    assert status(survey(config(done))) == without_logs(config(done))


def test_marks_that_somebody_removed_are_all_made_again_by_one_run(tmp_path: Path) -> None:
    files(tmp_path, range(1, 7))
    parts = {"videos": 1, "group": 6}
    ran(config(tmp_path, parts=parts))
    for mark in (tmp_path / "work" / "measure").glob("*/part-*.json"):
        mark.unlink()
    again = [stage for stage, _ in worked(config(tmp_path, parts=parts, echo={"prefix": ">"}))]
    assert (again.count("measure"), again.count("echo")) == (6, 6)


def test_what_the_logs_count_for_without_a_mark_is_found(done: Path) -> None:
    workspace = survey(config(done), write=True)
    for mark in (done / "work" / "pack").glob("*/group-*.json"):
        mark.unlink()
    assert len(workspace.lost("pack")) == 3
    assert workspace.lost("echo") == []


def test_what_was_collected_is_done_again_when_it_is_wanted_again(done: Path) -> None:
    first = config(done, echo={"prefix": ">"})
    ran(first)
    manifest(done, {f"{n}.bin": f"T{n}" for n in range(12)} | {"5.bin": "another"})
    ran(config(done))
    remove(files_at(done / "work"), collect([config(done)]))
    manifest(done, {f"{n}.bin": f"T{n}" for n in range(12)})
    assert status(survey(config(done))) == without_logs(config(done))
    assert {stage for stage, _ in worked(first)} == {"echo", "share", "pack"}
