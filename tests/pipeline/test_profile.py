"""A profiled run: every second of a part has a kind, and nothing else of the run is different."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from pipeline.situation import survey

from pipeline.config import RunConfig
from pipeline.execute import Job
from pipeline.profile import EDGES, Clock, PartProfile, StageProfile, stage_profiles
from pipeline.run import select
from schemas.config import RunnerConfig
from stages.registry import STAGE_NAMES
from stages.timing import KINDS, Timings
from tests.pipeline.test_cli import DEMO, folders, storyloom
from tests.runs import ROOT, Finished, clip, content_of, demo_config, run_quietly

DEMO_LIST = ROOT / "demo" / "videos.txt"
MEASURING = RunnerConfig(profile=True)
DIGESTS = {"sample": "one", "score": "two"}


@pytest.fixture(scope="module")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The demo, run inline with a profile."""
    config = demo_config(tmp_path_factory.mktemp("profiled"), "runner.profile=true")
    run_quietly(config)
    return Finished(config)


def parts_of(work: Path) -> dict[str, list[PartProfile]]:
    """What was measured, by stage."""
    folders = sorted((work / "profile").iterdir())
    return {
        folder.name: [PartProfile.model_validate_json(file.read_bytes()) for file in sorted(folder.iterdir())]
        for folder in folders
    }


def test_every_part_of_every_stage_is_measured(profiled: Finished) -> None:
    found = parts_of(Path(profiled.config.work))
    assert {stage: len(parts) for stage, parts in found.items()} == dict.fromkeys(STAGE_NAMES, 1)


def test_the_edges_of_a_part_add_up_to_its_wall_time(profiled: Finished) -> None:
    for parts in parts_of(Path(profiled.config.work)).values():
        for part in parts:
            assert sum(part.seconds.values()) == pytest.approx(part.wall, abs=1e-5)
            assert min(part.seconds.values()) >= 0.0


def test_a_stage_reads_its_rows_and_writes_its_own(profiled: Finished) -> None:
    for one in stage_profiles(profiled.situation.job):
        assert one.seconds["read"] > 0, one.stage
        assert one.seconds["write"] > 0, one.stage


def test_loading_a_model_is_setup_and_counts_in_no_part(profiled: Finished) -> None:
    setup = {one.stage: one.setup for one in stage_profiles(profiled.situation.job)}
    assert setup["score"] > 0
    assert setup["write"] == 0


def test_a_profile_changes_no_byte_of_work_and_output(profiled: Finished, demo_run: Finished) -> None:
    work = content_of(profiled.config.work)
    measured = {name for name in work if name.startswith("profile/")}
    assert len(measured) == len(STAGE_NAMES)
    assert {name: work[name] for name in work.keys() - measured} == content_of(demo_run.config.work)
    assert content_of(profiled.config.output) == content_of(demo_run.config.output)


def test_a_run_without_profile_measures_nothing(demo_run: Finished) -> None:
    assert not (Path(demo_run.config.work) / "profile").exists()
    assert stage_profiles(demo_run.situation.job) == []


def test_a_part_that_is_done_keeps_its_profile(profiled: Finished) -> None:
    before = parts_of(Path(profiled.config.work))
    run_quietly(profiled.config)
    assert parts_of(Path(profiled.config.work)) == before


def test_a_stage_that_is_configured_anew_has_no_profile_yet(profiled: Finished) -> None:
    config = demo_config(Path(profiled.config.work).parent, "filter.mode=time")
    measured = [one.stage for one in stage_profiles(survey(config).job)]
    assert measured == ["download", "sample", "transcribe", "align", "score"]


@pytest.mark.ray
def test_workers_on_ray_with_two_parts_in_hand_measure_each_part(tmp_path: Path) -> None:
    clip(tmp_path / "a.mp4", 0, 6)
    clip(tmp_path / "b.mp4", 6, 6)
    clip(tmp_path / "c.mp4", 12, 6)
    (tmp_path / "list.txt").write_text("a.mp4\nb.mp4\nc.mp4\n")
    shared = [f"manifest={tmp_path / 'list.txt'}", "parts.videos=1"]
    on_ray = ["runner.kind=ray", "runner.profile=true", "sample.resources.parts_at_once=2"]
    two = select(["download", "sample"], None, force=False)
    quiet = demo_config(tmp_path / "quiet", *shared, "runner.kind=inline")
    config = demo_config(tmp_path / "measured", *shared, *on_ray)
    run_quietly(quiet, two)
    run_quietly(config, two)
    found = parts_of(Path(config.work))
    assert {stage: len(parts) for stage, parts in found.items()} == {"download": 3, "sample": 3}
    for part in [*found["download"], *found["sample"]]:
        assert sum(part.seconds.values()) == pytest.approx(part.wall, abs=1e-5)
        assert min(part.seconds.values()) >= 0.0
    work = content_of(config.work)
    assert {name: work[name] for name in work if not name.startswith("profile/")} == content_of(quiet.work)


