"""Clips of one file fetch it once and share it."""

from __future__ import annotations

import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from schemas.manifest import ManifestRow
from schemas.media import MediaRow
from stages.base import Video
from stages.download import media
from stages.download.fetcher import Fetcher
from tests.downloads import CONTENT, NARRATED, outcome, stage
from tests.http_server import serving


def clips(url: str, *spans: tuple[float, float]) -> list[Video]:
    return [
        Video(ManifestRow(video=f"{n:020x}", url=url, source_id=str(n), start=start, end=end), [])
        for n, (start, end) in enumerate(spans)
    ]


SPANS = ((0.0, 2.0), (2.0, 5.0), (5.0, -1.0), (900.0, 950.0))


@pytest.mark.parametrize("path", ["good.mp4", "tagged.mp4", "plain.mp4"])
def test_clips_of_one_url_fetch_it_once_over_all_parts_and_workers(path: str, tmp_path: Path) -> None:
    with serving(CONTENT) as server, ThreadPoolExecutor(3) as workers:
        videos = clips(server.url(path), *SPANS)
        made = [stage(tmp_path, allow_private_addresses=True) for _ in range(3)]
        rows = [
            row
            for some in workers.map(lambda n: list(made[n].process(videos[n:] + videos[:n])), range(3))
            for row in some
            if isinstance(row, MediaRow)
        ]
        assert server.sent == len(CONTENT)
    assert sorted(map(outcome, rows)) == ["clip_outside"] * 3 + ["live"] * 9
    assert len({row.media for row in rows if row.live}) == 1
    assert {(row.clip_start, row.duration) for row in rows[:2]} == {(0.0, 2.0), (2.0, 3.0)}


def test_a_clip_s_own_length_is_held_against_the_bounds(tmp_path: Path) -> None:
    videos = clips(str(NARRATED), (0.0, 1.0), (0.0, 3.0), (0.0, 6.0))
    rows = stage(tmp_path, min_duration=2.0, max_duration=5.0).process(videos)
    assert [outcome(row) for row in rows if isinstance(row, MediaRow)] == ["too_short", "live", "too_long"]


def counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[Any]:
    """The calls of a function, as they come."""
    calls: list[Any] = []
    real = getattr(module, name)

    def counting(*given: Any, **named: Any) -> Any:
        calls.append(given)
        return real(*given, **named)

    monkeypatch.setattr(module, name, counting)
    return calls


def test_a_local_file_is_read_once_for_all_its_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = counted(monkeypatch, media, "digest")
    rows = list(stage(tmp_path, concurrency=1).process(clips(str(NARRATED), *SPANS)))
    assert [outcome(row) for row in rows if isinstance(row, MediaRow)] == ["live"] * 3 + ["clip_outside"]
    assert len(read) == 1


def test_a_member_of_a_tar_is_copied_once_for_all_its_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tarfile.open(tmp_path / "v.tar", "w") as tar:
        tar.add(NARRATED, "narrated.mp4")
        tar.add(NARRATED, "other.mp4")
    with tarfile.open(tmp_path / "v.tar") as tar:
        places = {one.name: {"member": one.name, "offset": one.offset_data, "size": one.size} for one in tar}
    copied = counted(monkeypatch, Fetcher, "copy")
    lines = [
        one.manifest.model_copy(update=place)
        for place in places.values()
        for one in clips(str(tmp_path / "v.tar"), *SPANS)
    ]
    rows = list(stage(tmp_path / "media").process([Video(line, []) for line in lines]))
    assert sorted(outcome(row) for row in rows if isinstance(row, MediaRow)) == ["clip_outside"] * 2 + ["live"] * 6
    assert len(copied) == len({row.media for row in rows if isinstance(row, MediaRow) and row.live}) == 2
