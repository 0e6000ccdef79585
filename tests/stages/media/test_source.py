"""Media files are read as what `download` described, or not at all."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.media import MediaRow
from stages.base import VideoFailed
from stages.media.source import MediaMissing, MediaSource, address_of, read_record, reading, record_of, source_state
from storyloom.fs.files import files_at
from tests.downloads import CONTENT, SHA256, downloaded
from tests.http_server import Server


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """A local video."""
    file = tmp_path / "talk.mp4"
    file.write_bytes(CONTENT)
    return file


@pytest.fixture
def linked(media: Path, talk: Path) -> MediaRow:
    """What `download` says of it."""
    return downloaded(media, str(talk))


def test_a_record_says_where_a_content_came_from(media: Path, linked: MediaRow, talk: Path, server: Server) -> None:
    record = read_record(files_at(media), record_of(linked.media))
    assert record == MediaSource(
        sha256=SHA256,
        size=len(CONTENT),
        modified_ns=talk.stat().st_mtime_ns,
        url=str(talk.resolve()),
        address=address_of(str(talk.resolve())),
    )
    fetched = downloaded(media, server.url("good.mp4?key=secret").replace("http://", "http://user:word@"))
    record = read_record(files_at(media), record_of(fetched.media))
    assert record is not None
    assert (record.url, record.etag, record.last_modified) == (server.url("good.mp4"), '"v1"', "")


def test_a_file_that_is_what_it_was_is_read(media: Path, linked: MediaRow, server: Server) -> None:
    for row in (linked, downloaded(media, server.url("good.mp4"))):
        with reading(files_at(media), row) as file:
            assert file.read_bytes() == CONTENT


def test_a_file_that_was_only_touched_is_read(media: Path, linked: MediaRow, talk: Path) -> None:
    os.utime(talk, (1, 1))
    with reading(files_at(media), linked) as file:
        assert file.read_bytes() == CONTENT


def replaced(talk: Path) -> None:
    """At a later time, also where the clock of files ticks slower than this test."""
    times = talk.stat()
    talk.write_bytes(CONTENT[:-1] + b"x")
    os.utime(talk, ns=(times.st_atime_ns, times.st_mtime_ns + 10**9))


def replaced_at_the_same_time(talk: Path) -> None:
    times = talk.stat()
    (talk.parent / "new").write_bytes(CONTENT + b"x")
    os.utime(talk.parent / "new", ns=(times.st_atime_ns, times.st_mtime_ns))
    (talk.parent / "new").replace(talk)


@pytest.mark.parametrize("change", [replaced, replaced_at_the_same_time])
def test_a_local_file_that_was_replaced_is_not_read(
    media: Path, linked: MediaRow, talk: Path, change: Callable[[Path], None]
) -> None:
    change(talk)
    with pytest.raises(VideoFailed, match="run again: download notices") as failed, reading(files_at(media), linked):
        pytest.fail("it was read")
    assert (failed.value.code, failed.value.retryable) == ("media_changed", True)
    assert str(talk) in failed.value.message


@pytest.mark.parametrize("change", [replaced, replaced_at_the_same_time])
def test_a_local_file_that_is_replaced_under_a_decoder_is_said_whatever_the_decoder_made_of_it(
    media: Path, linked: MediaRow, talk: Path, change: Callable[[Path], None]
) -> None:
    def decode() -> None:
        with reading(files_at(media), linked):
            change(talk)
            raise VideoFailed("picture_undecodable", "half of one video and half of another")

    with pytest.raises(VideoFailed) as failed:
        decode()
    assert (failed.value.code, failed.value.retryable) == ("media_changed", True)


def without_link(file: Path) -> None:
    file.unlink()


def without_target(file: Path) -> None:
    file.resolve().unlink()


def record_file(file: Path) -> Path:
    return file.parent / record_of(file.name)


def without_record(file: Path) -> None:
    record_file(file).unlink()


def with_a_torn_record(file: Path) -> None:
    record_file(file).write_bytes(record_file(file).read_bytes()[:40])


@pytest.mark.parametrize("loss", [without_link, without_target, without_record, with_a_torn_record])
def test_what_is_gone_is_for_the_machine_to_bring_back(
    media: Path, linked: MediaRow, loss: Callable[[Path], None]
) -> None:
    loss(media / linked.media)
    with pytest.raises(MediaMissing) as missing, reading(files_at(media), linked):
        pytest.fail("it was read")
    assert (missing.value.video, missing.value.path) == (linked.video, str(media / linked.media))
    assert not isinstance(missing.value, VideoFailed)


@pytest.mark.parametrize("loss", [without_link, without_target])
def test_what_goes_under_a_decoder_is_for_the_machine_to_bring_back(
    media: Path, linked: MediaRow, loss: Callable[[Path], None]
) -> None:
    with pytest.raises(MediaMissing), reading(files_at(media), linked):
        loss(media / linked.media)


def test_a_fetched_file_that_was_damaged_is_for_the_machine_to_bring_back(media: Path, server: Server) -> None:
    row = downloaded(media, server.url("good.mp4"))
    (media / row.media).write_bytes(CONTENT[:-1])
    with pytest.raises(MediaMissing), reading(files_at(media), row):
        pytest.fail("it was read")
    assert downloaded(media, server.url("good.mp4")) == row
    with reading(files_at(media), row) as file:
        assert file.read_bytes() == CONTENT


def test_a_file_that_another_error_has_nothing_to_do_with_is_not_blamed(media: Path, linked: MediaRow) -> None:
    with pytest.raises(FileNotFoundError, match="elsewhere"), reading(files_at(media), linked):
        Path("/elsewhere").read_bytes()


def test_what_is_missing_can_be_told_to_another_process() -> None:
    missing = pickle.loads(pickle.dumps(MediaMissing("0" * 20, "media/00/x.mp4")))
    assert (missing.video, missing.path) == ("0" * 20, "media/00/x.mp4")
    assert "media/00/x.mp4" in str(missing)


def test_the_state_of_a_source_changes_with_its_file(tmp_path: Path, talk: Path) -> None:
    link = tmp_path / "link.mp4"
    link.symlink_to(talk)
    before = source_state(str(link))
    assert before == f"{len(CONTENT)}:{talk.stat().st_mtime_ns}"
    assert (
        source_state(f"file://{tmp_path}/talk.mp4") == source_state(f"FILE://localhost{tmp_path}/t%61lk.mp4") == before
    )
    replaced(talk)
    assert source_state(str(link)) not in (before, "missing")
    talk.unlink()
    assert source_state(str(link)) == "missing"


@pytest.mark.parametrize(
    "url", ["nu\0ll.mp4", "file://otherhost/talk.mp4", "file://[::1/talk.mp4", "/nowhere/talk.mp4"]
)
def test_a_path_that_leads_nowhere_has_a_state_too(url: str) -> None:
    assert source_state(url) == "missing"


def test_a_server_is_not_asked_for_the_state_of_its_file(server: Server) -> None:
    assert source_state(server.url("good.mp4")) == source_state("s3://bucket/talk.mp4") == ""
    assert server.requests == []


def a_link_to_another_at_its_time(talk: Path, outside: Path) -> None:
    times = talk.stat()
    os.utime(outside, ns=(times.st_atime_ns, times.st_mtime_ns))
    talk.unlink()
    talk.symlink_to(outside)


def a_folder_on_its_way_that_leads_to_another_at_its_time(talk: Path, outside: Path) -> None:
    times = talk.stat()
    os.utime(outside, ns=(times.st_atime_ns, times.st_mtime_ns))
    talk.parent.rename(talk.parent.with_name("away"))
    talk.parent.symlink_to(outside.parent)


@pytest.mark.parametrize("swap", [a_link_to_another_at_its_time, a_folder_on_its_way_that_leads_to_another_at_its_time])
def test_a_file_that_was_swapped_for_a_link_is_not_read_though_size_and_time_are_the_same(
    media: Path, tmp_path: Path, swap: Callable[[Path, Path], None]
) -> None:
    inside, outside = tmp_path / "inside" / "talk.mp4", tmp_path / "outside" / "talk.mp4"
    for file in (inside, outside):
        file.parent.mkdir()
    inside.write_bytes(CONTENT)
    outside.write_bytes(CONTENT[:-1] + b"x")
    row = downloaded(media, str(inside), local_root=str(inside.parent))
    swap(inside, outside)
    with pytest.raises(VideoFailed) as failed, reading(files_at(media), row):
        pytest.fail("it was read")
    assert failed.value.code == "media_changed"


def test_what_is_swapped_under_a_decoder_is_not_read(media: Path, linked: MediaRow, talk: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    seen = []

    def decode() -> None:
        with reading(files_at(media), linked) as file:
            talk.unlink()
            talk.symlink_to(secret)
            seen.append(file.read_bytes())

    with pytest.raises(VideoFailed, match="replaced"):
        decode()
    assert seen == [CONTENT]


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(media: Path, linked: MediaRow, talk: Path) -> None:
    talk.unlink()
    os.mkfifo(talk)
    with pytest.raises(VideoFailed, match="replaced"), reading(files_at(media), linked):
        pytest.fail("it was read")
