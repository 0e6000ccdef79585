"""`download` done again for a video whose file is there."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from schemas.media import SitePage
from stages.download.sites.fetch import SiteVideo
from tests.downloads import CONTENT, NARRATED, ROOT, SHA256, downloaded, files, left_by, outcome
from tests.http_server import Server, serving
from tests.stages.real_media import made

TALK = "talk-1"


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Another video."""
    return made(tmp_path_factory.mktemp("other") / "v.mp4", "-t", "5", "-i", NARRATED, "-c", "copy").read_bytes()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("path", ["tagged", "tagged_unconditional", "dated", "plain"])
def test_what_the_server_still_has_is_not_fetched_again(media: Path, server: Server, path: str) -> None:
    first = downloaded(media, server.url(path))
    inode = (media / first.media).stat().st_ino
    again = downloaded(media, server.url(path))
    assert again == first
    assert (media / first.media).stat().st_ino == inode
    assert files(media) == left_by(first)


@pytest.mark.parametrize("path", ["tagged", "tagged_unconditional", "dated", "plain"])
def test_a_content_that_changed_is_fetched_under_its_own_name(
    media: Path, server: Server, other: bytes, path: str
) -> None:
    first = downloaded(media, server.url(path))
    server.content = other
    again = downloaded(media, server.url(path))
    assert (again.error, again.warnings, again.sha256) == (None, [], sha256(other))
    assert (media / first.media).read_bytes() == CONTENT
    assert (media / again.media).read_bytes() == other
    assert files(media) == left_by(first, again)


def test_a_content_that_came_back_is_the_one_that_is_asked_about(media: Path, server: Server, other: bytes) -> None:
    for content in (CONTENT, other, CONTENT):
        server.content = content
        assert downloaded(media, server.url("tagged")).sha256 == sha256(content)
    sent = server.sent
    assert downloaded(media, server.url("tagged")).sha256 == SHA256
    assert server.sent == sent


def test_the_tag_of_one_url_is_not_shown_to_another(media: Path, server: Server, other: bytes) -> None:
    downloaded(media, server.url("good.mp4"), source_id=TALK)
    with serving(other) as mirror:  # with the same tag, which says nothing of this server's content
        row = downloaded(media, mirror.url("good.mp4"), source_id=TALK)
        assert mirror.requests[0].if_none_match is None
    assert row.sha256 == sha256(other)


@pytest.mark.parametrize("path", ["tagged", "dated", "plain"])
def test_a_url_that_was_corrected_under_the_same_id_gives_its_own_video(
    media: Path, server: Server, other: bytes, path: str
) -> None:
    """By the query alone, and though the other content has the same size and date."""
    downloaded(media, server.url(f"{path}?id=A"), source_id=TALK)
    server.content = other + bytes(len(CONTENT) - len(other)) if path != "tagged" else other
    row = downloaded(media, server.url(f"{path}?id=B"), source_id=TALK)
    assert (row.error, row.sha256) == (None, sha256(server.content))
    assert "source_unchecked" not in row.warnings


def test_a_renewed_signature_fetches_nothing_anew(media: Path, server: Server) -> None:
    first = downloaded(media, server.url("tagged?key=1"), source_id=TALK)
    sent = server.sent
    assert downloaded(media, server.url("tagged?key=2"), source_id=TALK) == first
    assert server.sent == sent


def test_a_corrected_url_that_fails_never_gives_the_old_video(media: Path, server: Server) -> None:
    downloaded(media, server.url("good.mp4"), source_id=TALK)
    row = downloaded(media, server.url("missing.mp4"), source_id=TALK)
    assert row.error is not None
    assert row.error.code == "not_found"


