"""A profiled run: every second of a unit has a kind, and nothing else of the run is different."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from pipeline.profile import KINDS, StageProfile, UnitProfile, UnitTimer, WorkerClock
from pipeline.run import Selection
from pipeline.worker import Worker
from pipeline.workspace import survey
from stages.base import Video
from tests.machine import Echo, EchoRow, config, files, ready
from tests.pipeline.test_cli import DEMO, folders, storyloom
from tests.runs import ROOT, Finished, clip, content_of, demo_config, run_quietly

DEMO_LIST = ROOT / "demo" / "videos.txt"
STAGES = ("download", "duplicates", "transcribe", "sample", "align", "score", "calibrate", "filter", "write")


@pytest.fixture(scope="module")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The demo, run inline with a profile."""
    config = demo_config(tmp_path_factory.mktemp("profiled"), "runner.profile=true")
    run_quietly(config)
    return Finished(config)


def units_of(work: Path) -> dict[str, list[UnitProfile]]:
    """What was measured, by stage."""
    return {
        folder.name: [UnitProfile.model_validate_json(file.read_bytes()) for file in sorted(folder.iterdir())]
        for folder in sorted((work / "profile").iterdir())
    }


def test_every_unit_of_every_stage_is_measured(profiled: Finished) -> None:
    found = units_of(Path(profiled.config.work))
    assert {stage: len(units) for stage, units in found.items()} == dict.fromkeys(STAGES, 1)


def test_a_stage_reads_its_rows_works_and_writes_its_own(profiled: Finished) -> None:
    for one in profiled.workspace.job.profiles():
        assert one.wall == pytest.approx(sum(one.seconds.values()), abs=1e-5)
        assert min(one.seconds.values()) >= 0.0
        assert one.seconds["process"] > 0, one.stage
        assert one.seconds["read"] > 0, one.stage
        if one.stage != "write":  # whose files are its work
            assert one.seconds["write"] > 0, one.stage


def test_loading_a_model_is_setup_and_counts_in_no_unit(profiled: Finished) -> None:
    setup = {one.stage: one.setup for one in profiled.workspace.job.profiles()}
    assert setup["score"] > setup["write"]


def test_what_a_stage_measures_itself_stands_beside(profiled: Finished) -> None:
    within = {one.stage: one.within for one in profiled.workspace.job.profiles()}
    assert within["score"]["model"] > 0


def test_a_profile_changes_no_byte_of_work_and_output(profiled: Finished, demo_run: Finished) -> None:
    work, whole = content_of(profiled.config.work), content_of(demo_run.config.work)
    measured = {name for name in work if name.startswith("profile/")}
    assert len(measured) == len(STAGES)
    assert {name: whole[name] for name in work.keys() - measured} == {
        name: work[name] for name in work.keys() - measured
    }
    assert content_of(profiled.config.output) == content_of(demo_run.config.output)


def test_a_run_without_profile_measures_nothing(demo_run: Finished) -> None:
    assert not any((Path(demo_run.config.work) / "profile").rglob("*"))
    assert demo_run.workspace.job.profiles() == []


def test_a_unit_that_is_done_keeps_its_profile(profiled: Finished) -> None:
    before = units_of(Path(profiled.config.work))
    run_quietly(profiled.config)
    assert units_of(Path(profiled.config.work)) == before


def test_a_stage_that_is_configured_anew_has_no_profile_yet(profiled: Finished) -> None:
    config = demo_config(Path(profiled.config.work).parent, "filter.mode=time")
    measured = [one.stage for one in survey(config).job.profiles()]
    assert measured == [name for name in STAGES if name != "filter"]


