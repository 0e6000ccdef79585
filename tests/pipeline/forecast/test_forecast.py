"""What a whole list takes, by its finished parts: the figures are sums of what was measured, and nothing is guessed."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.config import RunConfig
from pipeline.forecast.forecast import Forecast, Machines, StageForecast, forecast, machines_for
from pipeline.profile import UnitProfile, keep_profile
from pipeline.status import status
from pipeline.workspace import Workspace, survey
from storyloom.errors import UsageError
from tests.machine import config, files, ran
from tests.stores import moto

PARTS = {"videos": 1, "group": 2}
ONE = Machines(cpus=2.0)


def of(folder: Path, **sections: Any) -> RunConfig:
    return config(folder, parts=PARTS, **sections)


def measured(workspace: Workspace, stage: str, shares: dict[str, float]) -> None:
    """Keep the worker's seconds for units as a profiled run does."""
    for unit, share in shares.items():
        parts = len(workspace.job.groups.get(unit, (unit,)))
        key = workspace.job.keys[stage].key
        keep_profile(
            workspace.job.store, stage, unit, UnitProfile(key=key, worker="w", parts=parts, share=share, seconds={})
        )


def stage(found: Forecast, name: str) -> StageForecast:
    return next(one for one in found.stages if one.stage == name)


@pytest.fixture
def ten(tmp_path: Path) -> Path:
    files(tmp_path, [10 * n for n in range(1, 11)])
    return tmp_path


@pytest.fixture
def three(tmp_path: Path) -> Path:
    files(tmp_path, [10, 20, 30])
    return tmp_path


def test_nothing_is_said_of_the_time_and_bytes_of_what_was_not_measured(ten: Path) -> None:
    found = forecast(survey(of(ten)), ONE)
    assert (found.videos, found.parts, found.groups) == (10, 10, 5)
    assert (found.hours, found.compute, found.media_hours, found.output_bytes) == (None, None, None, None)
    assert found.unmeasured == [one.stage for one in found.stages]
    assert {(one.seconds, one.worker_hours, one.bytes, one.objects) for one in found.stages} == {(None,) * 4}


def test_a_stages_time_is_its_parts_mean_for_all_parts_with_the_spread_that_was_measured(ten: Path) -> None:
    workspace = survey(of(ten), write=True)
    measured(workspace, "echo", dict(zip(workspace.plan.parts, (1.0, 2.0, 3.0), strict=False)))
    echo = stage(forecast(workspace, ONE), "echo")
    assert (echo.measured, echo.seconds, echo.least, echo.most) == (3, 2.0, 1.0, 3.0)
    assert echo.worker_hours == pytest.approx(10 * 2.0 / 3600)
    assert echo.error == pytest.approx(2 * 1.0 / 3**0.5 / 2.0)  # two standard errors of the mean, as a share of it


def test_one_measured_part_has_no_spread(ten: Path) -> None:
    workspace = survey(of(ten), write=True)
    measured(workspace, "echo", {workspace.plan.parts[0]: 4.0})
    echo = stage(forecast(workspace, ONE), "echo")
    assert (echo.seconds, echo.error) == (4.0, None)


def test_a_group_counts_for_the_parts_that_it_had_when_it_was_measured(ten: Path) -> None:
    workspace = survey(of(ten), write=True)
    pack = next(name for name in workspace.graph.names if name in workspace.graph.group_stages)
    key = workspace.job.keys[pack].key
    keep_profile(workspace.job.store, pack, "00000", UnitProfile(key=key, worker="w", parts=1, share=3.0, seconds={}))
    keep_profile(workspace.job.store, pack, "00001", UnitProfile(key=key, worker="w", parts=2, share=9.0, seconds={}))
    found = stage(forecast(workspace, ONE), pack)
    assert (found.parts, found.measured, found.seconds) == (10, 3, 4.0)


