"""Which change makes what stale: keys of stages, keys of units, and what a run does after each."""

import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import RunConfig
from pipeline.lineage import StageKey, stage_keys, unit_key, what_changed, with_fields_of
from pipeline.run import Selection
from pipeline.status import StageStatus, status
from pipeline.workspace import survey
from schemas.manifest import ManifestRow
from tests import machine
from tests.machine import CONTEXT, Echo, Measure, Pack, config, files, manifest, ran, worked

EVERY = set(machine.NAMES)


def status_of(found: RunConfig, name: str) -> StageStatus:
    (one,) = (one for one in status(survey(found)) if one.stage == name)
    return one


def keys(folder: Path, **changes: Any) -> dict[str, str]:
    return {name: one.key for name, one in stage_keys(config(folder, **changes), CONTEXT).items()}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


def test_a_stages_key_changes_with_its_own_config_alone(tmp_path: Path) -> None:
    assert changed(keys(tmp_path), keys(tmp_path, measure={"most": 7})) == {"measure"}
    assert changed(keys(tmp_path), keys(tmp_path, echo={"prefix": ">"})) == {"echo"}


def test_a_setting_that_changes_no_output_changes_no_key(tmp_path: Path) -> None:
    operational = {
        "measure": {"patience": 9},
        "echo": {"loud": True},
        "share": {"resources": {"cpus": 4}},
        "runner": {"kind": "ray", "profile": True},
        "parts": {"videos": 3, "group": 5},
        "output": "elsewhere",
    }
    assert keys(tmp_path) == keys(tmp_path, **operational)


def test_a_stages_key_changes_with_its_revision(tmp_path: Path) -> None:
    assert changed(keys(tmp_path), keys(tmp_path, echo={"model": "large"})) == {"echo"}


def test_a_models_content_counts_and_not_only_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys(tmp_path)
    monkeypatch.setattr(Echo, "revision", lambda _: "small@2")
    assert changed(before, keys(tmp_path)) == {"echo"}


def test_a_stages_key_changes_with_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys(tmp_path)
    monkeypatch.setattr(Measure, "version", 2)
    assert changed(before, keys(tmp_path)) == {"measure"}


def test_the_seed_counts_where_something_is_drawn(tmp_path: Path) -> None:
    assert changed(keys(tmp_path), keys(tmp_path, seed=1)) == {"echo"}


def test_a_units_key_changes_with_its_stage_and_with_every_input() -> None:
    whole = unit_key("stage", {"measure": "a", "total": "b"})
    assert whole == unit_key("stage", {"total": "b", "measure": "a"})
    others = [
        unit_key("other", {"measure": "a", "total": "b"}),
        unit_key("stage", {"measure": "b", "total": "a"}),
        unit_key("stage", {"measure": "a"}),
    ]
    assert len({whole, *others}) == 4


def test_a_stage_sees_only_the_fields_of_the_manifest_that_it_names() -> None:
    line = ManifestRow(
        video="0" * 20,
        url="v.mp4",
        folder="/f",
        source_id="x",
        subtitles="v.vtt",
        other_subtitles=["v.fr.vtt"],
        title="T",
        language="en",
        license="L",
    )
    hidden = {"url": "", "folder": "", "source_id": "", "subtitles": "", "other_subtitles": [], "language": ""}
    assert with_fields_of(Pack, line) == line.model_copy(update=hidden | {"title": ""})
    assert with_fields_of(Echo, line) == line.model_copy(update=hidden | {"license": ""})


def test_what_changed_is_said_in_words() -> None:
    def ingredients(**changes: Any) -> dict[str, Any]:
        whole = {"stage": "echo", "version": 1, "layout": 1, "config": {"prefix": ""}, "revision": "small@1", "seed": 0}
        return StageKey("", whole | changes).ingredients

    new = ingredients(version=2, layout=2, config={"prefix": ">", "new": [1]}, revision="é", seed=1)
    assert what_changed(ingredients(), new) == (
        'echo.prefix "" → ">", echo.new null → [1], code version 1 → 2,'
        ' names of its files 1 → 2, model or tool "small@1" → "é", seed 0 → 1'
    )
    assert what_changed(ingredients(), ingredients()) == ""


@pytest.fixture
def done(tmp_path: Path) -> Path:
    """A folder in which everything was done, in two groups."""
    files(tmp_path, [1, 2, 3, 4, 5])
    assert ran(config(tmp_path)).ran == EVERY
    return tmp_path


TITLES = {f"{number}.bin": f"T{number}" for number in range(5)}


def test_doing_all_again_does_nothing(done: Path) -> None:
    assert ran(config(done)).done == []


def test_a_limit_that_leaves_out_nothing_runs_its_own_stage_and_no_other(done: Path) -> None:
    changed_limit = config(done, measure={"most": 500})
    assert status_of(changed_limit, "measure").why == "measure.most 1000 → 500"
    assert [stage for stage, _ in worked(changed_limit)] == ["measure"] * 3
    assert ran(config(done)).done == []


def test_a_part_that_comes_out_differently_makes_stale_what_was_made_of_it(done: Path) -> None:
    made = [stage for stage, _ in worked(config(done, measure={"most": 4}))]
    assert {stage: made.count(stage) for stage in set(made)} == {
        "measure": 3,
        "echo": 1,
        "total": 2,
        "share": 3,
        "pack": 2,
    }  # the total is another one, which every share reads


