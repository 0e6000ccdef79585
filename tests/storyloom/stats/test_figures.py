"""The figures of a dataset are those that one works out by hand, and no image is read for them."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from stages.write.stage import WriteConfig
from storyloom.errors import UsageError
from storyloom.format.stored import BadShard
from storyloom.stats import figures
from storyloom.stats.figures import Stats, dataset_stats
from tests.documents import dataset, videos
from tests.storyloom.stats.made import damage_images, small_dataset, with_provenance


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_dataset(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def stats(output: Path) -> Stats:
    return dataset_stats(output)


def test_sums_are_those_of_the_documents(stats: Stats) -> None:
    total = stats.total
    assert (total.documents, total.images, total.texts, total.words) == (3, 6, 6, 16)
    assert total.hours == round((12 + 8 + 4) / 3600, 4)
    assert total.frames_per_minute == 6 / (24 / 60)
    assert total.images_without_text == pytest.approx(2 / 6, abs=1e-4)


def test_names_are_counted_with_the_unknown_one(stats: Stats) -> None:
    assert stats.total.languages == {"de": 1, "en": 2}
    assert stats.total.licenses == {"": 1, "CC-BY-4.0": 2}
    assert stats.total.text_sources == {"asr": 3, "subtitles": 3}


def test_distributions_hold_a_value_per_document_and_per_image_with_a_text(stats: Stats) -> None:
    images, words = stats.total.images_per_document, stats.total.words_per_document
    assert (images.count, images.min, images.p50, images.max, images.mean) == (3, 1, 2, 3, 2)
    assert (words.p5, words.p50, words.p95) == (2, 5, 9)
    assert stats.total.frames_per_minute_per_document.max == 30
    similarity, shift = stats.total.similarity, stats.total.shift
    assert (similarity.count, similarity.min, similarity.p50, similarity.max) == (4, 0.1, 0.2, 0.4)
    assert similarity.mean == 0.25
    assert (shift.count, shift.min, shift.p5, shift.p50, shift.max) == (4, -1.5, -1.5, 0, 0)


def test_a_shift_of_zero_stands_in_the_middle_of_its_bar(stats: Stats) -> None:
    histogram = stats.total.shift.histogram
    assert histogram.edges[0] == -1.75
    assert histogram.edges[-1] == 0.25
    assert histogram.counts == [1, 0, 0, 3]


def test_shards_are_set_against_the_size_that_was_asked_for(tmp_path: Path) -> None:
    published = dataset(tmp_path, [videos(8)], WriteConfig(shard_bytes=30_000))
    output = with_provenance(tmp_path / "out", config={"write": {"shard_bytes": 30_000}})
    sizes = sorted(shard.filesize for shard in published.shards)
    found = dataset_stats(output).total.shards
    assert len(sizes) > 2
    assert (found.count, found.bytes, found.min, found.max) == (len(sizes), sum(sizes), sizes[0], sizes[-1])
    assert found.median == sizes[(len(sizes) - 1) // 2]
    assert (found.target, found.median_share_of_target) == (30_000, round(found.median / 30_000, 4))


def test_splits_add_up_to_the_whole(tmp_path: Path) -> None:
    dataset(tmp_path, [videos(12)], WriteConfig(val_share=0.4))
    stats = dataset_stats(tmp_path / "out")
    assert set(stats.splits) == {"train", "val"}
    for name in ("documents", "images", "texts", "words"):
        assert sum(getattr(one, name) for one in stats.splits.values()) == getattr(stats.total, name)


def test_the_funnel_is_that_of_the_manifest(stats: Stats) -> None:
    videos_row, frames = stats.funnel
    assert (videos_row.what, videos_row.found, videos_row.kept) == ("videos", 4, 2)
    assert (videos_row.dropped, videos_row.failed) == ({"transcribe.no_speech": 1}, {"download.not_found": 1})
    assert (frames.dropped, frames.failed) == ({"low_similarity": 3}, {})


def test_no_image_byte_matters(output: Path, stats: Stats, tmp_path: Path) -> None:
    copy = shutil.copytree(output, tmp_path / "out")
    assert damage_images(copy) > 1000
    assert dataset_stats(copy) == stats


def test_pieces_and_processes_do_not_change_the_result(
    output: Path, stats: Stats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "PIECE", 1)
    assert dataset_stats(output) == stats


def test_a_folder_without_a_dataset_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no finished dataset"):
        dataset_stats(tmp_path)


def broken(output: Path, tmp_path: Path) -> Path:
    """A copy of a dataset, and its shard, which may be written."""
    copy = shutil.copytree(output, tmp_path / "out")
    (shard,) = copy.rglob("*.tar")
    shard.chmod(0o644)
    return shard


def test_an_index_that_counts_otherwise_than_the_manifest_is_named(output: Path, tmp_path: Path) -> None:
    index = broken(output, tmp_path).with_suffix(".tar.idx")
    index.write_bytes(index.read_bytes()[:-8])
    with pytest.raises(BadShard, match=r"shard-000000\.tar\.idx: it has 2 documents, but manifest\.json says 3"):
        dataset_stats(tmp_path / "out")


def test_an_index_that_points_nowhere_is_named(output: Path, tmp_path: Path) -> None:
    index = broken(output, tmp_path).with_suffix(".tar.idx")
    places = np.fromfile(index, "<u8")
    places[1] += 100
    places.tofile(index)
    with pytest.raises(BadShard, match=r"shard-000000\.tar, document 1: no tar header at byte"):
        dataset_stats(tmp_path / "out")


def test_a_document_that_is_no_json_is_named(output: Path, tmp_path: Path) -> None:
    shard = broken(output, tmp_path)
    content = bytearray(shard.read_bytes())
    content[512:515] = b"oh!"
    shard.write_bytes(content)
    with pytest.raises(BadShard, match=r"document 0: .*\.json: Invalid JSON"):
        dataset_stats(tmp_path / "out")


def test_a_shard_that_is_gone_is_named(output: Path, tmp_path: Path) -> None:
    broken(output, tmp_path).unlink()
    with pytest.raises(BadShard, match="cannot be read"):
        dataset_stats(tmp_path / "out")