@pytest.mark.ray
@pytest.mark.slow
def test_workers_on_ray_with_two_parts_in_hand_measure_each_part(tmp_path: Path) -> None:
    for number, name in enumerate("abc"):
        clip(tmp_path / f"{name}.mp4", 6 * number, 6)
    (tmp_path / "list.txt").write_text("a.mp4\nb.mp4\nc.mp4\n")
    shared = [f"manifest={tmp_path / 'list.txt'}", "parts.videos=1"]
    on_ray = ["runner.kind=ray", "runner.profile=true", "sample.resources.parts_at_once=2"]
    two = Selection(("download", "sample"))
    quiet = demo_config(tmp_path / "quiet", *shared, "runner.kind=inline")
    config = demo_config(tmp_path / "measured", *shared, *on_ray)
    run_quietly(quiet, two)
    run_quietly(config, two)
    found = units_of(Path(config.work))
    assert {stage: len(units) for stage, units in found.items()} == {"download": 3, "sample": 3}
    for unit in [*found["download"], *found["sample"]]:
        assert min(unit.seconds.values()) >= 0.0
    work = content_of(config.work)
    assert {name: work[name] for name in work if not name.startswith("profile/")} == content_of(quiet.work)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the timers."""
    found = Clock()
    monkeypatch.setattr("pipeline.profile.time", found)
    return found


def test_time_inside_a_block_counts_for_the_innermost_alone(clock: Clock) -> None:
    timer = UnitTimer()
    with timer.on("write"):
        clock.now += 1.0
        with timer.on("read"):
            clock.now += 4.0
        clock.now += 2.0
    assert timer.seconds == {"read": 4.0, "write": 3.0}


def test_an_items_making_counts_and_its_consumers_work_does_not(clock: Clock) -> None:
    timer = UnitTimer()

    def slowly() -> Iterator[int]:
        for number in range(3):
            clock.now += 1.0
            yield number

    found = []
    for number in timer.each("read", slowly()):
        clock.now += 10.0
        found.append(number)
    assert found == [0, 1, 2]
    assert timer.seconds == {"read": 3.0}


def test_units_in_hand_at_once_share_the_workers_time(clock: Clock) -> None:
    worker = WorkerClock()
    with worker.unit() as first:
        clock.now += 4.0
        with worker.unit() as second:
            clock.now += 6.0
            assert (first(), second()) == (7.0, 3.0)
        clock.now += 1.0
        assert first() == 8.0
    clock.now += 50.0
    with worker.unit() as third:
        clock.now += 2.0
        assert third() == 2.0


def test_what_falls_to_a_unit_that_is_alone_is_its_time_with_what_the_worker_keeps_of_it(profiled: Finished) -> None:
    found = {stage: units[0] for stage, units in units_of(Path(profiled.config.work)).items()}
    assert {one.parts for one in found.values()} == {1}
    for one in found.values():
        assert sum(one.seconds.values()) - one.seconds["wait"] <= one.share + 1e-3


PROFILING = {"runner": {"kind": "inline", "profile": True}}


def test_a_worker_waits_between_its_units_and_sets_up_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files(tmp_path, [1, 2, 3])
    workspace = ready(config(tmp_path, parts={"videos": 1, "group": 1}, **PROFILING), "measure")
    monkeypatch.setattr(Echo, "setup", lambda _: time.sleep(0.02))
    worker = Worker(workspace.job, "echo", None)
    for part in workspace.plan.parts[:2]:
        time.sleep(0.03)
        worker.do(part)
    first, second = units_of(tmp_path / "work")["echo"]
    assert (first.setup >= 0.02, second.setup) == (True, 0.0)
    assert second.seconds["wait"] >= 0.03


def test_two_units_in_hand_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files(tmp_path, [1, 2])
    workspace = ready(config(tmp_path, parts={"videos": 1, "group": 1}, **PROFILING), "measure")
    together, one = Barrier(2, timeout=60), Echo.one
    within: dict[str, float] = {}

    def slow_with_one(self: Echo, video: Video) -> EchoRow:
        began = time.perf_counter()
        together.wait()
        if video.manifest.title == "T0":
            time.sleep(0.3)
        row = one(self, video)
        within[video.manifest.title] = time.perf_counter() - began
        return row

    monkeypatch.setattr(Echo, "one", slow_with_one)
    worker = Worker(workspace.job, "echo", None)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(worker.do, workspace.plan.parts))
    measured = dict(zip(workspace.plan.parts, units_of(tmp_path / "work")["echo"], strict=True))
    slow, fast = (measured[workspace.lines.parts_with([f"{n}.bin"])[0]].seconds["process"] for n in (0, 1))
    assert slow >= 0.3
    assert fast - within["T1"] < 0.3  # the first of the two may have waited long for the other


def test_a_unit_that_fails_leaves_no_file_and_its_worker_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files(tmp_path, [1])
    workspace = ready(config(tmp_path, **PROFILING), "measure")
    (part,) = workspace.plan.parts
    worker = Worker(workspace.job, "echo", None)
    with monkeypatch.context() as broken:
        broken.setattr(Echo, "one", lambda *_: 1 / 0)
        worker.do(part)
    assert "echo" not in units_of(tmp_path / "work")
    worker.do(part)
    assert len(units_of(tmp_path / "work")["echo"]) == 1


def test_the_option_prints_a_line_per_stage_that_was_done(tmp_path: Path) -> None:
    places = [f"manifest={DEMO_LIST}", f"work={tmp_path / 'work'}", f"output={tmp_path / 'out'}"]
    sets = [word for place in places for word in ("--set", place)]
    first = storyloom("run", DEMO, *sets, "--only", "download", "--profile")
    assert first.returncode == 0
    head, row = [line for line in first.stdout.splitlines() if "process" in line or line.startswith(" download ")]
    assert all(kind in head for kind in KINDS)
    assert "transcribe" not in first.stdout.split(head)[1]
    unfinished = storyloom("report", DEMO, *sets)
    assert (unfinished.returncode, row in unfinished.stdout) == (1, True)
    assert "filter has 1 of 1 part to do" in unfinished.stderr


def test_the_report_shows_it_to_people_and_as_json(profiled: Finished) -> None:
    shown = storyloom("report", DEMO, *folders(profiled))
    assert "frame with its sentence" in shown.stdout
    assert shown.stdout.index("where the time went") > shown.stdout.index("frame with its sentence")
    printed = json.loads(storyloom("report", DEMO, *folders(profiled), "--json").stdout)
    assert [StageProfile.model_validate(one) for one in printed["profile"]] == profiled.workspace.job.profiles()


def test_a_report_without_profile_says_how_to_get_one(demo_run: Finished) -> None:
    assert "`storyloom run --profile` does" in storyloom("report", DEMO, *folders(demo_run)).stdout
