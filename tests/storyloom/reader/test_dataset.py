"""Documents of a finished dataset: split, shuffled, resumed, local or remote."""

from __future__ import annotations

import itertools
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from stages.write.stage import WriteConfig
from storyloom.errors import BadDataset, UsageError
from storyloom.fs import folder
from storyloom.fs.folder import DataFolder
from storyloom.fs.ranges import ByteRange
from storyloom.reader import BadShard, Document, DocumentDataset, shards
from tests.documents import dataset, document, jpeg, read_documents, video
from tests.storyloom.reader.folder_server import serving_folder


def keys(documents: Any) -> list[str]:
    return [document.key for document in documents]


def test_unshuffled_documents_come_as_the_shards_hold_them(out: Path) -> None:
    for split in ("train", "val"):
        assert keys(DocumentDataset(out, split)) == list(read_documents(out / "data" / split))


@settings(max_examples=12)
@given(world_size=st.integers(1, 4), workers=st.integers(0, 2), shuffle=st.booleans(), epoch=st.integers(0, 2))
def test_ranks_and_workers_together_read_every_document_once(
    out: Path, *, world_size: int, workers: int, shuffle: bool, epoch: int
) -> None:
    read: Counter[str] = Counter()
    for rank in range(world_size):
        documents = DocumentDataset(out, shuffle=shuffle, window=7, rank=rank, world_size=world_size)
        documents.set_epoch(epoch)
        found = keys(DataLoader(documents, batch_size=None, num_workers=workers))
        assert len(found) == len(documents)
        read.update(found)
    assert read == Counter(read_documents(out / "data" / "train").keys())


@settings(max_examples=30)
@given(
    data=st.data(),
    world_size=st.integers(1, 3),
    shuffle=st.booleans(),
    window=st.integers(1, 40),
    epoch=st.integers(0, 2),
)
def test_a_stopped_reader_goes_on_with_the_next_document(
    out: Path, *, data: st.DataObject, world_size: int, shuffle: bool, window: int, epoch: int
) -> None:
    rank = data.draw(st.integers(0, world_size - 1))

    def new() -> DocumentDataset:
        return DocumentDataset(out, shuffle=shuffle, window=window, rank=rank, world_size=world_size)

    first = new()
    first.set_epoch(epoch)
    uninterrupted = list(first)
    stop = data.draw(st.integers(0, len(uninterrupted)))
    before = list(itertools.islice(first, stop))
    state = first.state_dict()
    second = new()
    second.load_state_dict(state)
    assert second.state_dict() == state
    assert before + list(second) == uninterrupted


def test_after_a_resumed_epoch_the_next_one_is_whole(out: Path) -> None:
    documents = DocumentDataset(out, shuffle=True)
    next(iter(documents))
    documents.load_state_dict(documents.state_dict())
    assert len(list(documents)) == len(documents) - 1
    documents.set_epoch(1)
    assert len(list(documents)) == len(documents)


def test_an_epoch_has_its_own_order_also_in_workers_that_stay(out: Path) -> None:
    documents = DocumentDataset(out, shuffle=True)
    loader = DataLoader(documents, batch_size=None, num_workers=1, persistent_workers=True)
    epochs = []
    for epoch in (0, 1, 0):
        documents.set_epoch(epoch)
        epochs.append(keys(loader))
    assert epochs[0] == epochs[2] != epochs[1]
    assert sorted(epochs[0]) == sorted(epochs[1])


