"""Publishing in an object store: the bytes of a folder's, the manifest last, one publisher at a time."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import storyloom
from pipeline.config import RunConfig
from pipeline.publish.earlier import OutputOfAnother
from pipeline.publish.publish import OutputNotOurs, publish
from pipeline.run import Selection
from stages.write.stage import VideoDocuments, WriteConfig, write_group
from storyloom.errors import BadDataset, UsageError
from storyloom.format.layout import MARKER, index_name
from storyloom.format.manifest import MANIFEST, Published, finished_dataset
from storyloom.format.shard import Shard
from storyloom.fs import store as fs_store
from storyloom.fs.files import Files, files_at
from storyloom.validate.dataset import validate_dataset
from storyloom.validate.spread import in_this_process
from tests import stores
from tests.documents import PROVENANCE, document, tree, video, videos
from tests.runs import CLIP_SETTINGS, Finished, copy_of, demo_config, run_quietly

pytestmark = pytest.mark.slow

CONFIG = WriteConfig(name="tiny", shard_bytes=20_000, max_images=4, val_share=0.3)
GROUPS = [videos(5), [video(f"other-{n}", document()) for n in range(6)]]


@pytest.fixture(scope="module", params=["seaweed", "moto"])
def store(request: pytest.FixtureRequest) -> Iterator[stores.Store]:
    with getattr(stores, request.param)() as found, pytest.MonkeyPatch.context() as patch:
        for name, value in found.environment.items():
            patch.setenv(name, value)
        yield found


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who gives no sign of life is taken for dead soon."""
    for name, seconds in (("RENEWAL", 0.3), ("LEASE", 2.0), ("SETTLING", 0.2)):
        monkeypatch.setattr(fs_store, name, seconds)


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with the shards of two groups."""
    folder = tmp_path_factory.mktemp("groups")
    for number, some in enumerate(GROUPS):
        write_group(some, folder / f"group-{number}", CONFIG, 7)
    return folder


def shards_of(groups: Path, some: list[list[VideoDocuments]] = GROUPS) -> list[list[Shard]]:
    return [write_group(one, groups / f"group-{number}", CONFIG, 7) for number, one in enumerate(some)]


def published(work: Files, groups: Path, output: Files, some: list[list[VideoDocuments]] = GROUPS) -> Published:
    """Publish the groups that lie in a work folder."""
    shards = shards_of(groups, some)
    folders = [work.within(f"group-{number}") for number in range(len(shards))]
    return publish(shards, folders, work.within("rests"), output, CONFIG, PROVENANCE)


def in_store(groups: Path, store: stores.Store) -> Files:
    """The groups in a work folder of the store."""
    url = store.folder()
    store.files().put(f"{groups}/", f"{url}/", recursive=True)
    return files_at(url)


@pytest.fixture(scope="module")
def local(groups: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of the dataset in a folder, by name."""
    folder = tmp_path_factory.mktemp("local")
    (folder / "work").symlink_to(groups)
    published(files_at(folder / "work"), groups, files_at(folder / "out"))
    return {name: content for name, (content, _) in tree(folder / "out").items()}


def contents(output: Files) -> dict[str, bytes]:
    names = [entry.name for entry in output.tree()]
    return {name: content or b"" for name, content in zip(names, output.read_all(names), strict=True)}


@pytest.mark.parametrize("work", ["disk", "store"])
def test_the_files_are_those_of_a_folder_byte_for_byte(
    work: str, store: stores.Store, groups: Path, local: dict[str, bytes]
) -> None:
    output = files_at(store.folder())
    published(in_store(groups, store) if work == "store" else files_at(groups), groups, output)
    assert contents(output) == local
    assert validate_dataset(output.address, spread=in_this_process).violations.total == 0


def test_publishing_the_same_again_changes_no_file(store: stores.Store, groups: Path) -> None:
    output = files_at(store.folder())
    published(files_at(groups), groups, output)
    before = [(entry, entry.modified) for entry in output.tree()]
    published(files_at(groups), groups, output)
    assert [(entry, entry.modified) for entry in output.tree()] == before


