"""Media that were replaced under a finished run: what was made of the old ones is stale under every config."""

from pathlib import Path

import pytest

from pipeline.run import Selection, run
from pipeline.status import status
from schemas.rows import DocumentDraft, DocumentFrame, DocumentsRow, DocumentText
from stages.write.stage import VideoDocuments, WriteConfig, write_group
from storyloom.errors import RunFailed
from storyloom.format.sample import FormatError
from storyloom.validate.dataset import validate_dataset
from tests.pictures import largest_difference
from tests.runs import (
    CLIP_SECONDS,
    CLIP_SETTINGS,
    EVERYTHING,
    Finished,
    Recorder,
    clip,
    content_of,
    copy_of,
    demo_config,
    made_by_run,
    run_quietly,
)
from tests.stages.rows import KEY, MANIFEST, frames_row

SMALL = 6.0
"""Mean absolute difference, of 255, that encoding a JPEG makes; another moment of the demo's video makes over 30."""


@pytest.fixture(scope="module")
def a(clips_run: Finished, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Config A over one of the clips, finished."""
    folder = tmp_path_factory.mktemp("a")
    copy_of(clips_run, folder)
    (folder / "clips" / "list.txt").write_text("0.mp4\n")
    config = demo_config(folder, f"manifest={folder / 'clips' / 'list.txt'}", *CLIP_SETTINGS, "filter.threshold=0.0")
    run_quietly(config)
    return Finished(config)


def both(a: Finished, folder: Path) -> tuple[Finished, Finished]:
    """Configs A and B in a folder of their own, which differ from `filter` on; both are finished."""
    copy_of(a, folder)
    lists = f"manifest={folder / 'clips' / 'list.txt'}"
    one = demo_config(folder, lists, *CLIP_SETTINGS, "filter.threshold=0.0")
    other = demo_config(folder, lists, *CLIP_SETTINGS, "filter.threshold=-1.0", f"output={folder / 'out-b'}")
    run_quietly(one)
    run_quietly(other)
    return Finished(one), Finished(other)


def replace_clip(folder: Path) -> None:
    clip(folder / "clips" / "0.mp4", 27.0, CLIP_SECONDS, "-vf", "scale=320:-2")


def assert_true_pictures(finished: Finished) -> None:
    output = Path(finished.config.output)
    assert largest_difference(output, Path(finished.config.work).parent / "clips") < SMALL
    assert validate_dataset(output, deep=True).violations.total == 0


def test_the_shards_of_a_run_hold_the_frames_of_their_times(a: Finished) -> None:
    assert_true_pictures(a)


@pytest.mark.parametrize(
    "selection",
    [
        pytest.param(EVERYTHING, id="run"),
        pytest.param(Selection(force=True), id="force", marks=pytest.mark.slow),
        pytest.param(Selection(retry=True), id="retry", marks=pytest.mark.slow),
    ],
)
def test_what_another_config_did_again_is_stale_under_this_one(
    a: Finished, tmp_path: Path, selection: Selection
) -> None:
    first, second = both(a, tmp_path)
    replace_clip(tmp_path)
    run_quietly(second.config, selection)
    assert_true_pictures(second)
    why = {one.stage: one.why for one in status(first.workspace) if one.to_do}
    assert why == {
        "filter": "align changed, download changed, sample changed, score changed",
        "write": "filter to be done again",
    }
    with pytest.raises(RunFailed, match="write reads what is not done yet: filter "):
        run(first.config, Selection(("write",), force=True), Recorder())
    assert set(made_by_run(first.config)) == {"filter", "write"}
    assert_true_pictures(first)


def test_a_file_that_was_replaced_is_noticed_by_a_plain_run(a: Finished, tmp_path: Path) -> None:
    first, _ = both(a, tmp_path)
    replace_clip(tmp_path)
    (reason,) = {one.why for one in status(first.workspace) if one.stage == "download"}
    assert reason == "manifest or local file changed"
    run_quietly(first.config)
    assert_true_pictures(first)


def test_a_subtitle_file_that_appears_beside_a_video_or_changes_is_noticed_by_a_plain_run(
    a: Finished, tmp_path: Path
) -> None:
    first, _ = both(a, tmp_path)
    track = tmp_path / "clips" / "0.en.vtt"
    for text in ("A cat", "A red cup"):
        track.write_text(f"WEBVTT\n\n00:01.000 --> 00:02.000\n{text}\n")
        assert {"download", "transcribe"} <= set(made_by_run(first.config))
    assert made_by_run(first.config) == {}


def test_a_file_that_was_only_touched_is_looked_at_and_nothing_more(a: Finished, tmp_path: Path) -> None:
    first, _ = both(a, tmp_path)
    before = content_of(first.config.output)
    (tmp_path / "clips" / "0.mp4").touch()
    assert set(made_by_run(first.config)) == {"download"}
    assert content_of(first.config.output) == before


@pytest.mark.parametrize("setting", ["download.max_bytes=99999999", "download.local_root=/"])
def test_a_setting_of_download_that_changes_no_media_runs_download_alone(
    a: Finished, tmp_path: Path, setting: str
) -> None:
    first, _ = both(a, tmp_path)
    before = content_of(first.config.output)
    changed = demo_config(
        tmp_path, f"manifest={first.config.manifest}", *CLIP_SETTINGS, "filter.threshold=0.0", setting
    )
    assert set(made_by_run(changed)) == {"download"}
    documents = content_of(first.config.output)
    shards = {name: digest for name, digest in documents.items() if name.startswith("data")}
    assert shards == {name: digest for name, digest in before.items() if name.startswith("data")}


def test_the_datasets_name_is_on_its_card_without_a_group_written_again(a: Finished, tmp_path: Path) -> None:
    first, _ = both(a, tmp_path)
    named = demo_config(
        tmp_path, f"manifest={first.config.manifest}", *CLIP_SETTINGS, "filter.threshold=0.0", "write.name=cats"
    )
    assert made_by_run(named) == {}
    assert "cats" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("times", "rule"), [((1.0, 5.5), "frame_time"), ((1.0,), "frame_index")], ids=["another time", "fewer frames"]
)
def test_write_refuses_a_frame_that_is_not_the_documents(tmp_path: Path, times: tuple[float, ...], rule: str) -> None:
    frame = DocumentFrame(frame=1, time=5.0, text=0, similarity=0.5, shift=0.0)
    text = DocumentText(start=4.0, end=6.0, text="a few words", source="asr")
    document = DocumentDraft(number=0, start=4.0, end=6.0, language="en", frames=[frame], texts=[text])
    frames = frames_row(times)
    with pytest.raises(FormatError) as refused:
        write_group(
            [VideoDocuments(MANIFEST, DocumentsRow(video=KEY, documents=[document]), lambda: frames)],
            tmp_path,
            WriteConfig(),
            0,
        )
    assert refused.value.rule == rule
    assert list(tmp_path.glob("*.tar")) == []