def test_rank_and_world_size_come_from_the_environment(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert keys(DocumentDataset(out)) == keys(DocumentDataset(out, rank=1, world_size=3))


def test_rank_and_world_size_come_from_torch_distributed(out: Path, tmp_path: Path) -> None:
    import torch.distributed as dist

    early = DocumentDataset(out)
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        assert len(DocumentDataset(out)) == len(early)
    finally:
        dist.destroy_process_group()


def test_a_dataset_that_torch_distributed_contradicts_says_so(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch.distributed as dist

    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    documents = DocumentDataset(out)
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        with pytest.raises(UsageError, match=r"made for rank 1 of 2, but torch\.distributed says 0 of 1"):
            iter(documents)
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"split": "val"}, "split"),
        ({"shuffle": True}, "shuffle"),
        ({"seed": 1}, "seed"),
        ({"window": 5}, "window"),
        ({"rank": 1, "world_size": 2}, "rank"),
    ],
)
def test_a_state_of_another_order_is_refused(out: Path, changed: dict[str, Any], name: str) -> None:
    state = DocumentDataset(out, rank=0, world_size=2).state_dict()
    other = {"rank": 0, "world_size": 2} | changed
    with pytest.raises(UsageError, match=f"saved with {name} = "):
        DocumentDataset(out, **other).load_state_dict(state)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": 0}, "window is 0"),
        ({"rank": 0}, "both rank and world_size"),
        ({"rank": 2, "world_size": 2}, "rank is 2"),
        ({"split": "test"}, "no split 'test', only train, val"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(out: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        DocumentDataset(out, **arguments)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("nowhere", "there is no such folder"),
        ("config.yaml", "it is a file; give"),
        ("work", "it is a work folder; give"),
    ],
)
def test_what_is_there_instead_of_a_dataset_is_said(tmp_path: Path, place: str, said: str) -> None:
    (tmp_path / "config.yaml").touch()
    for name in ("plan", "manifests"):
        (tmp_path / "work" / name).mkdir(parents=True)
    with pytest.raises(UsageError, match=f"{place} holds no finished dataset: {said}"):
        DocumentDataset(tmp_path / place)


def test_a_folder_without_a_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no finished dataset: there is no manifest\.json"):
        DocumentDataset(tmp_path)
    (tmp_path / "manifest.json").write_text('{"schema": "storyloom/9"}')
    with pytest.raises(BadDataset, match=r"manifest\.json is damaged or of another version"):
        DocumentDataset(tmp_path)


@pytest.mark.parametrize("workers", [0, 2])
def test_reading_over_http_equals_reading_the_folder(out: Path, workers: int) -> None:
    with serving_folder(out) as server:
        remote = DocumentDataset(server.url, shuffle=True, seed=3)
        local = DocumentDataset(out, shuffle=True, seed=3)
        loaders = [DataLoader(one, batch_size=None, num_workers=workers) for one in (remote, local)]
        assert list(loaders[0]) == list(loaders[1])
        assert server.sent["data/train/shard-000000.tar"] <= (out / "data/train/shard-000000.tar").stat().st_size


def test_a_share_over_http_fetches_no_more_than_its_documents(out: Path) -> None:
    with serving_folder(out) as server:
        documents = list(DocumentDataset(server.url, rank=0, world_size=8))
        tars = sum(size for name, size in server.sent.items() if name.endswith(".tar"))
    images = sum(len(frame.jpeg) for document in documents for frame in document.frames)
    assert images < tars < 3 * images


@pytest.mark.parametrize("shuffle", [False, True])
def test_each_index_is_fetched_once_by_all_that_read_ahead(out: Path, *, shuffle: bool) -> None:
    with serving_folder(out) as server:
        read = list(DocumentDataset(server.url, shuffle=shuffle))
        sent = {name: size for name, size in server.sent.items() if name.endswith(".idx")}
    assert len(read) > shards.READ_AHEAD
    assert sent == {f"data/train/{one.name}": one.stat().st_size for one in (out / "data/train").glob("*.idx")}


def test_no_document_waits_for_an_index_that_could_have_been_read_before(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "READ_AHEAD", 1)
    monkeypatch.setattr(shards, "IN_FLIGHT", 2)
    read: list[tuple[str, str]] = []
    as_it_is = DataFolder.read

    def noting(self: DataFolder, ranges: Sequence[ByteRange]) -> list[bytes | Exception]:
        read.extend((one.file, threading.current_thread().name) for one in ranges if one.file.endswith(".idx"))
        return as_it_is(self, ranges)

    monkeypatch.setattr(DataFolder, "read", noting)
    assert len(list(DocumentDataset(out))) > 4 * shards.IN_FLIGHT
    indexes = {f"data/train/{one.name}" for one in (out / "data/train").glob("*.idx")}
    assert sorted(file for file, _ in read) == sorted(indexes)
    assert {thread for _, thread in read} == {"storyloom-index"}