def job_in(work: Path, runner: RunnerConfig = MEASURING) -> Job:
    return Job(RunConfig(manifest="-", work=str(work), output="-", runner=runner), None, DIGESTS, {})


def test_a_worker_waits_between_its_parts_and_sets_up_once(tmp_path: Path) -> None:
    job, clock = job_in(tmp_path), Clock()
    with clock.setting_up():
        time.sleep(0.02)
    for part in ("a", "b"):
        time.sleep(0.03)
        with clock.on_part(job, "sample", part) as meter, meter.on("read"):
            time.sleep(0.01)
    first, second = parts_of(tmp_path)["sample"]
    assert (first.setup >= 0.02, second.setup) == (True, 0.0)
    assert min(first.seconds["wait"], second.seconds["wait"]) >= 0.03
    assert min(first.seconds["read"], second.seconds["read"]) >= 0.01


def test_two_parts_in_hand_do_not_mix(tmp_path: Path) -> None:
    job, clock, together = job_in(tmp_path), Clock(), Barrier(2)

    def do(stage: str) -> None:
        timings = Timings()
        with clock.on_part(job, stage, "a", timings) as meter:
            together.wait()
            with meter.on("read" if stage == "sample" else "process"):
                together.wait()
            with timings.on("decode" if stage == "sample" else "model"):
                pass

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(do, DIGESTS))
    found = parts_of(tmp_path)
    assert (found["sample"][0].seconds["process"], list(found["sample"][0].inside)) == (0.0, ["decode"])
    assert (found["score"][0].seconds["read"], list(found["score"][0].inside)) == (0.0, ["model"])


def test_a_part_that_fails_leaves_no_file_and_its_worker_goes_on(tmp_path: Path) -> None:
    job, clock = job_in(tmp_path), Clock()
    with clock.setting_up():
        time.sleep(0.02)
    with pytest.raises(ValueError, match="broken"), clock.on_part(job, "sample", "a"):
        raise ValueError("broken")
    with clock.on_part(job, "sample", "a"):
        pass
    (part,) = parts_of(tmp_path)["sample"]
    assert part.setup >= 0.02


def test_nothing_is_measured_unless_the_config_asks(tmp_path: Path) -> None:
    with Clock().on_part(job_in(tmp_path, RunnerConfig()), "sample", "a") as meter, meter.on("read"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_option_prints_a_line_per_stage_that_was_done(tmp_path: Path) -> None:
    places = [f"manifest={DEMO_LIST}", f"work={tmp_path / 'work'}", f"output={tmp_path / 'out'}"]
    sets = [word for place in places for word in ("--set", place)]
    first = storyloom("run", DEMO, *sets, "--only", "download", "--profile")
    assert first.returncode == 0
    head, row = [line for line in first.stdout.splitlines() if "decode" in line or line.startswith(" download ")]
    assert all(word in head for word in (*EDGES, *KINDS))
    assert "transcribe" not in first.stdout.split(head)[1]
    unfinished = storyloom("report", DEMO, *sets)
    assert (unfinished.returncode, row in unfinished.stdout) == (1, True)
    assert "filter has 1 of 1 parts to do" in unfinished.stderr


def test_the_report_shows_it_to_people_and_as_json(profiled: Finished) -> None:
    shown = storyloom("report", DEMO, *folders(profiled))
    assert "frame with its sentence" in shown.stdout
    assert shown.stdout.index("where the time went") > shown.stdout.index("frame with its sentence")
    printed = json.loads(storyloom("report", DEMO, *folders(profiled), "--json").stdout)
    assert [StageProfile.model_validate(one) for one in printed["profile"]] == stage_profiles(profiled.situation.job)


def test_a_report_without_profile_says_how_to_get_one(demo_run: Finished) -> None:
    assert "`storyloom run --profile` does" in storyloom("report", DEMO, *folders(demo_run)).stdout
