"""What a part is: its videos' keys. What else a manifest says makes stale what reads it, and nothing more."""

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.run import Selection
from pipeline.workspace import Workspace
from tests.runs import CLIP_SETTINGS, CLIPS, Finished, content_of, copy_of, demo_config, made_by_run

NAMES = [f"{number}.mp4" for number in range(len(CLIPS))]

DOWNLOAD_AND_SAMPLE = Selection(("download", "sample"))


def listed(finished: Finished, rows: Sequence[dict[str, str]], *overrides: str) -> Finished:
    """The same work folder under a manifest beside the clips."""
    folder = Path(finished.config.work).parent
    manifest = folder / "clips" / "list.csv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return Finished(demo_config(folder, f"manifest={manifest}", *CLIP_SETTINGS, *overrides))


def group_of(workspace: Workspace, source_id: str) -> str:
    (part,) = workspace.lines.parts_with([source_id])
    (group,) = (group for group, parts in workspace.job.groups.items() if part in parts)
    return f"group-{group}"


@pytest.fixture
def finished(clips_run: Finished, tmp_path: Path) -> Finished:
    """The run in this folder, its downloads up to date here."""
    copy = copy_of(clips_run, tmp_path)
    made_by_run(copy.config)
    return copy


def test_a_list_that_moved_with_its_media_is_only_downloaded_again(clips_run: Finished, tmp_path: Path) -> None:
    moved = copy_of(clips_run, tmp_path / "elsewhere")
    made = made_by_run(moved.config)
    assert {stage: len(units) for stage, units in made.items()} == {"download": len(CLIPS)}
    assert content_of(moved.config.output) == content_of(clips_run.config.output)


def test_urls_that_changed_under_the_same_ids_keep_every_part(finished: Finished, tmp_path: Path) -> None:
    rows = []
    for name in NAMES:
        shutil.copy(tmp_path / "clips" / name, tmp_path / f"renewed-{name}")
        rows.append({"id": name, "url": str(tmp_path / f"renewed-{name}")})
    renewed = listed(finished, rows)
    before = finished.workspace.plan.parts
    made = made_by_run(renewed.config)
    assert renewed.workspace.plan.parts == before
    assert set(made) == {"download", "write"}  # a document states its video's URL
    assert {document["video_url"] for document in renewed.documents()} == {row["url"] for row in rows}


def test_an_order_of_the_lines_does_not_matter(finished: Finished) -> None:
    assert made_by_run(listed(finished, [{"url": name} for name in reversed(NAMES)]).config) == {}


def test_a_licence_that_was_added_rewrites_the_group_that_holds_the_video(finished: Finished) -> None:
    rows = [{"url": name, "license": "CC-BY-4.0" if name == "2.mp4" else ""} for name in NAMES]
    licensed = listed(finished, rows)
    made = made_by_run(licensed.config)
    assert made == {"write": [group_of(licensed.workspace, "2.mp4")]}
    licences = {document["video_id"]: document["license"] for document in licensed.documents()}
    assert licences == {name: "CC-BY-4.0" if name == "2.mp4" else "" for name in NAMES}


@pytest.mark.parametrize("gone", NAMES)
def test_a_removed_video_rewrites_its_own_group_and_put_back_nothing(finished: Finished, gone: str) -> None:
    before = {document["sample_id"]: document for document in finished.documents()}
    calibrated = finished.workspace.job.results
    group = group_of(finished.workspace, gone)
    output = content_of(finished.config.output)
    fewer = listed(finished, [{"url": name} for name in NAMES if name != gone])
    assert made_by_run(fewer.config) == {"duplicates": ["corpus"], "write": [group]}
    assert fewer.workspace.job.results == calibrated
    assert fewer.documents() != []
    assert all(document == before[document["sample_id"]] for document in fewer.documents())
    assert {document["video_id"] for document in fewer.documents()} == set(NAMES) - {gone}
    assert made_by_run(finished.config) == {}
    assert content_of(finished.config.output) == output


def test_a_video_that_leaves_a_part_of_several_leaves_a_part_of_the_others(tmp_path: Path, clips_run: Finished) -> None:
    copy = copy_of(clips_run, tmp_path)
    shutil.rmtree(copy.config.work)
    both = listed(copy, [{"url": name} for name in NAMES], "parts.videos=2")
    assert {stage: len(units) for stage, units in made_by_run(both.config, DOWNLOAD_AND_SAMPLE).items()} == {
        "download": 2,
        "sample": 2,
    }
    parts = both.workspace.plan.parts
    fewer = listed(copy, [{"url": name} for name in NAMES[1:]], "parts.videos=2")
    made = made_by_run(fewer.config, DOWNLOAD_AND_SAMPLE)
    assert {stage: len(units) for stage, units in made.items()} == {"download": 1, "sample": 1}
    assert len(set(parts) & set(fewer.workspace.plan.parts)) == 1
    assert set(fewer.rows("sample")) == set(NAMES[1:])
