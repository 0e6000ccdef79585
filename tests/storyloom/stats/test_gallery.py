"""The documents on a page: which ones, in what order their frames and sentences, and what was dropped."""

from pathlib import Path

import pytest

from pipeline.dropped_frames import check_same_run, dropped_frames
from stages.write.stage import WriteConfig
from storyloom.errors import UsageError
from storyloom.format.manifest import finished_dataset
from storyloom.stats.gallery import gallery, gallery_videos
from storyloom.view.storyboard import Story
from tests.documents import dataset, read_documents, videos
from tests.runs import Finished, demo_config
from tests.storyloom.stats.made import HOSTILE, small_dataset


def stories_of(output: Path, count: int = 24) -> list[Story]:
    return gallery(output, finished_dataset(output), count, {})


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Story]:
    """The stories of the small dataset by title and number."""
    output = small_dataset(tmp_path_factory.mktemp("small"))
    return {f"{one.title}-{one.sample.sample_id[-1]}": one for one in stories_of(output)}


def test_the_documents_are_spread_over_the_shards_and_the_same_every_time(tmp_path: Path) -> None:
    published = dataset(tmp_path, [videos(12)], WriteConfig(shard_bytes=30_000))
    chosen = stories_of(tmp_path / "out", len(published.shards))
    assert len(published.shards) > 3
    assert len({story.shard for story in chosen}) >= len(published.shards) - 1
    assert chosen == stories_of(tmp_path / "out", len(published.shards))


def test_a_small_dataset_is_shown_whole_and_in_its_order(tmp_path: Path) -> None:
    dataset(tmp_path, [videos(3)], WriteConfig())
    keys = [story.sample.sample_id for story in stories_of(tmp_path / "out")]
    assert keys == list(read_documents(tmp_path / "out"))


def test_sentences_stand_below_their_frame_in_reading_order(stories: dict[str, Story]) -> None:
    story = stories["Harbour at dawn-0"]
    shown = [(beat.picture.time if beat.picture else None, [line.text for line in beat.lines]) for beat in story.beats]
    assert shown == [(0.5, ["one two three"]), (4.5, ["four five six"]), (8.5, ["seven eight nine"])]


def test_a_frame_whose_sentence_stands_elsewhere_quotes_it(stories: dict[str, Story]) -> None:
    _, moved, alone = stories["Harbour at dawn-0"].beats
    assert moved.picture is not None
    assert alone.picture is not None
    assert (moved.picture.sentence, moved.picture.shift, moved.lines[0].own) == ("seven eight nine", -1.5, False)
    assert (alone.picture.score, alone.picture.sentence) == (None, "")


def test_only_web_pages_become_links(stories: dict[str, Story]) -> None:
    assert stories["Harbour at dawn-1"].link == "https://example.org/harbour.mp4"
    assert stories[f"{HOSTILE}-0"].link == ""


def test_pictures_beyond_the_budget_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_dataset(tmp_path)
    monkeypatch.setattr("storyloom.stats.gallery.BUDGET", 2500)
    pictures = [beat.picture for story in stories_of(tmp_path / "out") for beat in story.beats if beat.picture]
    assert 0 < sum(bool(picture.source) for picture in pictures) < len(pictures)
    assert sum(len(picture.source) for picture in pictures) < 2500 * 4 / 3 + 40 * len(pictures)


def test_dropped_frames_come_from_the_work_folder_in_time_order(demo_run: Finished) -> None:
    output = Path(demo_run.config.output)
    published = finished_dataset(output)
    dropped_of = dropped_frames(demo_run.workspace, gallery_videos(output, published, 24))
    (story,) = gallery(output, published, 24, dropped_of)
    (row,) = demo_run.rows("filter").values()
    inside = [
        item.time
        for item in row.dropped_items  # type: ignore[attr-defined]
        if item.kind == "frame" and story.sample.doc_start <= item.time <= story.sample.doc_end
    ]
    pictures = [beat.picture for beat in story.beats if beat.picture]
    dropped = [picture for picture in pictures if picture.reason]
    assert [picture.time for picture in dropped] == inside != []
    assert {picture.reason for picture in dropped} == {"low_similarity"}
    assert all(picture.source.startswith("data:image/jpeg;base64,/9j/") for picture in dropped)
    assert [picture.time for picture in pictures] == sorted(picture.time for picture in pictures)


def test_the_work_folder_of_another_run_is_refused(demo_run: Finished) -> None:
    from pipeline.workspace import survey

    output = Path(demo_run.config.output)
    other = demo_config(Path(demo_run.config.work).parent, "filter.false_accept_rate=0.1")
    with pytest.raises(UsageError, match="the dataset was made with another filter"):
        check_same_run(survey(other), finished_dataset(output))
