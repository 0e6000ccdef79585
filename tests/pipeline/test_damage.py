"""What lies in a work folder may be damaged: a run mends it or names it, and never makes other shards of it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.run import run
from pipeline.status import status
from pipeline.workspace import survey
from storyloom.errors import StoryloomError, UsageError
from tests.runs import EVERYTHING, Finished, Recorder, command, content_of, copy_of, ended, made_by_run, run_quietly

ROW_STAGES = ("download", "transcribe", "sample", "align", "score", "calibrate", "filter")


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0x10
    file.write_bytes(content)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def removed(file: Path) -> None:
    file.unlink()


DAMAGES: tuple[Callable[[Path], None], ...] = (flipped, cut, emptied, removed)


PUBLISHED = (
    "data/train/shard-000000.tar",
    "data/train/shard-000000.tar.idx",
    "data/train/shard-000000.parquet",
    "data/train/sizes.json",
    "wids-train.json",
    "README.md",
    ".nv-meta/.info.json",
)
"""Files of a dataset, but for its manifest."""


@pytest.fixture(scope="module")
def settled(clips_run: Finished, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The run in a folder of its own, its downloads up to date there."""
    copy = copy_of(clips_run, tmp_path_factory.mktemp("settled"))
    run_quietly(copy.config)
    return copy


@pytest.fixture
def work(settled: Finished, tmp_path: Path) -> Finished:
    """The run whose work folder is another copy, with the same media: nothing is to do in it."""
    before = Path(settled.config.work)
    shutil.copytree(before, tmp_path / "work", symlinks=True)
    shutil.copytree(settled.config.output, tmp_path / "out")
    config = settled.config.model_copy(update={"work": str(tmp_path / "work"), "output": str(tmp_path / "out")})
    return Finished(config)


def files_of(finished: Finished, stage: str, pattern: str) -> list[Path]:
    return sorted(Path(finished.config.work).glob(f"{stage}/*/{pattern}"))


def read_again(finished: Finished, stage: str) -> None:
    """Let everything that reads a stage be done again, so that it is read."""
    workspace = finished.workspace
    for reader in workspace.config.graph.names:
        if stage in workspace.config.graph.upstream(reader):
            workspace.invalidate(reader, workspace.units(reader))


def assert_mended(finished: Finished, before: Finished) -> None:
    """A look is no traceback, and a run gives the same shards."""
    assert {one.stage for one in status(survey(finished.config))} == set(finished.config.graph.names)
    run_quietly(finished.config)
    assert content_of(finished.config.output) == content_of(before.config.output)
    assert run_quietly(finished.config).done == []


def test_an_undamaged_copy_has_nothing_to_do(work: Finished, settled: Finished) -> None:
    assert made_by_run(work.config) == {}
    assert content_of(work.config.output) == content_of(settled.config.output)


@pytest.mark.parametrize("stage", ROW_STAGES)
@pytest.mark.slow
def test_parts_that_are_damaged_in_each_way_are_done_again(work: Finished, settled: Finished, stage: str) -> None:
    read_again(work, stage)
    for file, damage in zip(files_of(work, stage, "part-*.rows.parquet"), DAMAGES, strict=False):
        damage(file)
    assert_mended(work, settled)


@pytest.mark.parametrize("stage", ROW_STAGES)
def test_marks_that_are_damaged_in_each_way_are_written_again(work: Finished, settled: Finished, stage: str) -> None:
    for file, damage in zip(files_of(work, stage, "part-*.json"), DAMAGES, strict=False):
        damage(file)
    assert_mended(work, settled)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_result_over_the_corpus_is_made_again(
    work: Finished, settled: Finished, damage: Callable[[Path], None]
) -> None:
    (mark,) = files_of(work, "calibrate", "corpus.*.json")
    read_again(work, "calibrate")
    damage(mark)
    assert_mended(work, settled)


@pytest.mark.parametrize("damage", DAMAGES)
def test_shards_of_groups_that_are_damaged_are_written_again(
    work: Finished, settled: Finished, damage: Callable[[Path], None]
) -> None:
    for what in (
        "train-rest.tar",
        "train-rest.tar.idx",
        "train-rest.parquet",
        "train-000000.tar",
        "train-000000.parquet",
    ):
        damage(files_of(work, "write", f"group-*/{what}")[0])
    shutil.rmtree(work.config.output)
    for merged in files_of(work, "write", "rests"):
        shutil.rmtree(merged)
    assert_mended(work, settled)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_mark_of_a_group_is_written_again(
    work: Finished, settled: Finished, damage: Callable[[Path], None]
) -> None:
    damage(files_of(work, "write", "group-*.json")[0])
    assert_mended(work, settled)


