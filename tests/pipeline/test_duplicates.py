"""One file under several names: said at the end of a run, never in two splits, and counted once on demand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pipeline.config import RunConfig
from tests.runs import CLIP_SETTINGS, Finished, copy_of, demo_config, made_by_run, run_quietly

NAMES = ("0.mp4", "again.mp4", "third.mp4", "fourth.mp4")


def listed(folder: Path, names: tuple[str, ...], *overrides: str) -> RunConfig:
    (folder / "clips" / "list.txt").write_text("\n".join(names) + "\n")
    lists = f"manifest={folder / 'clips' / 'list.txt'}"
    return demo_config(folder, lists, *CLIP_SETTINGS, "filter.threshold=-1.0", *overrides)


@pytest.fixture(scope="module")
def folder(clips_run: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("same")
    copy_of(clips_run, found)
    for name in NAMES[1:]:
        shutil.copy(found / "clips" / NAMES[0], found / "clips" / name)
    return found


def documents(config: RunConfig) -> dict[str, int]:
    manifest = json.loads(Path(config.output, "manifest.json").read_bytes())
    found: dict[str, int] = {}
    for shard in manifest["shards"]:
        found[shard["split"]] = found.get(shard["split"], 0) + shard["nsamples"]
    return found


def test_one_file_under_four_names_is_in_one_split_then_counted_once_and_said(folder: Path) -> None:
    kept = listed(folder, NAMES, "write.val_share=0.5")
    run_quietly(kept)
    (in_one_split,) = documents(kept).values()
    assert in_one_split % 4 == 0
    assert in_one_split > 0
    results = Finished(kept).workspace.job.context.results
    assert len(results["duplicates"].model_dump()["same_as"]) == 3

    dropped = listed(folder, NAMES, "write.val_share=0.5", "filter.duplicates=drop", f"output={folder / 'once'}")
    run_quietly(dropped)
    assert list(documents(dropped).values()) == [in_one_split // 4]
    reasons = [row.dropped.reason for row in Finished(dropped).rows("filter").values() if row.dropped]
    assert reasons == ["duplicate"] * 3


def test_a_line_that_is_added_changes_no_choice_and_does_nothing_again(folder: Path) -> None:
    before = listed(
        folder,
        NAMES[:2],
        "filter.duplicates=drop",
        f"work={folder / 'grows'}",
        f"output={folder / 'grown'}",
        "parts.videos=1",
    )
    run_quietly(before)
    first = Finished(before).rows("filter")
    after = listed(
        folder,
        (NAMES[2], *NAMES[:2]),
        "filter.duplicates=drop",
        f"work={folder / 'grows'}",
        f"output={folder / 'grown'}",
        "parts.videos=1",
    )
    made = made_by_run(after)
    assert {stage: len(units) for stage, units in made.items() if stage in ("filter", "download")} == {
        "download": 1,
        "filter": 1,
    }
    then = Finished(after).rows("filter")
    assert {name: then[name] for name in first} == first