def test_reading_from_memory_equals_reading_the_folder(out: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(out), "/dataset", recursive=True)
    assert list(DocumentDataset("memory://dataset")) == list(DocumentDataset(out))


def test_a_server_that_fails_for_a_moment_loses_nothing(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "PAUSE", 0.01)
    with serving_folder(out) as server:
        server.failures.update({"manifest.json": 1, "data/train/shard-000000.tar": 3})
        assert list(DocumentDataset(server.url)) == list(DocumentDataset(out))


@pytest.mark.parametrize("place", [0, -1])
def test_an_index_that_a_server_refuses_is_asked_for_no_more_often_than_another_file(
    out: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    """A server that hangs would be waited for as often."""
    monkeypatch.setattr(folder, "PAUSE", 0.01)
    monkeypatch.setattr(shards, "READ_AHEAD", 1)
    monkeypatch.setattr(shards, "IN_FLIGHT", 2)
    index = sorted(f"data/train/{one.name}" for one in (out / "data/train").glob("*.idx"))[place]
    with serving_folder(out) as server:
        server.failures[index] = 1000
        with pytest.raises(BadShard, match=f"{index}: cannot be read"):
            list(DocumentDataset(server.url, shuffle=False))
        assert 1000 - server.failures[index] == folder.ATTEMPTS


def test_a_server_that_ignores_ranges_is_named(out: Path) -> None:
    with serving_folder(out) as server:
        server.ignores_ranges = True
        with pytest.raises(BadShard, match=r"shard-000000\.tar, document 0: .* ignores byte ranges"):
            list(DocumentDataset(server.url))


@pytest.fixture
def copy(out: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(out, tmp_path / "copy"))


def overwrite(file: Path, data: bytes) -> None:
    file.unlink()  # the copy is read-only in the archive's sense, not the file's; a new file breaks no link
    file.write_bytes(data)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_shard_that_is_cut_off_is_named_with_its_document(copy: Path, workers: int) -> None:
    shard = copy / "data/train/shard-000002.tar"
    overwrite(shard, shard.read_bytes()[:6000])
    with pytest.raises(BadShard, match=r"shard-000002\.tar, document \d+: .* the shard is cut off"):
        list(DataLoader(DocumentDataset(copy), batch_size=None, num_workers=workers))


def test_a_shard_with_other_bytes_is_named_with_its_document(copy: Path) -> None:
    shard = copy / "data/train/shard-000001.tar"
    overwrite(shard, bytes(shard.stat().st_size))
    with pytest.raises(BadShard, match=r"shard-000001\.tar, document 0: no tar header .* sha256"):
        list(DocumentDataset(copy))


def test_a_shard_that_is_gone_is_named(copy: Path) -> None:
    (copy / "data/train/shard-000001.tar").unlink()
    with pytest.raises(BadShard, match=r"shard-000001\.tar, document 0: cannot be read: there is no such file\."):
        list(DocumentDataset(copy))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (None, r"idx: cannot be read: there is no such file; no shard is complete without it"),
        (b"\0" * 8, r"idx: it has 0 documents, but manifest\.json says \d+"),
        ("zeros", r"idx: its offsets do not rise"),
    ],
)
def test_an_index_that_does_not_fit_is_named(copy: Path, index: bytes | str | None, message: str) -> None:
    file = copy / "data/train/shard-000000.tar.idx"
    size = file.stat().st_size
    file.unlink()
    if index is not None:
        file.write_bytes(index if isinstance(index, bytes) else bytes(size))
    with pytest.raises(BadShard, match=rf"shard-000000\.tar\.{message}"):
        list(DocumentDataset(copy))


