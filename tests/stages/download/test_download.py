from __future__ import annotations

import hashlib
import os
import resource
import socket
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.manifest import ManifestRow
from schemas.media import MediaRow
from stages.base import Video
from stages.download.fetch import local_file
from stages.download.settings import DownloadConfig
from stages.download.stage import Download
from stages.media.held import Held
from stages.media.subtitles.tracks import MAX_BYTES
from tests.downloads import CONTENT, EDGE, NARRATED, SHA256, downloaded, files, left_by, outcome, stage, video
from tests.http_server import Server, serving
from tests.stages.real_media import made


def test_a_local_file_is_linked_and_not_copied(media: Path) -> None:
    row = downloaded(media, str(NARRATED))
    link = media / row.media
    assert row.media == f"{row.video[:2]}/{row.video}-{SHA256[:12]}.mp4"
    assert link.is_symlink()
    assert link.resolve() == NARRATED.resolve()
    assert (row.sha256, row.size) == (SHA256, len(CONTENT))
    assert (row.has_audio, row.has_video, row.warnings) == (True, True, [])
    assert files(media) == left_by(row)


def test_a_file_url_may_have_escapes(media: Path, tmp_path: Path) -> None:
    spaced = tmp_path / "a talk #1.mp4"
    spaced.symlink_to(NARRATED)
    assert outcome(downloaded(media, f"file://{tmp_path}/a%20talk%20%231.mp4")) == "live"
    assert outcome(downloaded(media, f"FILE://localhost{tmp_path}/a%20talk%20%231.mp4")) == "live"


