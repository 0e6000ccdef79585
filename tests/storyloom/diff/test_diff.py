"""Two datasets beside each other, read from their shards."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from schemas.rows import DocumentDraft
from stages.write.stage import VideoDocuments, WriteConfig
from storyloom.diff.diff import Compared, Difference, diff, pictures_of
from storyloom.diff.show import figures
from storyloom.errors import BadDataset
from storyloom.format.codes import codes_bytes, read_codes
from tests.documents import dataset, document, jpeg, video, with_codes
from tests.storyloom.stats.made import with_provenance


def made(folder: Path, *videos: VideoDocuments, **provenance: object) -> Path:
    dataset(folder, [list(videos)], WriteConfig(shard_bytes=20_000))
    return with_provenance(folder / "out", **provenance) if provenance else folder / "out"


def compared(a: Path | str, b: Path | str, *, pictures: bool = True) -> Difference:
    return diff(Compared(a), Compared(b), pictures=pictures)


def without_frame(one: DocumentDraft, number: int) -> DocumentDraft:
    return one.model_copy(update={"frames": [frame for n, frame in enumerate(one.frames) if n != number]})


def scored(one: DocumentDraft, *scores: float) -> DocumentDraft:
    frames = [frame.model_copy(update={"similarity": score}) for frame, score in zip(one.frames, scores, strict=True)]
    return one.model_copy(update={"frames": frames})


def test_a_dataset_equals_itself_and_itself_in_other_shards(tmp_path: Path) -> None:
    videos = [video(f"v{n}", document(0), document(1, start=50.0)) for n in range(4)]
    made(tmp_path / "a", *videos)
    dataset(tmp_path / "b", [videos[:1], videos[1:]], WriteConfig(shard_bytes=9_000))
    found = compared(tmp_path / "a" / "out", tmp_path / "b" / "out")
    assert found.first.sha256 != found.second.sha256
    assert found.equal
    assert found.same_documents == found.first.documents == 8
    assert (found.same_frames, found.first.words) == (16, 8 * 2 * 5)
    assert found.settings == [] == found.largest


def test_what_a_stricter_threshold_loses_has_its_reason_its_setting_and_its_picture(tmp_path: Path) -> None:
    whole = scored(document(0, frames=3, texts=3), 0.35, 0.22, 0.31)
    pictures = [jpeg(1), jpeg(2), jpeg(3)]
    a = made(tmp_path / "a", video("cup", whole, jpegs=pictures), config={"filter": {"threshold": 0.2, "mode": "clip"}})
    b = made(
        tmp_path / "b",
        video("cup", without_frame(whole, 1), jpegs=pictures),
        config={"filter": {"threshold": 0.3, "mode": "clip"}},
    )
    found = compared(a, b)
    assert [(one.name, one.first, one.second) for one in found.settings] == [("filter.threshold", "0.2", "0.3")]
    assert (found.lost.frames, found.lost.frame_reasons, found.gained.frames) == (1, {"low_score": 1}, 0)
    assert (found.lost.words, found.gained.words, found.lost.changes) == (0, 0, {"frames": 1})
    (lost,) = found.lost_frames
    assert (lost.video, lost.time, lost.score, lost.sentence) == ("cup", 2.5, 0.22, "so here we 0 1")
    assert list(pictures_of(a, found.lost_frames)) == [pictures[1]]
    back = compared(b, a)
    assert (back.gained, back.lost, back.gained_frames) == (found.lost, found.gained, found.lost_frames)


def test_a_video_that_is_gone_takes_documents_frames_and_words_with_it(tmp_path: Path) -> None:
    stays, goes = video("stays", document(0)), video("goes", document(0), document(1, start=40.0))
    found = compared(made(tmp_path / "a", stays, goes), made(tmp_path / "b", stays))
    assert (found.lost.videos, found.lost.documents, found.lost.frames, found.lost.words) == (1, 2, 4, 20)
    assert found.lost.frame_reasons == {"no_video": 4}
    assert found.lost.word_reasons == {"no_video": 20}
    assert found.largest[0].video == "goes"
    assert (found.largest[0].documents, found.largest[0].frames) == ((2, 0), (4, 0))
    assert not found.equal


def test_another_picture_at_the_same_time_is_seen_and_without_pictures_it_is_not(tmp_path: Path) -> None:
    a = made(tmp_path / "a", video("v", document(0), jpegs=[jpeg(1), jpeg(2)]))
    b = made(tmp_path / "b", video("v", document(0), jpegs=[jpeg(1), jpeg(3)]))
    found = compared(a, b)
    assert (found.equal, found.other_pictures, found.lost.changes) == (False, 1, {"pictures": 1})
    quick = compared(a, b, pictures=False)
    assert (quick.equal, quick.pictures_compared) == (True, False)


def recoded(one: VideoDocuments) -> VideoDocuments:
    """The video with other codes of its last frame, of the same shape."""
    assert one.additions.codes is not None
    row = one.additions.codes()
    last = codes_bytes(read_codes(row.npy[-1]) + np.uint16(1))
    other = row.model_copy(update={"npy": [*row.npy[:-1], last]})
    return one._replace(additions=replace(one.additions, codes=lambda: other))


def test_other_codes_of_the_same_pictures_are_seen_and_without_pictures_they_are_not(tmp_path: Path) -> None:
    one = with_codes(video("v", document(0), document(1, start=50.0)))
    a, b = made(tmp_path / "a", one), made(tmp_path / "b", recoded(one))
    found = compared(a, b)
    assert (found.equal, found.other_codes, found.other_pictures) == (False, 1, 0)
    assert (found.lost.changes, found.gained.changes, found.lost.frames) == ({"codes": 1}, {"codes": 1}, 0)
    assert figures(found)[2] == ("frames", 4, 4, 4, 0, 0, "1 with other codes")
    assert compared(a, b, pictures=False).equal


@pytest.mark.parametrize("pictures", [True, False])
def test_a_dataset_without_codes_is_another_than_the_same_with_them(tmp_path: Path, *, pictures: bool) -> None:
    one = video("v", document(0))
    a, b = made(tmp_path / "a", one), made(tmp_path / "b", with_codes(one))
    found = compared(a, b, pictures=pictures)
    assert (found.equal, found.other_codes, found.lost.changes) == (False, 2, {"codes": 1})


def test_the_same_codes_in_other_shards_are_the_same(tmp_path: Path) -> None:
    videos = [with_codes(video(f"v{n}", document(0), document(1, start=50.0))) for n in range(4)]
    a = made(tmp_path / "a", *videos)
    dataset(tmp_path / "b", [videos[:1], videos[1:]], WriteConfig(shard_bytes=9_000))
    for pictures in (True, False):
        assert compared(a, tmp_path / "b" / "out", pictures=pictures).equal


def test_another_title_is_a_detail_and_no_loss(tmp_path: Path) -> None:
    one = video("v", document(0))
    other = one._replace(manifest=one.manifest.model_copy(update={"title": "Another"}))
    found = compared(made(tmp_path / "a", one), made(tmp_path / "b", other))
    assert (found.lost.changed, found.lost.changes, found.lost.frames) == (1, {"details": 1}, 0)


def test_scores_of_another_model_give_no_reason(tmp_path: Path) -> None:
    whole = scored(document(0, frames=3, texts=3), 0.35, 0.22, 0.31)
    a = made(tmp_path / "a", video("cup", whole), revisions={"score": "one@1"})
    b = made(tmp_path / "b", video("cup", without_frame(whole, 1)), revisions={"score": "other@1"})
    found = compared(a, b)
    assert found.lost.frame_reasons == {"unknown": 1}
    assert [one.name for one in found.settings] == ["model of score"]


def test_the_run_s_own_reason_comes_before_what_datasets_can_tell(tmp_path: Path) -> None:
    whole = document(0, frames=3, texts=3)
    a = made(tmp_path / "a", video("cup", whole))
    b = made(tmp_path / "b", video("cup", without_frame(whole, 1)))
    asked: list[tuple[str, float]] = []

    def why(name: str, time: float) -> str:
        asked.append((name, time))
        return "dropped.black"

    found = diff(Compared(a), Compared(b, why))
    assert asked == [("cup", 2.5)]
    assert found.lost.frame_reasons == {"dropped.black": 1}


def test_a_dataset_behind_a_url_is_compared_as_one_in_a_folder(tmp_path: Path) -> None:
    a = made(tmp_path / "a", video("v", document(0)))
    files = MemoryFileSystem()
    files.put(f"{a}/", "/diffed/", recursive=True)
    try:
        found = compared(a, "memory://diffed")
    finally:
        files.rm("/diffed", recursive=True)
    assert found.equal
    assert found.second.address == "memory://diffed"


def test_a_damaged_dataset_ends_the_comparison_and_names_the_shard(tmp_path: Path) -> None:
    a, b = (made(tmp_path / name, video("v", document(0))) for name in "ab")
    manifest = (b / "manifest.json").read_text()
    shard = b / "data/train/shard-000000.tar"
    os.truncate(shard, 700)
    (b / "manifest.json").write_text(manifest.replace(found_sha(manifest), "0" * 64))
    with pytest.raises(BadDataset, match=r"shard-000000\.tar"):
        compared(a, b)


def found_sha(manifest: str) -> str:
    return manifest.split('"sha256": "')[2][:64]