def test_documents_pass_through_a_batch_with_a_list_as_collate_function(out: Path) -> None:
    batches = list(DataLoader(DocumentDataset(out), batch_size=4, collate_fn=list))
    assert all(isinstance(one, Document) for batch in batches for one in batch)
    assert [one.key for batch in batches for one in batch] == keys(DocumentDataset(out))


def test_documents_before_a_damaged_one_are_given(out: Path, tmp_path: Path) -> None:
    shutil.copytree(out, tmp_path / "cut")
    shard = sorted((tmp_path / "cut" / "data" / "train").glob("*.tar"))[1]
    whole = keys(DocumentDataset(out))
    with shard.open("r+b") as file:
        file.truncate(shard.stat().st_size // 2)
    given: list[str] = []
    with pytest.raises(BadShard, match="the shard is cut off") as failure:
        given.extend(document.key for document in DocumentDataset(tmp_path / "cut"))
    first = len(read_documents(min((out / "data" / "train").glob("*.tar"))))
    broken = int(str(failure.value).split("document ")[1].split(":")[0])
    assert given == whole[: first + broken]
    assert broken > 0


@pytest.mark.parametrize("at_once", [1, shards.READ_AHEAD])
def test_documents_before_a_damaged_index_are_given(
    copy: Path, out: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(shards, "READ_AHEAD", at_once)
    monkeypatch.setattr(shards, "IN_FLIGHT", 2)
    (copy / "data/train/shard-000001.tar.idx").unlink()
    given: list[str] = []
    with pytest.raises(BadShard, match=r"shard-000001\.tar\.idx"):
        given.extend(document.key for document in DocumentDataset(copy))
    first = len(read_documents(out / "data/train/shard-000000.tar"))
    assert given == keys(DocumentDataset(out))[:first]


def test_what_is_read_ahead_is_bounded_in_bytes_where_documents_are_of_very_different_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = [jpeg(n, 640, 480) for n in range(4)]
    small = [video(f"a{n}", document(frames=1, texts=1)) for n in range(200)]
    longer = [video(f"b{n}", document(frames=4), jpegs=large) for n in range(60)]
    dataset(tmp_path, [small, longer], WriteConfig(name="sizes"))
    monkeypatch.setattr(shards, "BYTES_AHEAD", 2 * sum(map(len, large)))  # 16 documents, by their mean
    monkeypatch.setattr(shards, "IN_FLIGHT", 4)
    monkeypatch.setattr("storyloom.format.reader.BATCH_BYTES", sum(map(len, large)))
    lock, read = threading.Lock(), [0]
    as_it_is = DataFolder.read

    def noting(self: DataFolder, ranges: Sequence[ByteRange]) -> list[bytes | Exception]:
        found = as_it_is(self, ranges)
        with lock:
            read[0] += sum(len(one) for one in found if isinstance(one, bytes))
        return found

    monkeypatch.setattr(DataFolder, "read", noting)
    taken = most = 0
    for one in DocumentDataset(tmp_path / "out"):
        time.sleep(0.001)
        most = max(most, read[0] - taken)
        taken += sum(len(frame.jpeg) for frame in one.frames)
    assert most < 5 * 4 * sum(map(len, large))


def test_a_server_that_hangs_does_not_keep_an_interrupted_process(out: Path) -> None:
    code = (
        "import sys; from storyloom.reader import DocumentDataset\n"
        "for one in DocumentDataset(sys.argv[1]): print(one.key, flush=True)"
    )
    with serving_folder(out) as server:
        server.hangs = {f"data/train/{max((out / 'data/train').glob('*.tar')).name}"}
        command = [sys.executable, "-c", code, server.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline()
            process.send_signal(signal.SIGINT)
            try:
                _, said = process.communicate(timeout=20)  # else it waits for a minute
            finally:
                process.kill()
    assert b"KeyboardInterrupt" in said
