"""What lies in an output is not overwritten in silence: refused where it is another's, told where it is one's own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.preview import preview
from pipeline.progress.pace import Pace
from pipeline.publish.earlier import OutputOfAnother
from pipeline.publish.run import look_at_output
from pipeline.run import Selection, run
from pipeline.status import status
from tests.runs import CLIP_SETTINGS, Finished, Recorder, content_of, copy_of, demo_config, run_quietly

FEWER = "filter.min_words=20"


@pytest.fixture(scope="module")
def kept(clips_run: Finished, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished run, and its dataset, at which tests only look."""
    copy = copy_of(clips_run, tmp_path_factory.mktemp("kept"))
    run_quietly(copy.config)
    return copy


@pytest.fixture
def own(clips_run: Finished, tmp_path: Path) -> Finished:
    """A finished run, and its dataset, to change."""
    copy = copy_of(clips_run, tmp_path / "own")
    run_quietly(copy.config)
    return copy


def with_settings(run: Finished, *overrides: str) -> Finished:
    config = run.config
    places = [f"{name}={getattr(config, name)}" for name in ("manifest", "work", "output")]
    return Finished(demo_config(Path(config.work).parent, *places, *CLIP_SETTINGS, *overrides))


def state(run: Finished) -> str:
    return look_at_output(run.workspace, status(run.workspace)).state


def told(run: Finished) -> list[str]:
    """What a run would say of its output."""
    recorder = Recorder()
    preview(run.config, Selection(), recorder)
    return [note for note in recorder.notes if note.startswith(str(run.config.output))]


def test_a_finished_run_has_its_output_up_to_date_and_says_nothing(kept: Finished) -> None:
    assert (state(kept), told(kept)) == ("up to date", [])


def test_another_setting_replaces_ones_own_output_and_says_what_was_there(own: Finished) -> None:
    changed = with_settings(own, FEWER)
    assert state(changed) == "out of date"
    documents = len(own.documents())
    (note,) = told(changed)
    holds = f"{own.config.output} holds a dataset of {documents} documents"
    assert note == f"{holds}, made with filter.min_words 1 instead of 20: to be replaced"
    run_quietly(changed.config)
    assert state(changed) == "up to date"
    assert state(own) == "out of date"  # though every stage of it is up to date
    (note,) = told(own)
    assert "made with filter.min_words 20 instead of 1: to be replaced" in note
    run_quietly(own.config)
    assert state(own) == "up to date"


def test_the_dataset_of_another_work_folder_is_kept_unless_it_is_given_up(kept: Finished, tmp_path: Path) -> None:
    other = with_settings(kept, FEWER, f"work={tmp_path / 'other'}")
    before = content_of(kept.config.output)
    for attempt in (run_quietly, lambda config: preview(config, Selection(), Recorder())):
        with pytest.raises(OutputOfAnother, match=r"not known to have published, made with filter\.min_words 1"):
            attempt(other.config)
    assert content_of(kept.config.output) == before
    assert not (tmp_path / "other").exists()
    recorder = Recorder()
    preview(other.config, Selection(replace_output=True), recorder)
    assert any(note.endswith(": to be replaced") for note in recorder.notes)


def test_the_dataset_of_other_videos_is_kept_even_from_the_same_work_folder(kept: Finished, tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    shutil.copy(Path(kept.config.manifest) / "0.mp4", tmp_path / "others" / "another.mp4")
    with pytest.raises(OutputOfAnother, match="of other videos"):
        preview(with_settings(kept, f"manifest={tmp_path / 'others'}").config, Selection(), Recorder())


def some_of(run: Finished, folder: Path, *left_out: str) -> str:
    """A list of the clips of a run but for some, as an override."""
    clips = [file for file in sorted(Path(run.config.manifest).iterdir()) if file.name not in left_out]
    lines = "".join(f'{{"url": "{file}", "id": "{file.name}"}}\n' for file in clips)
    (folder / "some.jsonl").write_text(lines)
    return f"manifest={folder / 'some.jsonl'}"


def test_a_work_folder_that_has_some_of_the_videos_keeps_the_dataset_of_another(kept: Finished, tmp_path: Path) -> None:
    fewer = with_settings(kept, some_of(kept, tmp_path, "0.mp4"), f"work={tmp_path / 'other'}")
    with pytest.raises(OutputOfAnother, match="of another list of videos"):
        run_quietly(fewer.config)


def test_documents_of_videos_that_left_the_list_are_told_before_they_go(kept: Finished, tmp_path: Path) -> None:
    gone = sum(one["video_id"] == "0.mp4" for one in kept.documents())
    assert gone > 0
    (note,) = told(with_settings(kept, some_of(kept, tmp_path, "0.mp4")))
    assert f"; {gone} of them are of videos that are no longer in the list: to be replaced" in note
    assert told(with_settings(kept, some_of(kept, tmp_path))) == []


def test_a_dataset_that_cannot_be_read_is_kept_but_for_the_work_folder_that_published_there(
    own: Finished, tmp_path: Path
) -> None:
    manifest = Path(own.config.output, "manifest.json")
    manifest.write_text(manifest.read_text().replace("storyloom/2", "storyloom/99"))
    other = with_settings(own, f"work={tmp_path / 'other'}")
    with pytest.raises(OutputOfAnother, match="cannot be read, damaged or of another version"):
        run_quietly(other.config)
    run_quietly(own.config)
    assert state(own) == "up to date"


def test_the_same_run_in_a_new_work_folder_may_publish_where_it_did(own: Finished) -> None:
    shutil.rmtree(own.config.work)
    assert told(own) == []


def test_a_run_with_nothing_to_do_says_that_it_publishes_what_is_not_there(own: Finished) -> None:
    shutil.rmtree(own.config.output)
    assert state(own) == "none"
    assert told(own) == [f"{own.config.output} is not up to date: to be published"]


def test_a_dataset_that_is_published_meanwhile_is_kept(own: Finished, tmp_path: Path) -> None:
    """Another run published after this one looked."""
    changed = with_settings(own, FEWER)
    published = Path(own.config.work, "published")

    class Meanwhile(Recorder):
        def started(self, logs: str, pace: Pace) -> None:
            shutil.rmtree(published)

    before = content_of(own.config.output)
    with pytest.raises(OutputOfAnother):
        run(changed.config, Selection(), Meanwhile())
    assert content_of(own.config.output) == before