def test_a_relative_path_starts_at_the_working_directory(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(NARRATED.parent)
    assert downloaded(media, "narrated.mp4").sha256 == SHA256


def test_a_link_follows_when_the_path_of_a_video_changes(media: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved.mp4"
    moved.write_bytes(CONTENT)
    before = downloaded(media, str(NARRATED), source_id="talk-1")
    after = downloaded(media, str(moved), source_id="talk-1")
    assert after == before
    assert (media / after.media).resolve() == moved.resolve()


@pytest.mark.parametrize(
    ("url", "code", "says"),
    [
        ("{tmp}/nothing.mp4", "not_found", "nothing.mp4"),
        ("file:///nowhere/nothing.mp4", "not_found", "/nowhere/nothing.mp4"),
        ("{tmp}/nu\0ll.mp4", "not_found", "nu\\x00ll"),
        ("{tmp}", "not_a_file", "folder"),
        ("/dev/zero", "not_a_file", "no regular file"),
        ("file://otherhost/video.mp4", "bad_url", "another machine"),
        ("ftp://example.org/video.mp4", "scheme_refused", "download.schemes"),
        ("simplecache::http://127.0.0.1/video.mp4", "not_found", "simplecache"),
        ("http://[::1/video.mp4", "bad_url", "not a URL"),
        ("http:///video.mp4", "bad_url", "not a URL"),
    ],
)
def test_what_cannot_be_a_video_is_said_at_once(media: Path, tmp_path: Path, url: str, code: str, says: str) -> None:
    row = downloaded(media, url.replace("{tmp}", str(tmp_path)))
    assert row.error is not None
    assert (row.error.stage, row.error.code, row.error.retryable) == ("download", code, False)
    assert says in row.error.message
    assert files(media) == []


def test_links_in_a_circle_are_not_found(media: Path, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").symlink_to(tmp_path / "b.mp4")
    (tmp_path / "b.mp4").symlink_to(tmp_path / "a.mp4")
    assert outcome(downloaded(media, str(tmp_path / "a.mp4"))) == "not_found"


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_forbidden(media: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked.mp4"
    locked.write_bytes(CONTENT)
    locked.chmod(0)
    assert outcome(downloaded(media, str(locked))) == "forbidden"


def test_local_files_stay_under_the_root_also_through_links(media: Path, tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    for folder in (inside, outside):
        (folder / "talk.mp4").write_bytes(CONTENT)
    (inside / "way_out.mp4").symlink_to(outside / "talk.mp4")
    rows = [
        downloaded(media, url, local_root=str(inside))
        for url in (f"{inside}/talk.mp4", f"{inside}/way_out.mp4", f"{inside}/../outside/talk.mp4", "/etc/passwd")
    ]
    assert [outcome(row) for row in rows] == ["live", "outside_root", "outside_root", "outside_root"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nasa_noaudio.mp4", "live"),
        ("audio_only_dts_speech.mp4", "live"),
        ("nasa_webm_named.mp4", "live"),
        ("no_duration.webm", "live"),
        ("nasa_truncated_nomoov.mp4", "unreadable_media"),
        ("random_bytes.mp4", "not_media"),
        ("zero_bytes.mp4", "not_media"),
        ("html_error_page.mp4", "not_media"),
    ],
)
def test_only_media_gets_into_the_media_folder(media: Path, name: str, expected: str) -> None:
    if not EDGE.is_dir():
        pytest.skip("the edge files in ../shared/data are not here")
    row = downloaded(media, str(EDGE / name))
    assert outcome(row) == expected
    assert files(media) == (left_by(row) if expected == "live" else [])


def test_videos_outside_the_bounds_are_dropped_with_the_measured_value(media: Path) -> None:
    row = downloaded(media, str(NARRATED), max_duration=2.0)
    assert row.dropped is not None
    assert row.dropped.reason == "too_long"
    assert "download.max_duration = 2" in row.dropped.detail
    assert outcome(downloaded(media, str(NARRATED), min_duration=9999.0)) == "too_short"
    assert outcome(downloaded(media, str(NARRATED), max_bytes=1000)) == "too_large"
    assert files(media) == []


@pytest.mark.parametrize("path", ["good.mp4", "endless.mp4"])
def test_a_file_over_the_cap_is_dropped_whether_or_not_its_length_is_stated(
    media: Path, server: Server, path: str
) -> None:
    assert outcome(downloaded(media, server.url(path), max_bytes=200_000)) == "too_large"
    assert files(media) == []


def test_a_dropped_download_leaves_no_file(media: Path, server: Server) -> None:
    assert outcome(downloaded(media, server.url("good.mp4"), max_duration=1.0)) == "too_long"
    assert files(media) == []


def test_one_bad_video_costs_its_neighbours_nothing(media: Path, server: Server) -> None:
    paths = ["good.mp4?1", "gone.mp4", "cut_once.mp4", "page.mp4", "good.mp4?2"]
    videos = [video(server.url(path)) for path in paths]
    rows = list(stage(media, allow_private_addresses=True).process(videos))
    assert [row.video for row in rows] == [one.key for one in videos]
    assert [row.error.code if row.error else "" for row in rows] == ["", "not_found", "", "not_media", ""]


def test_a_host_is_asked_for_no_more_than_its_share_at_once(media: Path, server: Server) -> None:
    videos = [video(server.url(f"slow?{number}")) for number in range(6)]
    list(stage(media, allow_private_addresses=True, concurrency=6, per_host=2).process(videos))
    assert len(server.requests) == 6
    assert server.most_at_once <= 2


def test_settings_of_how_to_fetch_make_nothing_stale() -> None:
    assert DownloadConfig(attempts=9, concurrency=9, timeout=9.0).identity() == DownloadConfig().identity()
    assert DownloadConfig(max_duration=9.0).identity() != DownloadConfig().identity()


def test_workers_that_race_on_a_video_agree(media: Path, server: Server) -> None:
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda _: downloaded(media, server.url("good.mp4")), range(4)))
    assert {row.sha256 for row in rows} == {SHA256}
    assert files(media) == left_by(rows[0])


TRACK = "WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n"


def subtitled(media: Path, subtitles: str, url: str = str(NARRATED), **config: Any) -> MediaRow:
    """The row of a video whose manifest names a subtitle track."""
    manifest = video(url).manifest.model_copy(update={"subtitles": subtitles})
    row = stage(media, **{"allow_private_addresses": True, **config}).guarded(Video(manifest, []))
    assert isinstance(row, MediaRow)
    assert row.live, row.error or row.dropped
    return row


def track_name(row: MediaRow, track: bytes, extension: str) -> str:
    return f"{row.video[:2]}/{row.video}-subtitles-{hashlib.sha256(track).hexdigest()[:12]}.{extension}"


def test_a_local_track_is_copied_beside_the_media(media: Path, tmp_path: Path) -> None:
    (tmp_path / "talk.en.SRT").write_text(TRACK)
    row = subtitled(media, str(tmp_path / "talk.en.SRT"))
    assert row.subtitles == track_name(row, TRACK.encode(), "srt")
    assert (media / row.subtitles).read_text() == TRACK
    assert (row.warnings, row.sha256) == ([], SHA256)


def test_a_track_that_changed_gets_another_name(media: Path, tmp_path: Path) -> None:
    track = tmp_path / "talk.vtt"
    track.write_text(TRACK)
    before = subtitled(media, str(track))
    track.write_text(TRACK.replace("Hello", "Goodbye"))
    after = subtitled(media, str(track))
    assert (media / before.subtitles).read_text() == TRACK
    assert "Goodbye" in (media / after.subtitles).read_text()


def test_every_file_beside_a_video_is_copied_but_those_that_cannot_be(media: Path, tmp_path: Path) -> None:
    for name in ("talk.de.srt", "talk.en.srt"):
        (tmp_path / name).write_text(TRACK.replace("Hello", name))
    others = [str(tmp_path / name) for name in ("gone.srt", "talk.en.srt")]
    manifest = video(str(NARRATED)).manifest
    both = manifest.model_copy(update={"subtitles": str(tmp_path / "talk.de.srt"), "other_subtitles": others})
    row = stage(media).guarded(Video(both, []))
    assert isinstance(row, MediaRow)
    assert "talk.de" in (media / row.subtitles).read_text()
    assert ["talk.en" in (media / file).read_text() for file in row.other_subtitles] == [True]
    assert row.warnings == ["subtitles_unavailable"]


def test_a_further_file_that_changes_makes_the_download_stale(tmp_path: Path) -> None:
    track = tmp_path / "talk.en.srt"
    track.write_text(TRACK)
    line = video(str(NARRATED)).manifest.model_copy(update={"other_subtitles": [str(track)]})
    before = Download.outside(line)
    track.write_text(TRACK + TRACK)
    assert Download.outside(line) != before


def test_a_relative_track_starts_at_the_manifest_s_folder(media: Path, tmp_path: Path) -> None:
    (tmp_path / "talk.vtt").write_text(TRACK)
    manifest = ManifestRow(video="0" * 20, url=str(NARRATED), folder=str(tmp_path), source_id="x", subtitles="talk.vtt")
    row = stage(media).guarded(Video(manifest, []))
    assert isinstance(row, MediaRow)
    assert (media / row.subtitles).read_text() == TRACK


def test_a_track_is_never_taken_for_the_media(media: Path) -> None:
    with serving(TRACK.encode()) as tracks, serving(CONTENT) as videos:
        rows = [subtitled(media, tracks.url("good.vtt"), videos.url("good.mp4")) for _ in range(2)]
    assert rows[0] == rows[1]
    assert rows[0].subtitles == track_name(rows[0], TRACK.encode(), "vtt")
    assert (media / rows[0].subtitles).read_text() == TRACK
    assert files(media) == left_by(rows[0])


def test_a_track_from_an_earlier_run_stays_when_it_cannot_be_fetched_again(media: Path) -> None:
    with serving(TRACK.encode()) as tracks:
        before = subtitled(media, tracks.url("expires.vtt"))
        after = subtitled(media, tracks.url("expires.vtt"))
    assert (after.subtitles, after.warnings) == (before.subtitles, ["source_unchecked"])


@pytest.mark.parametrize("path", ["gone.vtt", "forbidden.vtt", "error_always.vtt"])
def test_a_track_that_cannot_be_fetched_costs_a_warning_and_not_the_video(
    media: Path, server: Server, path: str
) -> None:
    row = subtitled(media, server.url(path), attempts=2)
    assert (row.subtitles, row.warnings) == ("", ["subtitles_unavailable"])


@pytest.mark.parametrize("subtitles", ["/nowhere/talk.vtt", "/", "ftp://example.org/talk.vtt", "http://[::1/talk.vtt"])
def test_a_track_that_cannot_be_one_costs_a_warning_and_not_the_video(media: Path, subtitles: str) -> None:
    row = subtitled(media, subtitles)
    assert (row.subtitles, row.warnings) == ("", ["subtitles_unavailable"])


def test_a_track_stays_under_the_root_and_away_from_private_addresses(
    media: Path, tmp_path: Path, server: Server
) -> None:
    (tmp_path / "talk.vtt").write_text(TRACK)
    outside = subtitled(media, str(tmp_path / "talk.vtt"), local_root=str(NARRATED.parent))
    private = subtitled(media, server.url("good.vtt"), allow_private_addresses=False)
    assert outside.warnings == private.warnings == ["subtitles_unavailable"]
    assert server.requests == []


def test_a_huge_track_costs_a_warning_and_not_the_video(media: Path, tmp_path: Path) -> None:
    huge = tmp_path / "huge.vtt"
    huge.write_bytes(b" " * (MAX_BYTES + 1))
    with serving(huge.read_bytes()) as tracks:
        for place in (str(huge), tracks.url("good.vtt")):
            row = subtitled(media, place)
            assert (row.subtitles, row.warnings) == ("", ["subtitles_too_large"])
    assert files(media) == left_by(row)


def test_text_tracks_inside_a_video_are_found(media: Path, tmp_path: Path) -> None:
    (tmp_path / "t.vtt").write_text(TRACK)
    tracks: list[str | Path] = [
        "-i",
        tmp_path / "t.vtt",
        "-i",
        tmp_path / "t.vtt",
        "-map",
        "0",
        "-map",
        "1",
        "-map",
        "2",
    ]
    made(tmp_path / "v.mkv", "-i", NARRATED, *tracks, "-c", "copy", "-c:s", "srt")
    assert downloaded(media, str(tmp_path / "v.mkv")).subtitle_tracks == [0, 1]
    assert downloaded(media, str(NARRATED)).subtitle_tracks == []


def test_a_line_that_cannot_be_used_fails_with_what_is_wrong(media: Path) -> None:
    manifest = ManifestRow(video="0" * 20, url="", source_id="list.csv, line 3", problem="it has no url")
    (row,) = stage(media).process([Video(manifest, [])])
    assert row.error is not None
    assert (row.error.code, row.error.retryable) == ("bad_line", False)
    assert "it has no url" in row.error.message


@pytest.mark.parametrize("role", ["url", "subtitles"])
def test_a_file_that_is_swapped_for_a_link_between_the_check_and_the_reading_is_not_read(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    inside, secret = tmp_path / "inside", tmp_path / "secret.vtt"
    inside.mkdir()
    (inside / "talk.mp4").write_bytes(CONTENT)
    (inside / "talk.vtt").write_text("WEBVTT\n")
    secret.write_bytes(CONTENT[:-1] + b"x" if role == "url" else b"secret")
    swapped = inside / ("talk.mp4" if role == "url" else "talk.vtt")

    @contextmanager
    def checked(url: str, root: str) -> Iterator[Held]:
        with local_file(url, root) as file:
            if file.real == swapped:
                swapped.unlink()
                swapped.symlink_to(secret)
            yield file

    monkeypatch.setattr("stages.download.fetcher.local_file", checked)
    row = downloaded(media, f"{inside}/talk.mp4", subtitles=f"{inside}/talk.vtt", local_root=str(inside))
    if role == "url":
        assert outcome(row) == "media_changed"
    else:
        assert (media / row.subtitles).read_text() == "WEBVTT\n"


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: socket.socket(socket.AF_UNIX).bind(str(path))])
def test_what_is_no_regular_file_is_not_waited_for(media: Path, tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "v.mp4")
    assert outcome(downloaded(media, str(tmp_path / "v.mp4"))) == "not_a_file"


def test_a_member_of_a_tar_is_copied_by_its_range(media: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "v.tar", "w") as tar:
        tar.add(__file__, "other.txt")
        tar.add(NARRATED, "narrated.mp4")
    with tarfile.open(tmp_path / "v.tar") as tar:
        place = tar.getmember("narrated.mp4").offset_data
    line = ManifestRow(
        video="0" * 20,
        url="v.tar",
        folder=str(tmp_path),
        source_id="x",
        member="narrated.mp4",
        offset=place,
        size=len(CONTENT),
    )
    cut = line.model_copy(update={"video": "1" * 20, "size": 2**30})
    large = line.model_copy(update={"video": "2" * 20, "size": 2**40})
    rows = list(stage(media).process([Video(one, []) for one in (line, cut, large)]))
    assert isinstance(rows[0], MediaRow)
    assert (rows[0].sha256, rows[0].has_video) == (SHA256, True)
    assert [row.error.code if row.error else "" for row in rows] == ["", "truncated_download", ""]
    assert rows[2].dropped is not None
    assert rows[2].dropped.reason == "too_large"
    outside = stage(media, local_root=str(media)).process([Video(line, [])])
    assert [row.error.code for row in outside if row.error] == ["outside_root"]


def test_a_member_of_a_tar_in_an_object_store_is_copied_by_its_range(media: Path) -> None:
    store = fsspec.filesystem("memory")
    store.pipe("/bucket/v.tar", b"x" * 700 + CONTENT + b"y" * 700)
    line = ManifestRow(
        video="0" * 20, url="memory://bucket/v.tar", source_id="x", member="narrated.mp4", offset=700, size=len(CONTENT)
    )
    try:
        (row,) = stage(media, schemes=("memory",)).process([Video(line, [])])
    finally:
        store.rm("/bucket", recursive=True)
    assert isinstance(row, MediaRow)
    assert (row.error, row.sha256) == (None, SHA256)


def test_a_video_that_a_parquet_file_holds_is_copied(media: Path, tmp_path: Path) -> None:
    held = [{"bytes": content, "path": "x"} for content in (b"other", CONTENT, None)]
    pq.write_table(pa.table({"video": held, "n": [1, 2, 3]}), tmp_path / "v.parquet", row_group_size=1)
    lines = [
        ManifestRow(
            video=f"{row}" * 20, url="v.parquet", folder=str(tmp_path), source_id="x", member=f"{row}", offset=row
        )
        for row in (1, 2, 9)
    ]
    rows = list(stage(media).process([Video(line, []) for line in lines]))
    assert isinstance(rows[0], MediaRow)
    assert (rows[0].error, rows[0].sha256) == (None, SHA256)
    assert [row.error.code for row in rows if row.error] == ["not_found", "not_found"]


def test_too_many_open_files_are_no_fault_of_the_video() -> None:
    free = os.dup(0)
    os.close(free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"), local_file(str(NARRATED), ""):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