def test_a_title_runs_what_reads_it_for_its_part_alone(done: Path) -> None:
    manifest(done, TITLES | {"3.bin": "another"})
    assert [stage for stage, _ in worked(config(done))] == ["echo", "pack", "share"]
    assert machine.rows(config(done), "share", machine.ShareRow)["3.bin"].letters == len("another4")


def test_a_title_with_as_many_letters_stops_where_only_letters_are_counted(done: Path) -> None:
    manifest(done, TITLES | {"3.bin": "t3"})
    assert [stage for stage, _ in worked(config(done))] == ["echo", "pack", "share"]


def test_a_licence_runs_the_group_that_holds_it_alone(done: Path) -> None:
    manifest(done, TITLES, {"3.bin": "CC0"})
    assert [stage for stage, _ in ran(config(done)).done] == ["pack"]


def test_a_field_that_nothing_reads_runs_nothing(done: Path) -> None:
    list_csv = done / "list.csv"
    list_csv.write_text(
        "\n".join(f"{line},{'language' if not n else 'en'}" for n, line in enumerate(list_csv.read_text().splitlines()))
    )
    assert ran(config(done)).done == []


def test_the_order_of_the_manifest_and_a_repeated_line_run_nothing(done: Path) -> None:
    head, *lines = (done / "list.csv").read_text().splitlines()
    (done / "list.csv").write_text("\n".join([head, *reversed(lines), lines[0]]))
    again = ran(config(done))
    assert (again.done, len(again.told)) == ([], 1)


def test_a_moved_folder_with_its_manifest_looks_at_its_files_anew_and_does_nothing_else(done: Path) -> None:
    (done / "moved").mkdir()
    for file in [*done.glob("*.bin"), done / "list.csv"]:
        file.rename(done / "moved" / file.name)
    assert [stage for stage, _ in worked(config(done, manifest=str(done / "moved" / "list.csv")))] == ["measure"] * 3
    assert len(list((done / "work" / "plan").iterdir())) == 1


def test_a_file_that_was_touched_is_looked_at_again_and_no_more(done: Path) -> None:
    os.utime(done / "3.bin", (1.0, 1.0))
    assert status_of(config(done), "measure").why == "manifest or local file changed"
    assert [stage for stage, _ in worked(config(done))] == ["measure"]


def test_a_file_that_was_replaced_is_said_and_everything_made_of_it_is_made_again(done: Path) -> None:
    (done / "3.bin").write_bytes(bytes(30))
    assert status_of(config(done), "measure").why == "manifest or local file changed"
    assert status_of(config(done), "echo").why == "measure to be done again"
    made = [stage for stage, _ in worked(config(done))]
    assert {stage: made.count(stage) for stage in EVERY} == {"measure": 1, "echo": 1, "total": 2, "share": 3, "pack": 2}
    assert machine.rows(config(done), "echo", machine.EchoRow)["3.bin"].said == "T330"


def test_a_part_done_again_under_another_config_makes_this_one_stale(done: Path) -> None:
    # Config A ran, B shares all but a late stage; the file is replaced and B is forced: A is not up to date.
    other = config(done, echo={"prefix": ">"})
    ran(other)
    (done / "3.bin").write_bytes(bytes(30))
    ran(other, Selection(force=True))
    assert status_of(config(done), "echo").to_do == 1
    assert "echo" in {stage for stage, _ in worked(config(done))}
    (row,) = [row for url, row in machine.rows(config(done), "echo", machine.EchoRow).items() if url == "3.bin"]
    assert row.said == "T330"


def test_a_removed_video_leaves_other_parts_and_groups_alone(done: Path) -> None:
    before = survey(config(done))
    part = next(part for part in before.plan.parts if len(before.plan.members[part]) == 2)
    gone, stays = (line.url for line in before.lines[part])
    apart = {"total": {"enabled": False}, "share": {"enabled": False}, "pack": {"enabled": False}}
    manifest(done, {url: title for url, title in TITLES.items() if url != gone})
    again = survey(config(done), write=True)
    made = worked(config(done, **apart))
    (left,) = again.lines.parts_with([stays])
    assert made == [("echo", left), ("measure", left)]
    assert list(again.job.groups) == list(before.job.groups)


def test_a_stage_that_is_off_costs_and_writes_nothing(tmp_path: Path) -> None:
    files(tmp_path, [1, 2])
    off = {name: {"enabled": False} for name in ("share", "pack")}
    assert ran(config(tmp_path, **off)).ran == {"measure", "echo"}  # nothing reads the corpus step
    assert sorted(folder.name for folder in (tmp_path / "work").iterdir() if folder.name in EVERY) == [
        "echo",
        "measure",
    ]


def test_the_result_over_the_corpus_is_made_again_where_parts_were_added_and_old_rows_stay(done: Path) -> None:
    (done / "5.bin").write_bytes(bytes(6))
    (done / "6.bin").write_bytes(bytes(7))
    manifest(done, TITLES | {"5.bin": "T5", "6.bin": "T6"})
    again = ran(config(done))
    assert again.new_parts == 1
    assert [unit for stage, unit in again.done if stage == "total"][-1] == "corpus"
    assert len([unit for stage, unit in again.done if stage == "total"]) == 2
    assert survey(config(done)).job.results["total"].value == machine.TotalSize(size=28)