@pytest.mark.parametrize("damage", DAMAGES)
def test_merged_rests_that_are_damaged_are_merged_again(
    work: Finished, settled: Finished, damage: Callable[[Path], None]
) -> None:
    for what in ("rests/*/*.tar", "rests/*/*.tar.idx", "rests/*/*.parquet", "rests/*/*.json"):
        damage(files_of(work, "write", what)[0])
    shutil.rmtree(work.config.output)
    assert_mended(work, settled)


@pytest.mark.parametrize("damage", DAMAGES)
def test_published_files_that_are_damaged_are_put_right(
    work: Finished, settled: Finished, damage: Callable[[Path], None]
) -> None:
    for what in PUBLISHED:
        damage(Path(work.config.output, what))
    assert_mended(work, settled)


def refusal_of(finished: Finished) -> str:
    """What a run refuses its output folder with; empty when it does not."""
    try:
        run_quietly(finished.config)
    except UsageError as refused:
        return str(refused)
    return ""


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_manifest_of_the_output_is_named_with_the_way_out(
    work: Finished, settled: Finished, damage: Callable[[Path], None]
) -> None:
    """Without it nobody can tell whose folder it is, unless it can still be read."""
    damage(Path(work.config.output, "manifest.json"))
    if said := refusal_of(work):
        reason = "storyloom did not write" if damage is removed else "its manifest.json is damaged"
        assert reason in said
        assert f"{work.config.output} is not empty" in said
        assert "Choose another `output`, or empty it" in said
        shutil.rmtree(work.config.output)
    assert_mended(work, settled)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_description_of_a_key_costs_nothing(
    work: Finished, settled: Finished, damage: Callable[[Path], None]
) -> None:
    for file in files_of(work, "*", "stage.json"):
        damage(file)
    assert status(survey(work.config))[0].to_do == 0
    assert made_by_run(work.config) == {}
    assert content_of(work.config.output) == content_of(settled.config.output)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_summaries_are_read_again_from_the_marks(
    work: Finished, settled: Finished, damage: Callable[[Path], None]
) -> None:
    for file in sorted(Path(work.config.work, "summaries").glob("*/*.parquet")):
        damage(file)
    assert_mended(work, settled)


@pytest.mark.parametrize("damage", [flipped, cut, emptied])
def test_a_damaged_plan_is_named_with_the_way_out(
    work: Finished, settled: Finished, damage: Callable[[Path], None]
) -> None:
    (file,) = Path(work.config.work, "plan").glob("*.parquet")
    damage(file)
    with pytest.raises(StoryloomError, match=rf"{file.name}.* is damaged .*; remove it"):
        status(survey(work.config))
    with pytest.raises(StoryloomError, match=rf"{file.name}.* is damaged .*; remove it"):
        run(work.config, EVERYTHING, Recorder())
    file.unlink()
    assert_mended(work, settled)


def test_a_plan_that_is_gone_is_made_again(work: Finished, settled: Finished) -> None:
    shutil.rmtree(Path(work.config.work, "plan"))
    assert_mended(work, settled)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_list_for_workers_is_written_again(
    work: Finished, settled: Finished, damage: Callable[[Path], None]
) -> None:
    for file in Path(work.config.work, "manifests").glob("*.parquet"):
        damage(file)
    read_again(work, "filter")
    assert_mended(work, settled)


@pytest.mark.slow
def test_media_that_are_damaged_in_each_way_or_gone_are_downloaded_again(work: Finished, settled: Finished) -> None:
    several = sorted(Path(work.config.work, "media").glob("*/*.mp4"))
    for media, damage in zip(several, DAMAGES, strict=True):
        content = media.read_bytes()
        media.unlink()  # the link, so that no damage reaches the user's file
        if damage is not removed:
            media.write_bytes(content)
            damage(media)
        for record in media.parent.glob(f"{media.stem}.source.json"):
            if damage is emptied:
                damage(record)
    read_again(work, "download")
    assert_mended(work, settled)


def test_commands_over_a_damaged_folder_end_with_a_message(work: Finished) -> None:
    (file,) = Path(work.config.work, "plan").glob("*.parquet")
    emptied(file)
    for name in ("status", "report", "run"):
        code, said = ended(command(work.config, name))
        assert code in (1, 2), said
        assert str(file) in said
        assert "Traceback" not in said
