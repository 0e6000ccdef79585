"""Media of a work folder in a store, and media that lie in one: every node reads the bytes that a local run reads.

A node is a cache of its own; real nodes share nothing else.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.media import MediaRow
from schemas.row import Row
from stages.base import Context, Video
from stages.media.source import MediaMissing, reading
from stages.sample.stage import SampleConfig, SampleFrames
from storyloom.fs.files import files_at
from tests import stores
from tests.downloads import CONTENT, NARRATED, ROOT, downloaded, video
from tests.http_server import Server
from tests.stages.real_media import made

pytestmark = pytest.mark.slow

Use = Callable[..., None]
"""Goes on as a node of this name; `room` is the bytes of its cache."""


@pytest.fixture(scope="module")
def store() -> Iterator[stores.Store]:
    with stores.seaweed() as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.environment.items():
            patch.setenv(name, value)
        yield running


@pytest.fixture
def work(store: stores.Store) -> str:
    """A media folder in the store."""
    return f"{store.folder()}/media"


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Use:
    def use(name: str, room: int = 2**30) -> None:
        monkeypatch.setenv("STORYLOOM_CACHE", str(tmp_path / name))
        monkeypatch.setenv("STORYLOOM_CACHE_BYTES", str(room))

    return use


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another video."""
    return made(tmp_path_factory.mktemp("other") / "v.mp4", "-t", "5", "-i", NARRATED, "-c", "copy")


def read(work: str | Path, row: MediaRow) -> bytes:
    with reading(files_at(work), row) as file:
        return file.read_bytes()


def sampled(work: str | Path, row: MediaRow) -> Row:
    """The frames of a row, JPEGs and all, by a stage that is set up anew."""
    stage = SampleFrames(SampleConfig(interval=10.0), Context(0, files_at(work)))
    return stage.guarded(Video(video("").manifest.model_copy(update={"video": row.video}), [row]))


def put(store: stores.Store, file: Path) -> str:
    """The URL of an object with a file's content."""
    url = f"{store.folder()}/talk.mp4"
    store.files().put_file(str(file), url)
    return url


def cached(folder: Path) -> list[Path]:
    return [file for file in folder.glob("files/*/*") if file.suffix != ".lock"]


def test_what_one_node_downloads_another_reads(work: str, node: Use, server: Server, media: Path) -> None:
    local = downloaded(media, server.url("good.mp4"))
    node("a")
    row: Any = downloaded(work, server.url("good.mp4"))
    assert row == local
    node("b")
    assert read(work, row) == CONTENT
    assert sampled(work, row) == sampled(media, local)


def test_the_node_that_downloads_does_not_fetch_back(
    work: str, node: Use, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node("a")
    row = downloaded(work, server.url("good.mp4"))
    monkeypatch.setattr("storyloom.fs.store.StoreFiles._brought", lambda *_: pytest.fail("it was fetched"))
    assert read(work, row) == CONTENT
    assert [file.name for file in cached(tmp_path / "a")] == [row.sha256]


def test_a_local_file_and_its_subtitles_are_sent_whole(work: str, node: Use, tmp_path: Path) -> None:
    shutil.copyfile(NARRATED, tmp_path / "talk.mp4")
    (tmp_path / "talk.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:05.000\nwords\n")
    node("a")
    row = downloaded(work, str(tmp_path / "talk.mp4"), subtitles=str(tmp_path / "talk.vtt"))
    for name in ("talk.mp4", "talk.vtt"):
        (tmp_path / name).unlink()
    node("b")
    assert read(work, row) == CONTENT
    assert files_at(work).read(row.subtitles).endswith(b"words\n")


def test_a_second_download_on_another_node_finds_what_is_there(work: str, node: Use, server: Server) -> None:
    node("a")
    row = downloaded(work, server.url("tagged"))
    sent = server.sent
    node("b")
    assert downloaded(work, server.url("tagged")) == row
    assert server.sent == sent


def test_what_lies_in_a_store_is_not_copied_and_read_once_a_node(
    work: str, node: Use, store: stores.Store, tmp_path: Path, media: Path
) -> None:
    url = put(store, NARRATED)
    local = downloaded(media, str(NARRATED), source_id="talk")
    for number, place in enumerate([work, str(tmp_path / "disk")]):
        node(f"a{number}")
        row = downloaded(place, url, source_id="talk")
        assert row == local
        assert [entry.name.endswith(".source.json") for entry in files_at(place).tree()] == [True]
        node(f"b{number}")
        assert read(place, row) == CONTENT
        (first,) = cached(tmp_path / f"b{number}")
        inode = first.stat().st_ino
        assert sampled(place, row) == sampled(media, local)
        assert [file.stat().st_ino for file in cached(tmp_path / f"b{number}")] == [inode]


def test_an_object_that_was_replaced_is_never_read_from_the_cache(
    work: str, node: Use, store: stores.Store, other: Path
) -> None:
    url = put(store, NARRATED)
    node("a")
    row = downloaded(work, url)
    store.files().put_file(str(other), url)
    with pytest.raises(MediaMissing, match="replaced"):
        read(work, row)
    again = downloaded(work, url)
    assert again.sha256 != row.sha256
    assert read(work, again) == other.read_bytes()
    store.files().rm(url)
    with pytest.raises(MediaMissing, match=url):
        read(work, again)
    gone = downloaded(work, url)
    assert gone.error
    assert gone.error.code == "not_found"


def test_a_node_with_little_room_brings_again_what_it_removed(
    work: str, node: Use, store: stores.Store, other: Path, tmp_path: Path
) -> None:
    node("a")
    rows = [downloaded(work, put(store, file), source_id=file.stem) for file in (NARRATED, other)]
    node("b", room=len(CONTENT) + 1000)
    for row, file in [*zip(rows, (NARRATED, other), strict=True)] * 2:
        assert read(work, row) == file.read_bytes()
        assert len(cached(tmp_path / "b")) == 1


def test_processes_of_a_node_that_want_a_file_at_once_bring_it_once(
    work: str, node: Use, store: stores.Store, tmp_path: Path
) -> None:
    node("a")
    row = downloaded(work, put(store, NARRATED))
    node("b")
    script = (
        "import sys, hashlib; from schemas.media import MediaRow; from stages.media.source import reading\n"
        "from storyloom.fs.files import files_at; from pathlib import Path\n"
        f"with reading(files_at({work!r}), MediaRow.model_validate_json(sys.argv[1])) as file:\n"
        "    print(hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_ino)\n"
    )
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", script, row.model_dump_json()], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    said = {worker.communicate()[0].strip() for worker in workers}
    (file,) = cached(tmp_path / "b")
    assert said == {f"{row.sha256} {file.stat().st_ino}"}


def test_a_file_of_the_cache_that_is_damaged_is_brought_again(
    work: str, node: Use, store: stores.Store, tmp_path: Path
) -> None:
    node("a")
    row = downloaded(work, put(store, NARRATED))
    node("b")
    read(work, row)
    (file,) = cached(tmp_path / "b")
    file.write_bytes(bytes(len(CONTENT)))
    assert read(work, row) == CONTENT
