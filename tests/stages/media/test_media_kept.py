"""What becomes of media from the web, and that what is gone comes back as it was, or is said to have changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from schemas.media import MediaRow
from stages.media.source import MediaMissing, reading
from storyloom.fs.files import files_at
from tests.downloads import CONTENT, NARRATED, downloaded, files, stage
from tests.http_server import Server
from tests.stages.real_media import made


def read(media: Path | str, row: MediaRow) -> bytes:
    with reading(files_at(media), row) as file:
        return file.read_bytes()


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Another video."""
    return made(tmp_path_factory.mktemp("other") / "v.mp4", "-t", "5", "-i", NARRATED, "-c", "copy").read_bytes()


def test_what_is_never_kept_lies_in_the_machines_cache_alone(media: Path, server: Server) -> None:
    row = downloaded(media, server.url("tagged"), keep="never")
    assert [name.endswith(".source.json") for name in files(media)] == [True]
    assert read(media, row) == CONTENT
    sent = server.sent
    assert downloaded(media, server.url("tagged"), keep="never") == row
    assert server.sent == sent


def test_what_the_cache_has_no_more_is_fetched_again(media: Path, server: Server, tmp_path: Path) -> None:
    row = downloaded(media, server.url("tagged"), keep="never")
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(MediaMissing):
        read(media, row)
    assert downloaded(media, server.url("tagged"), keep="never") == row
    assert read(media, row) == CONTENT


def test_what_was_used_goes_and_comes_back_the_same(media: Path, server: Server) -> None:
    row = downloaded(media, server.url("tagged"), keep="until_used")
    stage(media, keep="until_used").spent([row])
    assert not (media / row.media).exists()
    with pytest.raises(MediaMissing):
        read(media, row)
    assert downloaded(media, server.url("tagged"), keep="until_used") == row
    assert read(media, row) == CONTENT


def test_what_comes_back_as_another_content_says_so(media: Path, server: Server, other: bytes) -> None:
    row = downloaded(media, server.url("tagged"), keep="until_used")
    stage(media, keep="until_used").spent([row])
    server.content = other
    assert downloaded(media, server.url("tagged"), keep="until_used").warnings == ["source_changed"]


def test_files_of_this_machine_stay_when_they_were_used(media: Path) -> None:
    row = downloaded(media, str(NARRATED), keep="until_used")
    stage(media, keep="until_used").spent([row])
    assert read(media, row) == CONTENT


def test_a_damaged_file_of_the_cache_is_not_read_and_not_kept(media: Path, server: Server, tmp_path: Path) -> None:
    row = downloaded(media, server.url("tagged"), keep="never")
    (cached,) = (tmp_path / "cache" / "files").glob(f"*/{row.sha256}")
    cached.write_bytes(bytes(len(CONTENT)))
    with pytest.raises(MediaMissing):
        read(media, row)
    assert not cached.exists()


@pytest.mark.usefixtures("media")
def test_a_file_that_is_damaged_in_the_cache_alone_is_brought_again(server: Server, tmp_path: Path) -> None:
    media = "memory://damaged-cache/media"
    row = downloaded(media, server.url("tagged"))
    (cached,) = (tmp_path / "cache" / "files").glob(f"*/{row.sha256}")
    cached.unlink()
    cached.write_bytes(bytes(len(CONTENT)))
    assert read(media, row) == CONTENT


@pytest.mark.usefixtures("media")
def test_a_file_that_is_damaged_in_its_store_is_missing_however_often_it_is_brought(
    server: Server, tmp_path: Path
) -> None:
    stored = "memory://damaged-store/media"
    row = downloaded(stored, server.url("tagged"))
    files_at(stored).replace(row.media, bytes(len(CONTENT)))
    shutil.rmtree(tmp_path / "cache" / "files")
    with pytest.raises(MediaMissing):
        read(stored, row)
