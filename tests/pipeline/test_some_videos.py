"""Runs over some of a list's videos: a limit, a share, and what goes on from there."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import RunConfig
from pipeline.gc import collect
from pipeline.plan import Plan, drawn, make_plan, save_plan
from pipeline.run import Selection
from pipeline.status import status
from pipeline.workspace import survey
from schemas.config import PartsConfig
from storyloom.errors import UsageError
from storyloom.format.manifest import finished_dataset
from storyloom.fs.files import files_at
from tests.machine import config, files, manifest, ran, worked
from tests.runs import Finished, content_of, copy_of, run_quietly


def planned(folder: Path, videos: int, size: int = 4) -> Plan:
    return make_plan([f"{n:020x}" for n in range(videos)], files_at(folder), PartsConfig(videos=size), 0)


def config_of(before: RunConfig, **parts: Any) -> RunConfig:
    """A config with other settings of its parts."""
    return before.model_copy(update={"parts": before.parts.model_copy(update=parts)})


def over(folder: Path, **parts: Any) -> RunConfig:
    """The machine's config over some of the videos."""
    return config(folder, parts={"videos": 2, "group": 2, **parts})


@pytest.fixture
def ten(tmp_path: Path) -> Path:
    files(tmp_path, [10 * n for n in range(1, 11)])
    return tmp_path


@given(limit=st.integers(1, 60), share=st.floats(0.01, 1.0), size=st.integers(1, 7))
def test_a_limit_takes_the_first_parts_that_hold_so_many_videos(limit: int, share: float, size: int) -> None:
    plan = planned(Path("nowhere"), 50, size)
    some = plan.within(limit, 1.0, 0)
    assert some.parts == plan.parts[: len(some.parts)]
    assert len(some.parts) == -(-min(limit, 50) // size)
    smaller, larger = plan.within(0, share / 2, 0), plan.within(0, share, 0)
    assert set(smaller.parts) <= set(larger.parts)
    assert larger.parts == plan.parts[: len(larger.parts)]
    wanted = {video for members in plan.videos for video in members if drawn(video, 0) < share}
    assert wanted <= {video for members in larger.videos for video in members}
    assert larger.videos_left_out == 50 - sum(map(len, larger.videos))


def test_a_share_of_a_list_that_grew_has_its_part_of_the_new_videos(tmp_path: Path) -> None:
    save_plan(planned(tmp_path, 400), files_at(tmp_path))
    grown = planned(tmp_path, 800).within(0, 0.1, 0)
    first = [part for part in grown.parts if int(part[:7]) < 100]
    assert 5 <= len(first) <= 20
    assert 5 <= len(grown.parts) - len(first) <= 20


def test_a_share_has_one_part_at_least_and_a_plan_without_videos_none(tmp_path: Path) -> None:
    assert len(planned(tmp_path, 10).within(0, 1e-9, 0).parts) == 1
    assert planned(tmp_path, 0).within(3, 0.5, 0).parts == ()


def test_another_seed_draws_others(tmp_path: Path) -> None:
    videos = [f"{n:020x}" for n in range(100)]
    shares = [
        make_plan(videos, files_at(tmp_path), PartsConfig(videos=1), seed).within(0, 0.2, seed) for seed in (0, 1)
    ]
    assert set(shares[0].members.values()) != set(shares[1].members.values())


def test_a_run_over_all_goes_on_from_a_limit_and_gives_what_it_gives_alone(ten: Path, tmp_path: Path) -> None:
    limited = ran(over(ten, limit=3))
    assert {unit for stage, unit in limited.done if stage == "measure"} == set(survey(over(ten)).plan.parts[:2])
    again = worked(over(ten))
    assert len([stage for stage, _ in again if stage == "measure"]) == 3
    alone = over(ten, group=2).model_copy(update={"work": str(tmp_path / "alone")})
    ran(alone)
    mine, other = content_of(ten / "work"), content_of(alone.work)
    assert other.items() <= mine.items()


def test_a_larger_share_does_what_the_smaller_one_left(ten: Path) -> None:
    small, large = over(ten, sample=0.2), over(ten, sample=0.7)
    ran(small)
    before, after = set(survey(small).plan.parts), set(survey(large).plan.parts)
    assert before < after
    assert {unit for stage, unit in worked(large) if stage == "measure"} == after - before


def test_a_limit_is_the_same_whatever_ran_before_it(ten: Path, tmp_path: Path) -> None:
    ran(over(ten))
    ran(over(ten, limit=2))
    alone = over(ten, limit=2).model_copy(update={"work": str(tmp_path / "alone")})
    ran(alone)
    assert content_of(alone.work).items() <= content_of(ten / "work").items()


def test_the_status_is_that_of_the_videos_asked_for(ten: Path) -> None:
    ran(over(ten, limit=3))
    assert {one.to_do for one in status(survey(over(ten, limit=3)))} == {0}
    assert [(one.done, one.units) for one in status(survey(over(ten))) if one.stage == "measure"] == [(2, 5)]


def test_failures_beyond_a_limit_stay_in_the_ledger_and_are_not_told(ten: Path) -> None:
    whole = over(ten)
    lost = [line.url for line in survey(whole, write=True).lines[survey(whole).plan.parts[-1]]]
    for name in lost:
        (ten / name).unlink()
    ran(whole)
    assert ran(over(ten, limit=2)).failures_in_all == 0
    assert ran(over(ten), Selection(retry=True)).failures == [f"{name} measure.not_found 2" for name in lost]


def test_nothing_beyond_a_limit_is_collected_as_garbage(ten: Path) -> None:
    ran(over(ten))
    ran(over(ten, limit=2))
    assert not any(collect([over(ten, limit=2)]).values())


def test_a_video_that_leaves_takes_no_other_out_of_a_share(ten: Path) -> None:
    before = survey(over(ten, sample=0.4), write=True).plan
    gone, *left = (line.url for part in before.parts for line in survey(over(ten, sample=0.4)).lines[part])
    manifest(ten, {f"{n}.bin": f"T{n}" for n in range(10) if f"{n}.bin" != gone})
    after = survey(over(ten, sample=0.4), write=True)
    drawn_again = {line.url for part in after.plan.parts for line in after.lines[part]}
    assert len(set(left) & drawn_again) >= len(left) - 1  # the one beside it in its part may have drawn more


def test_some_videos_do_not_replace_a_dataset_over_all(clips_run: Finished, tmp_path: Path) -> None:
    some = copy_of(clips_run, tmp_path, "parts.limit=2")
    before = content_of(some.config.output)
    with pytest.raises(UsageError, match=r"holds a dataset over all videos, and this run is over some .*another"):
        run_quietly(some.config)
    assert content_of(some.config.output) == before


def test_a_dataset_over_some_videos_says_so_and_one_over_all_replaces_it(clips_run: Finished, tmp_path: Path) -> None:
    some = copy_of(clips_run, tmp_path, "parts.limit=2", f"output={tmp_path / 'some'}")
    run_quietly(some.config)
    made = finished_dataset(tmp_path / "some").provenance.config["videos"]
    assert made == "2 of 4"
    assert re.search(r'"videos": "2 of 4"', (tmp_path / "some" / "README.md").read_text())
    run_quietly(config_of(some.config, limit=0))
    assert content_of(tmp_path / "some") == content_of(clips_run.config.output)