def test_profiles_under_other_settings_are_not_counted(ten: Path) -> None:
    workspace = survey(of(ten), write=True)
    measured(workspace, "echo", {workspace.plan.parts[0]: 4.0})
    assert stage(forecast(survey(of(ten, echo={"prefix": "x"})), ONE), "echo").seconds is None


def test_bytes_and_objects_are_those_of_the_finished_parts_for_all(three: Path) -> None:
    some = config(three, parts={**PARTS, "limit": 1})
    ran(some)
    folder = Path(some.work) / "echo"
    written = [file for file in folder.rglob("*") if file.is_file() and file.name != "stage.json"]
    found = forecast(survey(of(three)), ONE)
    echo, pack = stage(found, "echo"), stage(found, "pack")
    assert (echo.seen, echo.parts, echo.objects) == (1, 3, 3 * len(written))
    assert echo.bytes == 3 * sum(file.stat().st_size for file in written)
    assert (pack.seen, pack.parts) == (1, 3)  # a group of which the sample had one part of two


def test_one_process_does_one_unit_after_the_other(ten: Path) -> None:
    workspace = survey(of(ten, runner={"kind": "inline"}), write=True)
    measured(workspace, "echo", {workspace.plan.parts[0]: 360.0})
    measured(workspace, "measure", {workspace.plan.parts[0]: 36.0})
    found = forecast(workspace, ONE)
    assert found.one_by_one
    assert found.hours == pytest.approx(1.0 + 0.1)


def test_machines_take_as_long_as_what_there_is_too_little_of(ten: Path) -> None:
    busy = {"cpus": 2, "gpus": 0.5}
    workspace = survey(of(ten, runner={"kind": "ray"}, echo={"resources": busy}), write=True)
    measured(workspace, "echo", {workspace.plan.parts[0]: 3600.0})
    measured(workspace, "measure", {workspace.plan.parts[0]: 3600.0})

    def hours(**machines: Any) -> float | None:
        return forecast(workspace, Machines(**machines)).hours

    assert hours(number=2, cpus=100, gpus=0.5) == pytest.approx(5.0)  # 10 h of half a GPU on one
    assert hours(number=1, cpus=15, gpus=100) == pytest.approx(2.0)  # 20 and 10 CPU hours
    assert forecast(workspace, Machines(number=1, cpus=15, gpus=100)).cpu_hours == pytest.approx(30.0)


def test_a_stage_with_few_workers_takes_its_time_on_any_number_of_machines(ten: Path) -> None:
    workspace = survey(of(ten, runner={"kind": "ray"}, echo={"resources": {"max_workers": 2}}), write=True)
    measured(workspace, "echo", {workspace.plan.parts[0]: 3600.0})
    assert forecast(workspace, Machines(number=100, cpus=100)).hours == pytest.approx(5.0)


def test_machines_have_the_gpus_that_a_worker_of_each_stage_asks_for(ten: Path) -> None:
    workspace = survey(of(ten, echo={"resources": {"gpus": 1.5}}))
    assert machines_for(workspace, 1, 8.0, None) == Machines(number=1, cpus=8.0, gpus=2.0)
    assert machines_for(workspace, 2, 8.0, None).gpus == 1.0
    with pytest.raises(UsageError, match=r"0 GPU but .*echo.resources.gpus 1.5"):
        forecast(workspace, Machines(cpus=8.0))


def test_the_machines_price_is_shared_by_what_workers_take_of_them(ten: Path) -> None:
    runner = {"kind": "ray", "price_per_hour": 6.0}
    workspace = survey(of(ten, runner=runner, echo={"resources": {"cpus": 3}}), write=True)
    for name in ("echo", "measure"):
        measured(workspace, name, {workspace.plan.parts[0]: 3600.0})
    found = forecast(workspace, Machines(cpus=40.0))
    assert found.hours == pytest.approx(1.0)
    assert found.compute == pytest.approx(6.0)
    assert (stage(found, "echo").compute, stage(found, "measure").compute) == (4.5, 1.5)
    assert stage(found, "share").compute is None


