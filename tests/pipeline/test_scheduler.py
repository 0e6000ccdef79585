"""The order of the work: waves of groups, segments of stages, the longest first."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import RunConfig
from pipeline.executors.executor import OnDone, UnitsMissing
from pipeline.executors.inline import InlineExecutor
from pipeline.scheduler import MOST_GROUPS, Scheduler, check_failures, longest_first, waves
from pipeline.workspace import Work, Workspace
from stages.base import Video
from storyloom.errors import RunFailed
from tests import machine
from tests.machine import NAMES, config, files, prepared, ready
from tests.runs import content_of


@given(st.integers(0, 3000))
def test_every_group_is_in_one_wave_in_order(number: int) -> None:
    groups = {str(n): (f"part {n}",) for n in range(number)}
    found = list(waves(groups))
    assert [group for wave in found for group in wave] == list(groups)
    assert all(wave == {group: groups[group] for group in wave} for wave in found)
    assert all(0 < len(wave) <= MOST_GROUPS for wave in found)


def test_waves_begin_small_and_double() -> None:
    assert [len(wave) for wave in waves({str(n): () for n in range(200)})] == [1, 2, 4, 8, 16, 32, 64, 64, 9]


@dataclass
class Watched:
    """The inline executor, which remembers what it was asked for."""

    overlaps: bool = False
    asked: list[tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=list)
    inner: InlineExecutor = field(default_factory=InlineExecutor)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def run(self, workspace: Workspace, work: Work, on_done: OnDone) -> None:
        with self.lock:
            units = tuple(dict.fromkeys(unit for units in work.values() for unit in units))
            self.asked.append((tuple(work), units))
            self.inner.run(workspace, work, on_done)


def scheduled(found: RunConfig, executor: Watched, selected: tuple[str, ...] = NAMES) -> Workspace:
    scheduler = Scheduler(frozenset(selected), executor, lambda _: None)
    return scheduler.bring_up_to_date(prepared(found)).refreshed()


def assert_all_done(workspace: Workspace) -> None:
    assert {name: set(workspace.done(name)) for name in NAMES} == {name: set(workspace.units(name)) for name in NAMES}


FOUR_GROUPS = {"parts": {"videos": 1, "group": 1}}


@pytest.mark.parametrize("overlaps", [False, True])
def test_stages_are_cut_where_they_need_a_result_over_the_corpus(tmp_path: Path, *, overlaps: bool) -> None:
    files(tmp_path, [1, 2, 3, 4])
    executor = Watched(overlaps)
    workspace = scheduled(config(tmp_path, **FOUR_GROUPS), executor)
    assert_all_done(workspace)
    segments = [stages for stages, _ in executor.asked]
    assert set(segments) == {("measure",), ("measure", "echo", "total"), ("share",), ("pack",)} or not overlaps
    assert segments.index(("share",)) > max(n for n, names in enumerate(segments) if "total" in names)


def test_what_reads_nothing_begins_with_the_next_wave_where_work_may_overlap(tmp_path: Path) -> None:
    files(tmp_path, [1, 2, 3, 4])
    executor = Watched(overlaps=True)
    workspace = scheduled(config(tmp_path, **FOUR_GROUPS), executor)
    ahead = [units for stages, units in executor.asked if stages == ("measure",)]
    assert sorted(unit for units in ahead for unit in units) == sorted(workspace.plan.parts[1:])


def test_several_waves_and_one_at_once_give_the_same_bytes(tmp_path: Path) -> None:
    files(tmp_path, [1, 2, 3, 4])
    made = []
    for place, overlaps in (("a", False), ("b", True)):
        found = config(tmp_path, work=str(tmp_path / place), **FOUR_GROUPS)
        scheduled(found, Watched(overlaps))
        made.append(content_of(tmp_path / place))
    assert len(made[0]) > 4 * 5
    assert made[0] == made[1]


def test_one_stage_alone_is_brought_up_to_date(tmp_path: Path) -> None:
    files(tmp_path, [1, 2, 3, 4])
    executor = Watched()
    workspace = scheduled(config(tmp_path, **FOUR_GROUPS), executor, ("measure",))
    assert {stages for stages, _ in executor.asked} == {("measure",)}
    assert set(workspace.done("measure")) == set(workspace.plan.parts)
    assert workspace.job.results == {}


def test_a_failure_in_a_later_wave_ends_the_work_and_keeps_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files(tmp_path, [1, 2, 3, 4])
    found = config(tmp_path, **FOUR_GROUPS)
    broken = prepared(found).plan.parts[2]
    one = machine.Echo.one

    def one_or_not(self: machine.Echo, video: Video) -> machine.EchoRow:
        if video.key in prepared(found).plan.members[broken]:
            raise ConnectionResetError("the disk is away")
        return one(self, video)

    monkeypatch.setattr(machine.Echo, "one", one_or_not)
    with pytest.raises(UnitsMissing, match=f"echo, {broken}: ConnectionResetError: the disk is away"):
        scheduled(found, Watched())
    assert set(prepared(found).done("echo")) >= set(prepared(found).plan.parts[:2])
    monkeypatch.undo()
    assert_all_done(scheduled(found, Watched()))


@pytest.mark.parametrize("overlaps", [False, True])
def test_too_many_failures_end_the_work_after_the_wave_that_had_them(tmp_path: Path, *, overlaps: bool) -> None:
    files(tmp_path, [1, 2, 3, 4])
    for number in range(4):
        (tmp_path / f"{number}.bin").unlink()
    executor = Watched(overlaps)
    strict = {"runner": {"kind": "inline", "max_failed_share": 0.1}}
    with pytest.raises(RunFailed, match=r"1 of 1 video failed.*measure\.not_found 1.*Nothing was published"):
        scheduled(config(tmp_path, **FOUR_GROUPS, **strict), executor)
    assert ("share",) not in [stages for stages, _ in executor.asked]


def test_the_part_with_the_longest_media_comes_first(tmp_path: Path) -> None:
    files(tmp_path, [3, 1, 4, 2])
    workspace = ready(config(tmp_path, **FOUR_GROUPS), "measure")
    order = longest_first(workspace, workspace.plan.parts)
    assert [workspace.lines[part][0].url for part in order] == ["2.bin", "0.bin", "3.bin", "1.bin"]


def test_parts_whose_length_is_not_known_yet_come_last_in_their_order(tmp_path: Path) -> None:
    files(tmp_path, [3, 1, 4, 2])
    workspace = prepared(config(tmp_path, **FOUR_GROUPS))
    assert longest_first(workspace, workspace.plan.parts[::-1]) == list(workspace.plan.parts)


def test_failures_up_to_the_share_are_let_pass(tmp_path: Path) -> None:
    files(tmp_path, [1])
    found = config(tmp_path, runner={"max_failed_share": 0.5})
    check_failures(found, {"measure.not_found": 2}, 4)
    with pytest.raises(RunFailed, match=r"3 of 4 videos failed.*\(0\.5\) allows: measure\.not_found 2, echo\.bug 1"):
        check_failures(found, {"echo.bug": 1, "measure.not_found": 2}, 4)


def test_a_callback_is_told_each_unit_once(tmp_path: Path) -> None:
    files(tmp_path, [1, 2, 3, 4])
    told: list[tuple[str, str]] = []
    note: Callable[..., None] = lambda done: told.append((done.stage, done.unit))  # noqa: E731
    Scheduler(frozenset(NAMES), Watched(), note).bring_up_to_date(prepared(config(tmp_path, **FOUR_GROUPS)))
    assert len(told) == len(set(told)) == 4 * 5 + 1
    assert ("total", "corpus") in told
