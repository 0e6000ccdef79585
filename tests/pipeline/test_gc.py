"""What a work folder holds for nobody goes, and nothing else."""

import os
import shutil
import time
from pathlib import Path

import pytest

from pipeline.config import RunConfig
from pipeline.gc import DAY, Item, collect, remove, unfinished
from pipeline.workspace import survey
from storyloom.errors import UsageError
from storyloom.fs.atomic import TEMPORARY_SUFFIX
from storyloom.fs.files import files_at
from tests import machine
from tests.machine import NAMES, config, files, manifest, ran
from tests.runs import content_of

TITLES = {f"{number}.bin": f"T{number}" for number in range(5)}


@pytest.fixture
def done(tmp_path: Path) -> Path:
    """A folder in which everything was done."""
    files(tmp_path, [1, 2, 3, 4, 5])
    ran(config(tmp_path))
    return tmp_path


def names(found: dict[str, list[Item]], kind: str) -> set[str]:
    paths = [Path(item.name) for item in found[kind]]
    return {f"{path.parts[-3]}/{path.name.partition('.')[0]}" for path in paths}


def collected(*configs: RunConfig) -> dict[str, list[Item]]:
    found = collect(configs)
    remove(files_at(configs[0].work), found)
    return found


def test_what_a_config_reads_stays(done: Path) -> None:
    before = content_of(done / "work")
    assert collected(config(done)) == {
        "logs": [],
        "units": [],
        "plans and manifests": [],
        "media": [],
        "answers": [],
        "attempts and profiles": [],
    }
    assert content_of(done / "work") == before
    assert ran(config(done)).done == []


def test_tables_and_shards_of_writers_who_were_killed_before_their_mark_go(done: Path) -> None:
    before = content_of(done / "work")
    table = next((done / "work" / "echo").glob("*/part-*.letters.parquet"))
    unit, key, _, kind = table.name.split(".", 3)
    other_table = table.with_name(f"{unit}.{key}.{'0' * 16}.{kind}")
    other_table.write_bytes(b"other")
    group = next(found for found in (done / "work" / "pack").glob("*/group-*") if found.is_dir())
    other_group = group.with_suffix(f".{'0' * 16}")
    shutil.copytree(group, other_group)
    found = collected(config(done))
    work = done / "work"
    assert {item.name for item in found["units"]} == {str(one.relative_to(work)) for one in (other_table, other_group)}
    assert content_of(work) == before
    assert ran(config(done)).done == []


def test_answers_of_models_stay_as_long_as_their_part_is_planned(done: Path) -> None:
    (part, *_) = survey(config(done)).plan.parts
    answers = done / "work" / "answers" / "caption"
    for name in (part, "0000099-0badcafe", "notes"):
        (answers / name).mkdir(parents=True)
        (answers / name / "0123456789abcdef.jsonl").write_text("{}")
    found = collected(config(done))
    assert [item.name for item in found["answers"]] == ["answers/caption/0000099-0badcafe"]
    assert sorted(one.name for one in answers.iterdir()) == sorted([part, "notes"])


def test_units_of_other_settings_go_and_a_run_has_nothing_to_do(done: Path) -> None:
    other = config(done, echo={"prefix": ">"})
    ran(other)
    before = len(list((done / "work" / "echo").iterdir()))
    found = collected(config(done))
    assert (before, len(list((done / "work" / "echo").iterdir()))) == (2, 1)
    assert {item.name.split("/")[-2] for item in found["units"]} & set(NAMES) == {"echo"}
    assert all(item.bytes > 0 for item in found["units"])
    assert ran(config(done)).done == []
    assert "echo" in ran(other).ran


def test_what_another_config_reads_stays_when_it_is_named(done: Path) -> None:
    other = config(done, echo={"prefix": ">"})
    ran(other)
    assert collected(config(done), other)["units"] == []
    assert (ran(config(done)).done, ran(other).done) == ([], [])


def test_units_of_a_file_that_was_replaced_go(done: Path) -> None:
    (done / "3.bin").write_bytes(bytes(30))
    ran(config(done))
    (part,) = survey(config(done)).lines.parts_with(["3.bin"])
    found = collected(config(done))
    assert {f"measure/part-{part}", f"echo/part-{part}"} <= names(found, "units")
    assert ran(config(done)).done == []


def test_the_plan_and_the_units_of_videos_that_left_go(done: Path) -> None:
    (done / "5.bin").write_bytes(bytes(6))
    manifest(done, TITLES | {"5.bin": "T5"})
    ran(config(done))
    (part,) = survey(config(done)).lines.parts_with(["5.bin"])
    manifest(done, TITLES)
    ran(config(done))
    found = collected(config(done))
    assert len([item for item in found["plans and manifests"] if item.name.startswith("plan/")]) == 1
    assert f"measure/part-{part}" in names(found, "units")
    assert ran(config(done)).done == []


def test_a_plan_that_lost_its_first_file_goes_on(done: Path) -> None:
    (done / "5.bin").write_bytes(bytes(6))
    manifest(done, {"5.bin": "T5"})
    ran(config(done))
    collected(config(done))
    assert [file.name for file in sorted((done / "work" / "plan").iterdir())] == ["0000003.parquet"]
    assert ran(config(done)).done == []
    manifest(done, TITLES | {"5.bin": "T5"})
    again = ran(config(done))
    assert again.new_parts == 3
    assert ran(config(done)).done == []