def test_a_page_of_a_site_that_was_corrected_under_the_same_id_is_fetched(
    media: Path, server: Server, other: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def from_site(url: str, place: Path, *_: object, **__: object) -> SiteVideo:
        place.mkdir()
        (place / "video.mp4").write_bytes(other if url.endswith("B") else CONTENT)
        return SiteVideo(place / "video.mp4", SitePage(site="Youtube", id=url))

    monkeypatch.setattr("stages.download.media.from_site", from_site)
    rows = [downloaded(media, f"https://youtube.com/watch?v={page}", source_id=TALK) for page in "AAB"]
    assert [row.sha256 for row in rows] == [SHA256, SHA256, sha256(other)]


def test_subtitles_that_were_corrected_are_never_those_of_the_old_track(media: Path, tmp_path: Path) -> None:
    talk, old = tmp_path / "talk.mp4", tmp_path / "old.vtt"
    talk.write_bytes(CONTENT)
    old.write_text("WEBVTT\n\n00:00.000 --> 00:05.000\nold words\n")
    first = downloaded(media, str(talk), subtitles=str(old))
    assert first.subtitles
    row = downloaded(media, str(talk), subtitles=str(tmp_path / "new.vtt"))
    assert (row.subtitles, row.warnings) == ("", ["subtitles_unavailable"])


@pytest.mark.parametrize("path", ["expires", "error_later", "cut_later", "page_later"])
def test_the_file_stays_with_a_warning_when_its_source_says_nothing_of_it(
    media: Path, server: Server, other: bytes, path: str
) -> None:
    first = downloaded(media, server.url(path))
    server.content = other
    again = downloaded(media, server.url(path), attempts=2)
    assert again == first.model_copy(update={"warnings": ["source_unchecked"]})
    assert (media / again.media).read_bytes() == CONTENT


def test_the_file_stays_with_a_warning_when_nobody_answers(media: Path) -> None:
    with serving(CONTENT) as server:
        url = server.url("tagged")
        first = downloaded(media, url)
    assert downloaded(media, url, attempts=1) == first.model_copy(update={"warnings": ["source_unchecked"]})


def test_a_private_address_is_refused_for_a_question_too(media: Path, server: Server) -> None:
    downloaded(media, server.url("tagged"))
    row = downloaded(media, server.url("tagged"), allow_private_addresses=False)
    assert row.warnings == ["source_unchecked"]
    assert len(server.requests) == 1


def test_a_damaged_file_is_fetched_again(media: Path, server: Server) -> None:
    first = downloaded(media, server.url("tagged"))
    damaged = bytearray(CONTENT)
    damaged[1000] ^= 1
    (media / first.media).write_bytes(damaged)
    assert downloaded(media, server.url("tagged")) == first
    assert (media / first.media).read_bytes() == CONTENT


def test_a_file_whose_record_is_gone_gets_it_back(media: Path, server: Server) -> None:
    first = downloaded(media, server.url("tagged"))
    expected = left_by(first)
    (media / next(name for name in expected if name.endswith(".source.json"))).unlink()
    assert downloaded(media, server.url("tagged")) == first
    assert files(media) == expected


def test_a_local_file_that_was_replaced_gets_another_name(media: Path, tmp_path: Path, other: bytes) -> None:
    talk = tmp_path / "talk.mp4"
    talk.write_bytes(CONTENT)
    first = downloaded(media, str(talk))
    talk.write_bytes(other)
    again = downloaded(media, str(talk))
    assert (first.sha256, again.sha256) == (SHA256, sha256(other))
    assert first.media != again.media


def test_a_link_to_nothing_is_replaced(media: Path, tmp_path: Path) -> None:
    talk = tmp_path / "talk.mp4"
    talk.write_bytes(CONTENT)
    first = downloaded(media, str(talk), source_id=TALK)
    talk.rename(tmp_path / "moved.mp4")
    assert not (media / first.media).exists()
    again = downloaded(media, str(tmp_path / "moved.mp4"), source_id=TALK)
    assert again == first
    assert (media / again.media).resolve() == tmp_path / "moved.mp4"


def test_a_file_that_is_written_while_it_is_looked_at_can_be_tried_again(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk = tmp_path / "talk.mp4"
    talk.write_bytes(CONTENT)

    def appending(file: Path) -> str:
        with file.open("ab") as still_written:
            still_written.write(b"\0")
        return SHA256

    monkeypatch.setattr("stages.download.media.digest", appending)
    row = downloaded(media, str(talk))
    assert row.error is not None
    assert (row.error.code, row.error.retryable) == ("media_changed", True)
    assert files(media) == []


def test_processes_that_fetch_a_video_at_once_leave_one_file(media: Path, server: Server) -> None:
    script = f"from tests.downloads import *; print(downloaded(Path({str(media)!r}), {server.url('tagged')!r}).sha256)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    workers = [
        subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [worker.communicate()[0].strip() for worker in workers] == [SHA256] * 3
    assert outcome(row := downloaded(media, server.url("tagged"))) == "live"
    assert files(media) == left_by(row)
    assert [folder for folder in media.rglob("*") if folder.is_dir()] == [media / row.video[:2]]


def test_what_killed_workers_left_in_the_cache_goes_after_a_day(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORYLOOM_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "folders" / "0123456789abcdef" / "aa"
    for name in ("old.partial", "new.partial", "resumed.partial"):
        (folder / name).mkdir(parents=True)
        (folder / name / "media").write_bytes(b"half")
    (folder / "old.lock").touch()
    (folder / "new.lock").touch()
    long_ago = time.time() - 25 * 3600
    for path in (*folder.glob("old.partial/*"), *folder.glob("old.*"), folder / "resumed.partial"):
        os.utime(path, (long_ago, long_ago))
    downloaded("memory://what-was-left/media", server.url("tagged"))
    assert sorted(path.name for path in folder.iterdir()) == ["new.lock", "new.partial", "resumed.partial"]
