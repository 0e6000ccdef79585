"""Playlists in a manifest: read once, kept with the plan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.config import RunConfig, config_from
from pipeline.lists import expanded
from pipeline.manifest import read_manifest
from pipeline.run import Selection
from pipeline.workspace import survey
from schemas.rows import MediaRow
from stages.download.sites import extractors
from tests.downloads import CONTENT
from tests.runs import demo_config, run_quietly
from tests.site import Site, TalkIE, TalkListIE, serving_site


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(extractors, "_all", lambda: (TalkIE, TalkListIE))
    with serving_site() as made:
        yield made


def config_of(folder: Path, lines: str, **download: Any) -> RunConfig:
    manifest = folder / "videos.csv"
    manifest.write_text(lines)
    options = {"sites": ["127.0.0.1"], "allow_private_addresses": True, "attempts": 1, **download}
    places = {"manifest": str(manifest), "work": str(folder / "work"), "output": str(folder / "out")}
    return config_from({**places, "download": options})


def planned(config: RunConfig, *, write: bool = True, refresh: bool = False) -> tuple[list[dict[str, Any]], list[str]]:
    rows: pa.Table = read_manifest(config.manifest, config.url_parameters).rows
    found, told = expanded(rows, config, Path(config.work) / "plan", write=write, refresh=refresh)
    assert found.schema == rows.schema
    return found.to_pylist(), told


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [row["url"].rpartition("/")[2] for row in rows]


def test_a_playlist_becomes_its_videos_in_its_place_and_that_is_told(tmp_path: Path, site: Site) -> None:
    url = site.add_list("tea", ["a", "b", "c"], title="All\x1b of tea")
    lines = f"url,title,license,team\n{site.url('talk/z')},Z,,x\n{url},List,CC BY,y\n{site.url('talk/b')},B,,x\n"
    rows, told = planned(config_of(tmp_path, lines))
    assert names(rows) == ["z", "a", "c", "b"]  # b is listed by itself
    assert [(row["title"], row["license"], row["extra"]) for row in rows[:2]] == [
        ("Z", "", '{"team":"x"}'),
        ("", "CC BY", '{"team":"y"}'),
    ]
    assert told == [f"'All of tea' ({url}): 3 videos"]


def test_a_known_playlist_is_not_asked_for_again_and_keys_stay(tmp_path: Path, site: Site) -> None:
    config = config_of(tmp_path, f"url\n{site.add_list('tea', ['a', 'b'])}\n")
    before, _ = planned(config)
    asked = len(site.requests)
    site.add_list("tea", ["n", "a", "b"])
    assert planned(config) == (before, [])
    assert len(site.requests) == asked
    after, told = planned(config, refresh=True)
    assert names(after) == ["n", "a", "b"]
    assert [row["video"] for row in after[1:]] == [row["video"] for row in before]
    assert "3 videos" in told[0]


def test_a_video_s_key_is_the_same_in_a_playlist_and_by_itself(tmp_path: Path, site: Site) -> None:
    (in_list,), _ = planned(config_of(tmp_path, f"url\n{site.add_list('tea', ['a'])}\n"))
    (alone,), _ = planned(config_of(tmp_path, f"url\n{site.url('talk/a')}\n"))
    assert in_list == alone


def test_the_id_of_a_playlist_names_its_videos(tmp_path: Path, site: Site) -> None:
    rows, _ = planned(config_of(tmp_path, f"url,id\n{site.add_list('tea', ['a', 'b'])},mine\n"))
    assert [row["source_id"] for row in rows] == ["mine/a", "mine/b"]


def test_a_playlist_keeps_to_its_bound_and_more_are_read_when_it_rises(tmp_path: Path, site: Site) -> None:
    lines = f"url\n{site.add_list('tea', ['a', 'b', 'c', 'd', 'e'])}\n"
    rows, told = planned(config_of(tmp_path, lines, site_list_videos=2))
    assert names(rows) == ["a", "b"]
    assert "2 videos, and more that were not taken" in told[0]
    assert "/api/tea?page=2" not in site.requests
    assert names(planned(config_of(tmp_path, lines, site_list_videos=4))[0]) == ["a", "b", "c", "d"]
    assert names(planned(config_of(tmp_path, lines, site_list_videos=1))[0]) == ["a"]


def test_a_command_that_only_looks_asks_no_site(tmp_path: Path, site: Site) -> None:
    config = config_of(tmp_path, f"url\n{site.add_list('tea', ['a', 'b'])}\n")
    rows, told = planned(config, write=False)
    assert names(rows) == ["tea"]
    assert "`storyloom run` reads it" in told[0]
    assert site.requests == []
    assert not (tmp_path / "work").exists()
    planned(config)
    assert names(planned(config, write=False)[0]) == ["a", "b"]


def test_a_playlist_that_cannot_be_read_stays_a_line_and_the_others_run(tmp_path: Path, site: Site) -> None:
    config = config_of(tmp_path, f"url\n{site.url('list/gone')}?key=secret\n{site.url('talk/a')}\n")
    rows, told = planned(config)
    assert names(rows) == ["gone?key=secret", "a"]
    assert "not_found" in told[0]
    assert "secret" not in told[0]
    site.add_list("gone", ["b"])
    assert names(planned(config)[0]) == ["b", "a"]


def test_a_playlist_that_cannot_be_read_again_stays_as_it_was(tmp_path: Path, site: Site) -> None:
    config = config_of(tmp_path, f"url\n{site.add_list('tea', ['a'])}\n")
    planned(config)
    site.statuses["/api/tea"] = 500
    rows, told = planned(config, refresh=True)
    assert names(rows) == ["a"]
    assert "server_error" in told[0]


def test_the_lists_in_a_channel_are_read_too(tmp_path: Path, site: Site) -> None:
    site.add_list("new", ["a", "b"])
    channel = site.add_list("channel", [site.url("list/new"), "c", "a"])
    assert names(planned(config_of(tmp_path, f"url\n{channel}\n"))[0]) == ["a", "b", "c"]


def test_an_entry_without_a_web_address_is_counted_and_not_fetched(tmp_path: Path, site: Site) -> None:
    url = site.add_list("tea", ["file:///etc/passwd", "a"])
    rows, told = planned(config_of(tmp_path, f"url\n{url}\n"))
    assert names(rows) == ["a"]
    assert "1 video, and 1 more without an address" in told[0]


def test_a_playlist_at_a_private_address_is_not_read(tmp_path: Path, site: Site) -> None:
    config = config_of(tmp_path, f"url\n{site.add_list('tea', ['a'])}\n", allow_private_addresses=False)
    rows, told = planned(config)
    assert names(rows) == ["tea"]
    assert "private_address" in told[0]


def test_several_playlists_of_youtube_are_told_apart(tmp_path: Path) -> None:
    host = "https://www.youtube.com"
    config = config_of(
        tmp_path, f"url\n{host}/playlist?list=A\n{host}/playlist?list=B\n{host}/watch?v=dQw4w9WgXcQ&list=A\n"
    )
    rows, told = planned(
        config.model_copy(
            update={"download": config_from({"manifest": "m", "work": "w", "output": "o"}).stage("download")}
        ),
        write=False,
    )
    assert len(rows) == 3
    assert len(told) == 2  # the third is a video


def test_a_run_fetches_the_videos_of_a_playlist_and_a_list_that_fails_has_its_row(tmp_path: Path, site: Site) -> None:
    for name in ("a", "b"):
        site.add(name, CONTENT)
    manifest = tmp_path / "videos.txt"
    manifest.write_text(f"{site.add_list('tea', ['a', 'b'])}\n{site.url('list/gone')}\n")
    allowed = ["download.sites=['127.0.0.1']", "download.allow_private_addresses=true", "download.attempts=1"]
    config = demo_config(tmp_path, f"manifest={manifest}", *allowed)
    recorder = run_quietly(config, Selection(only=("download",)))
    assert "2 videos" in recorder.told[0]
    workspace = survey(config)
    rows = [row for part in workspace.plan.parts for row in workspace.rows("download", part, MediaRow)]
    assert sorted(row.site.title if row.site else row.error.code if row.error else "" for row in rows) == [
        "About a",
        "About b",
        "not_found",
    ]