def test_what_is_finished_has_its_media_and_prices_and_a_price_makes_nothing_stale(three: Path) -> None:
    ran(of(three))
    priced = of(three, prices={"storage": 1e6, "requests": 2.0})
    found = forecast(survey(priced), ONE)
    assert found.media_hours == pytest.approx(60 / 3600)
    assert found.requests == pytest.approx(found.objects * 0.002)
    assert sum(one.requests or 0.0 for one in found.stages) == pytest.approx(found.requests)
    assert found.storage == pytest.approx((found.work_bytes + (found.output_bytes or 0)) / 1000)
    assert found.egress is None
    assert {one.to_do for one in status(survey(priced))} == {0}


@pytest.mark.slow
def test_the_files_in_a_bucket_are_those_on_a_disk(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = {"parts": {**PARTS, "limit": 1}}
    ran(config(three, **one))
    here = forecast(survey(config(three, **one)), ONE)
    with moto() as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        there = config(three, work=store.folder(), **one)
        ran(there)
        found = forecast(survey(there), ONE)
    files_of = [[(told.stage, told.seen, told.objects, told.bytes) for told in each.stages] for each in (here, found)]
    assert files_of[0] == files_of[1]
    assert found.objects == here.objects > 0


def storyloom(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def written(ten: Path) -> str:
    """A config file over ten clips that do not exist: they are planned, and fail at once."""
    (ten / "videos.txt").write_text("".join(f"{n}.mp4\n" for n in range(10)))
    text = f"manifest: {ten}/videos.txt\nwork: {ten}/w\noutput: {ten}/o\nparts: {{videos: 2, group: 2}}\n"
    text += "runner: {kind: inline, max_failed_share: 1.0}\nscore: {model: demo}\ntranscribe: {model: demo}\n"
    (ten / "c.yaml").write_text(text)
    return str(ten / "c.yaml")


def test_the_plan_in_brief_has_parts_groups_and_units_to_do(written: str) -> None:
    said = storyloom("plan", written)
    assert "10 videos in 5 parts, 5 new; 3 groups" in said
    told = json.loads(storyloom("plan", written, "--json"))
    assert (told["videos"], told["parts"], told["groups"], told["new_parts"]) == (10, 5, 3, 5)
    units = {one["stage"]: (one["unit"], one["units"], one["to_do"]) for one in told["stages"]}
    assert (units["download"], units["write"]) == (("part", 5, 5), ("group", 3, 3))
    assert not Path(written).with_name("w").exists()


def test_an_estimate_of_nothing_finished_names_the_command_that_measures(written: str) -> None:
    said = storyloom("plan", written, "--estimate").replace("\n", " ")
    assert "nothing is finished yet" in said
    assert f"run {written} --sample 0.01" in said
    assert "time:" not in said


def test_a_sampled_run_is_measured_and_ends_with_the_command_that_sums_up(written: str) -> None:
    said = storyloom("run", written, "--only", "download", "--sample", "0.3")
    assert said.splitlines()[-1].endswith(f"plan {written} --estimate")
    found = Forecast.model_validate_json(storyloom("plan", written, "--estimate", "--json"))
    download = stage(found, "download")
    assert (download.parts, download.measured) == (5, download.seen)
    assert 0 < download.measured < 5
    assert (download.seconds or 0.0) > 0.0
    assert "write" in found.unmeasured


def test_the_table_says_what_is_not_known(written: str) -> None:
    storyloom("run", written, "--only", "download", "--sample", "0.3")
    said = storyloom(
        "plan", written, "--estimate", "--set", "runner.price_per_hour=2", "--machines", "3", "--cpus", "4"
    )
    assert "on 3 machines of 4 CPUs, without" in said
    assert "at 2 an hour for all of them" in said
    assert "hardly a part was measured of download" in said
    assert "no time was measured of duplicates" in said