class Watch(threading.Thread):
    """Reads an output all the time, and notes what its manifest lists and is not there as it says."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._files = files_at(url)
        self._ended = threading.Event()
        self.flaws: list[str] = []
        self.seen: set[str] = set()

    def run(self) -> None:
        while not self._ended.is_set():
            self._look()

    def end(self) -> None:
        self._ended.set()
        self.join()

    def _look(self) -> None:
        before = self._files.entry(MANIFEST)
        try:
            found = finished_dataset(self._files.address)
        except UsageError:
            return
        sizes = {entry.name: entry.size for entry in self._files.tree("data")}
        if self._files.entry(MANIFEST) != before:
            return  # it is being replaced, and whoever reads is told so
        self.seen.add(found.sha256)
        self.flaws += [
            shard.file
            for shard in found.shards
            if sizes.get(shard.file) != shard.filesize or index_name(shard.file) not in sizes
        ]


def test_whoever_looks_all_the_time_sees_whole_datasets_alone(
    store: stores.Store, groups: Path, tmp_path: Path
) -> None:
    output = files_at(store.folder())
    watch = Watch(output.address)
    watch.start()
    try:
        first = published(files_at(groups), groups, output)
        grown = [*GROUPS, [video(f"more-{n}", document()) for n in range(4)]]
        second = published(files_at(tmp_path), tmp_path, output, grown)
    finally:
        watch.end()
    assert watch.flaws == []
    assert watch.seen <= {first.sha256, second.sha256}
    assert finished_dataset(output.address) == second


KILLED = """
import os, sys
from pathlib import Path
from pipeline.publish import publish as room
from storyloom.fs.files import files_at
from tests.pipeline.publish.test_stores import published

put, left = room.put, [2]

def dying(source, output):
    left[0] -= 1
    if not left[0]:
        os._exit(9)
    put(source, output)

room.put = dying
published(files_at(sys.argv[1]), Path(sys.argv[1]), files_at(sys.argv[2]))
"""


@pytest.mark.parametrize("store", ["seaweed"], indirect=True)
def test_after_a_killed_publisher_the_next_one_publishes(
    store: stores.Store, groups: Path, local: dict[str, bytes]
) -> None:
    output = files_at(store.folder())
    ended = subprocess.run([sys.executable, "-c", KILLED, str(groups), output.address], check=False)
    assert ended.returncode == 9
    left = contents(output)
    assert MARKER in left
    assert MANIFEST not in left
    with pytest.raises(UsageError, match="no finished dataset"):
        finished_dataset(output.address)
    published(files_at(groups), groups, output)
    assert contents(output) == local


def test_two_publishers_at_once_leave_one_dataset_and_no_mixture(
    store: stores.Store, groups: Path, local: dict[str, bytes]
) -> None:
    url = store.folder()
    work = [in_store(groups, store) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda files: published(files, groups, files_at(url)), work))
    assert done[0] == done[1]
    assert contents(files_at(url)) == local


def test_what_storyloom_did_not_write_is_refused_and_stays(store: stores.Store, groups: Path) -> None:
    output = files_at(store.folder())
    output.replace("notes.txt", b"mine")
    with pytest.raises(OutputNotOurs, match=f"{output.address} is not empty, and storyloom did not write"):
        published(files_at(groups), groups, output)
    assert contents(output) == {"notes.txt": b"mine"}


def test_a_reader_is_told_that_its_dataset_was_replaced(store: stores.Store, groups: Path, tmp_path: Path) -> None:
    output = files_at(store.folder())
    published(files_at(groups), groups, output)
    documents = iter(storyloom.open(output.address))
    next(documents)
    published(files_at(tmp_path), tmp_path, output, [videos(7, words="something else")])
    with pytest.raises(BadDataset, match="is another one since the dataset was replaced"):
        list(documents)


@pytest.mark.parametrize("store", ["seaweed"], indirect=True)
def test_another_s_dataset_is_replaced_only_where_that_is_said(
    store: stores.Store, clips_run: Finished, tmp_path: Path
) -> None:
    url, fewer = store.folder(), "filter.min_words=20"
    run_quietly(over_clips(clips_run, tmp_path / "theirs", url))
    theirs = contents(files_at(url))
    ours = over_clips(clips_run, tmp_path / "ours", url, fewer)
    shutil.rmtree(Path(ours.work, "published"))  # a work folder that never published what is there
    with pytest.raises(
        OutputOfAnother, match=f"{url} holds a dataset of .* made with filter.min_words 1 instead of 20"
    ):
        run_quietly(ours)
    assert contents(files_at(url)) == theirs
    run_quietly(ours, Selection(replace_output=True))
    run_quietly(ours.model_copy(update={"output": str(tmp_path / "beside")}))
    beside = {name: content for name, (content, _) in tree(tmp_path / "beside").items()}
    assert contents(files_at(url)) == beside != theirs


def over_clips(clips_run: Finished, folder: Path, output: str, *settings: str) -> RunConfig:
    """A run of its own work folder over the clips, into a store."""
    copy = copy_of(clips_run, folder)
    places = [f"manifest={copy.config.manifest}", f"work={copy.config.work}", f"output={output}"]
    return demo_config(folder, *places, *CLIP_SETTINGS, *settings)