def test_a_file_of_the_plan_whose_slots_are_in_use_stays_so_that_samples_stay(tmp_path: Path) -> None:
    files(tmp_path, [1, 2, 3, 4])
    manifest(tmp_path, {"0.bin": "T0", "1.bin": "T1"})
    ran(config(tmp_path))
    manifest(tmp_path, {f"{number}.bin": f"T{number}" for number in range(4)})
    ran(config(tmp_path))
    manifest(tmp_path, {f"{number}.bin": f"T{number}" for number in range(1, 4)})
    ran(config(tmp_path))
    before = survey(config(tmp_path)).plan
    assert before.first_in_slot == (False, True)
    collected(config(tmp_path))
    assert survey(config(tmp_path)).plan.sample(2) == before.sample(2) == before.parts[1:]


def test_units_stay_while_the_files_of_the_manifest_are_out_of_reach(done: Path) -> None:
    before = content_of(done / "work")
    for number in range(5):
        (done / f"{number}.bin").rename(done / f"{number}.away")
    assert collected(config(done))["units"] == []
    for number in range(5):
        (done / f"{number}.away").rename(done / f"{number}.bin")
    assert content_of(done / "work") == before
    assert ran(config(done)).done == []


def test_units_behind_a_damaged_mark_stay(done: Path) -> None:
    mark = min((done / "work" / "measure").glob("*/part-*.json"))
    mark.write_bytes(b"")
    assert collected(config(done))["units"] == []
    assert {stage for stage, _ in machine.worked(config(done))} == {"measure"}


def test_files_that_the_program_did_not_make_stay(done: Path) -> None:
    work = done / "work"
    foreign = [
        work / "thesis" / "chapters" / "1.tex",
        work / "photos" / "a.jpg",
        work / "media" / "ab" / "holiday.mp4",
        work / "manifests" / "mine.parquet",
        work / "attempts" / "first" / "notes.txt",
        work / "measure" / "old" / "part-1.txt",
    ]
    for file in foreign:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("precious")
    collected(config(done))
    assert [file for file in foreign if not file.exists()] == []


def test_media_of_videos_that_left_goes_and_that_of_others_stays(done: Path) -> None:
    media = done / "work" / "media"
    (video, *_), *_ = survey(config(done)).plan.videos
    gone = "0123456789abcdef0123"
    for key in (video, gone):
        (media / key[:2]).mkdir(parents=True, exist_ok=True)
        (media / key[:2] / f"{key}.mp4").write_bytes(b"media")
        (media / key[:2] / f"{key}-subtitles.vtt").write_bytes(b"cues")
    found = collected(config(done))
    assert {item.name for item in found["media"]} == {f"media/01/{gone}.mp4", f"media/01/{gone}-subtitles.vtt"}
    left = {file.name for file in media.rglob("*") if file.is_file()}
    assert left == {f"{video}.mp4", f"{video}-subtitles.vtt"}


def test_a_link_goes_and_what_it_points_to_stays(done: Path) -> None:
    link = done / "work" / "media" / "01" / "0123456789abcdef0123.mp4"
    link.parent.mkdir(parents=True)
    link.symlink_to(done / "3.bin")
    assert [done / "work" / item.name for item in collected(config(done))["media"]] == [link]
    assert (done / "3.bin").exists()
    assert not link.is_symlink()


def test_a_dry_run_removes_nothing(done: Path) -> None:
    ran(config(done, echo={"prefix": ">"}))
    before = content_of(done / "work")
    assert collect([config(done)])["units"]
    assert content_of(done / "work") == before


def test_folders_of_a_stage_that_is_off_go(done: Path) -> None:
    off = config(done, pack={"enabled": False})
    found = collected(off)
    assert {item.name.split("/")[0] for item in found["units"]} == {"pack"}
    assert ran(off).done == []


def test_a_folder_where_nothing_was_done_has_nothing_to_give(tmp_path: Path) -> None:
    files(tmp_path, [1])
    assert not any(collected(config(tmp_path)).values())
    assert not (tmp_path / "work").exists()


def test_configs_of_different_work_folders_are_refused(done: Path) -> None:
    with pytest.raises(UsageError, match="the configs use different work folders"):
        collect([config(done), config(done, work=str(done / "elsewhere"))])


def test_what_was_collected_can_be_made_again_with_the_same_bytes(done: Path) -> None:
    other = config(done, echo={"prefix": ">"})
    ran(other)
    before = content_of(done / "work")
    collected(config(done))
    ran(other)
    assert content_of(done / "work") == before
    shutil.rmtree(done / "work")
    assert machine.ran(config(done)).ran == set(NAMES)


def test_what_writers_of_other_machines_left_unfinished_long_ago_is_found_in_work_and_output(done: Path) -> None:
    (done / "out").mkdir(exist_ok=True)
    for folder in (done / "work", done / "out"):
        for name, age in (("old", 2 * DAY), ("new", 0.5 * DAY)):
            left = folder / f".{name}.0123456789abcdef.elsewhere.1{TEMPORARY_SUFFIX}"
            left.write_bytes(b"1")
            os.utime(left, (time.time() - age,) * 2)
    found = unfinished([config(done)])
    assert [(files.address, entry.name[:5]) for files, entry in found] == [
        (str(done / "work"), ".old."),
        (str(done / "out"), ".old."),
    ]
