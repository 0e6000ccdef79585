"""The index: what it holds, that it goes on where it was, and that it is not trusted for another dataset."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.write.stage import WriteConfig
from storyloom.format.manifest import finished_dataset
from storyloom.format.reader import ShardReader
from storyloom.format.shard import Shard
from storyloom.format.stored import StoredDocument
from storyloom.stats.counting import DocumentSums
from storyloom.stats.figures import dataset_stats, figures_of, target_of
from storyloom.stats.flags import Flag
from storyloom.view.dataset import Dataset
from storyloom.view.index_rows import packed, spaced, unpacked
from tests.documents import dataset, tree, videos
from tests.storyloom.stats.made import small_dataset
from tests.storyloom.validate import damage
from tests.storyloom.view.made import browsing, opened

SHARDS = 4


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight documents in four shards."""
    folder = tmp_path_factory.mktemp("four")
    dataset(folder, [videos(4)], WriteConfig(shard_bytes=10_000))
    assert len(finished_dataset(folder / "out").shards) == SHARDS
    return folder / "out"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The shards whose documents were read for an index."""
    seen: list[str] = []
    whole = ShardReader.json_only

    def noted(self: ShardReader, shard: Shard, numbers: range | None = None) -> Iterator[StoredDocument]:
        seen.append(shard.file)
        yield from whole(self, shard, numbers)

    monkeypatch.setattr(ShardReader, "json_only", noted)
    return seen


def test_its_figures_are_those_of_stats(tmp_path: Path) -> None:
    output = small_dataset(tmp_path)
    one = opened(output, tmp_path / "cache")
    sums = one.index.sums()
    total = DocumentSums()
    for some in sums.values():
        total.merge(some)
    assert figures_of(total, one.published.shards, target_of(one.published)) == dataset_stats(output).total


def test_sums_survive_their_packing(tmp_path: Path) -> None:
    one = opened(small_dataset(tmp_path), tmp_path / "cache")
    sums = one.index.sums()["train"]
    again = unpacked(packed(sums))
    assert again.duplicates() == sums.duplicates()
    assert {n: g.distribution() for n, g in again.grids.items()} == {n: g.distribution() for n, g in sums.grids.items()}


def test_a_second_start_reads_no_document(four: Path, tmp_path: Path, read: list[str]) -> None:
    opened(four, tmp_path)
    assert len(set(read)) == SHARDS
    read.clear()
    opened(four, tmp_path)
    assert read == []


def test_a_build_that_was_stopped_goes_on_with_the_next_shard(
    four: Path, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORYLOOM_CACHE", str(tmp_path))
    first = Dataset(four)
    heard = ShardReader.json_only

    def stopped(self: ShardReader, shard: Shard, numbers: range | None = None) -> Iterator[StoredDocument]:
        if shard == first.published.shards[2]:
            first.index._stop.set()
        return heard(self, shard, numbers)

    with monkeypatch.context() as patch:
        patch.setattr(ShardReader, "json_only", stopped)
        first.start(60)
    done = sum(shard.nsamples for shard in first.published.shards[:2])
    assert first.index.progress().done == done
    assert first.find("nothing") is None
    read.clear()
    again = opened(four, tmp_path)
    assert read == [shard.file for shard in again.published.shards[2:]]


def test_a_dataset_that_changed_has_an_index_of_its_own(tmp_path: Path) -> None:
    dataset(tmp_path / "a", [videos(1)], WriteConfig())
    dataset(tmp_path / "b", [videos(2)], WriteConfig())
    first = opened(tmp_path / "a" / "out", tmp_path / "cache")
    shutil.rmtree(tmp_path / "a" / "out")
    (tmp_path / "b" / "out").rename(tmp_path / "a" / "out")
    second = opened(tmp_path / "a" / "out", tmp_path / "cache")
    assert (first.index.progress().total, second.index.progress().total) == (2, 4)
    assert first.index.file != second.index.file


def test_looking_writes_nothing_into_the_dataset(four: Path, tmp_path: Path) -> None:
    before = tree(four)
    opened(four, tmp_path)
    assert tree(four) == before


def test_a_damaged_document_is_counted_and_its_neighbours_are_there(tmp_path: Path) -> None:
    output = small_dataset(tmp_path)
    damage.replace_document(output, b'{"no": "document"}')
    one = opened(output, tmp_path / "cache")
    progress = one.index.progress()
    assert (progress.done, progress.total, progress.damaged) == (3, 3, 1)
    with one.index.reading() as base:
        ((flaw,),) = base.execute("SELECT flaw FROM damaged")
        ((left,),) = base.execute("SELECT count(*) FROM documents")
    assert "document 0" in flaw
    assert left == 2


def test_a_mended_shard_is_read_again(four: Path, tmp_path: Path) -> None:
    output = shutil.copytree(four, tmp_path / "out")
    shard = output / finished_dataset(output).shards[1].file
    away = shard.rename(tmp_path / "away.tar")
    hurt = opened(output, tmp_path / "cache")
    assert hurt.index.progress().damaged == hurt.published.shards[1].nsamples
    hurt.close()
    away.rename(shard)
    assert opened(output, tmp_path / "cache").index.progress().damaged == 0


def test_the_same_words_in_two_documents_are_duplicates(tmp_path: Path) -> None:
    dataset(tmp_path, [videos(2, documents=1)], WriteConfig())
    one = opened(tmp_path / "out", tmp_path / "cache")
    total = DocumentSums()
    total.merge(one.index.sums()["train"])
    assert figures_of(total, one.published.shards, 0).flags[Flag.DUPLICATE] == 2


def test_words_without_spaces_are_found_one_by_one() -> None:
    assert spaced("猫が好き").split() == ["猫", "が", "好", "き"]
    assert spaced("plain words") == "plain words"


@pytest.mark.parametrize("hurt", ["all", "end"])
def test_an_index_that_is_no_database_any_more_is_built_again(tmp_path: Path, hurt: str) -> None:
    output = small_dataset(tmp_path)
    one = opened(output, tmp_path / "cache")
    whole = one.index.file.read_bytes()
    one.close()
    kept = whole[: len(whole) // 4] if hurt == "end" else b""
    one.index.file.write_bytes(kept + b"\xa5" * (len(whole) - len(kept)))
    again = opened(output, tmp_path / "cache")
    assert again.index.progress().damaged == 0
    assert again.index.sums()["train"].documents == 3


def test_an_index_that_is_hurt_while_it_is_shown_is_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORYLOOM_CACHE", str(tmp_path / "cache"))
    one = opened(small_dataset(tmp_path), tmp_path / "cache")
    browser = browsing(one)
    one.index.file.write_bytes(b"\xa5" * one.index.file.stat().st_size)
    answer = browser.get("/documents")
    assert answer.status_code == 500
    assert "It is built again now" in answer.text
    assert "3 documents" in browser.get("/documents").text
