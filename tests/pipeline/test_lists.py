"""Playlists in a manifest: read once, kept with the plan."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import RunConfig, config_from, load_config
from pipeline.lists import expanded
from pipeline.manifest import SCHEMA, list_manifest
from pipeline.run import Selection
from pipeline.workspace import survey
from schemas.media import MediaRow
from stages.base import VideoFailed
from stages.turns import FolderTurns
from storyloom.errors import UsageError
from storyloom.fs.files import files_at
from tests.downloads import CONTENT
from tests.runs import demo_config, run_quietly
from tests.site import Site, serving_site


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Site]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # the turns of this test alone
    with serving_site(monkeypatch) as made:
        yield made


def config_of(folder: Path, lines: str, **download: Any) -> RunConfig:
    manifest = folder / "videos.csv"
    manifest.write_text(lines)
    options = {"sites": ["127.0.0.1"], "allow_private_addresses": True, "attempts": 1, **download}
    places = {"manifest": str(manifest), "work": str(folder / "work"), "output": str(folder / "out")}
    return config_from({**places, "download": options})


def planned(config: RunConfig, *, write: bool = True, refresh: bool = False) -> tuple[list[dict[str, Any]], list[str]]:
    rows = list_manifest(config.manifest, config.url_parameters).rows
    found, told = expanded(rows, config, files_at(config.work), write=write, refresh=refresh)
    return found.table(SCHEMA.names).to_pylist(), told


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


def channel_of(site: Site) -> str:
    site.add_list("new", ["a", "b"])
    return site.add_list("channel", ["c", site.url("list/old"), site.url("list/new"), site.url("list/older")])


def test_lists_of_a_channel_that_are_gone_are_counted_and_the_others_read(tmp_path: Path, site: Site) -> None:
    config = config_of(tmp_path, f"url\n{channel_of(site)}\n")
    rows, told = planned(config)
    assert names(rows) == ["c", "a", "b"]
    assert "3 videos; 2 lists in it could not be read: 127.0.0.1 answered 404" in told[0]
    asked = len(site.requests)
    assert planned(config) == (rows, [])
    assert len(site.requests) == asked


def test_a_part_of_a_channel_that_may_come_later_is_asked_for_again_and_loses_nothing(
    tmp_path: Path, site: Site
) -> None:
    config = config_of(tmp_path, f"url\n{channel_of(site)}\n")
    site.add_list("old", ["d"])
    site.add_list("older", ["e"])
    site.statuses["/api/older"] = 503
    assert names(planned(config)[0]) == ["c", "d", "a", "b"]
    site.statuses = {"/api/new": 503}
    rows, told = planned(config)
    assert names(rows) == ["c", "d", "e", "a", "b"]
    assert "1 list in it could not be read" in told[0]
    assert "server_error" in told[0]
    site.statuses = {}
    assert names(planned(config)[0]) == ["c", "d", "a", "b", "e"]
    assert planned(config)[1] == []


def test_a_channel_of_which_nothing_can_be_read_says_why(tmp_path: Path, site: Site) -> None:
    channel = site.add_list("channel", [site.url("list/old")])
    rows, told = planned(config_of(tmp_path, f"url\n{channel}\n"))
    assert names(rows) == ["channel"]
    assert "not_found" in told[0]


@pytest.mark.parametrize("answer", [[1], {"title": "x", "videos": [1, 2]}, {"title": 5, "videos": ["http://["]}])
def test_a_list_in_another_form_than_expected_stays_a_line(tmp_path: Path, site: Site, answer: Any) -> None:
    url = site.add_list("odd", [])
    site.files["/api/odd"] = json.dumps(answer).encode()
    rows, told = planned(config_of(tmp_path, f"url\n{url}\n"))
    assert names(rows) == ["odd"]
    assert "could not be read" in told[0]


def test_a_line_that_is_no_url_of_its_site_is_no_list(tmp_path: Path, site: Site) -> None:
    lines = f"url\nhttp://[x.127.0.0.1/list/a\n{site.add_list('tea', ['a'])}\n"
    rows, _ = planned(config_of(tmp_path, lines))
    assert names(rows)[-1] == "a"


def test_a_site_that_asks_for_a_pause_while_lists_are_read_gets_it(tmp_path: Path, site: Site) -> None:
    config = config_of(tmp_path, f"url\n{site.add_list('a', ['x'])}\n{site.add_list('b', ['y'])}\n", max_seconds=20.0)
    site.first["/api/a"] = (429, {"Retry-After": "500"}, b"")
    rows, told = planned(config)
    assert names(rows) == ["a", "b"]
    assert "rate_limited" in told[1]
    assert "/api/b" not in site.requests
    assert FolderTurns().due("127.0.0.1", 0.0) > 400


@pytest.mark.parametrize(
    "proxy",
    [
        "socks5h://u:S3CRET/PW@127.0.0.1:1",
        "http://u:S3CRET#PW@h",
        "http://u:S3CRET@[::1",
        "u:S3CRET@h:1",
        "ftp://u:S3CRET@h",
    ],
)
def test_what_is_no_proxy_is_refused_and_not_shown(tmp_path: Path, proxy: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps({"manifest": "m", "work": "w", "output": "o", "download": {"site_proxy": proxy}}))
    with pytest.raises(UsageError, match="site_proxy: no URL of a proxy") as raised:
        load_config(file)
    assert "S3CRET" not in str(raised.value)


def test_the_password_of_a_proxy_is_not_told(tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> None:
        raise VideoFailed("site_failed", "no answer from u:S3CRET%2FPW at proxy (S3CRET/PW)")

    monkeypatch.setattr("stages.download.stage.listing", failing)
    lines = f"url\n{site.add_list('tea', ['a'])}\n"
    _, told = planned(config_of(tmp_path, lines, site_proxy="http://u:S3CRET%2FPW@127.0.0.1:1"))
    assert "no answer from …" in told[0]
    assert "S3CRET" not in told[0]


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


def test_videos_of_a_playlist_that_only_a_query_tells_apart_are_told(tmp_path: Path, site: Site) -> None:
    url = site.add_list("tea", [site.url("talk/a?part=1"), site.url("talk/a?part=2")])
    rows, told = planned(config_of(tmp_path, f"url\n{url}\n"))
    assert len(rows) == 1
    assert "1 video left out, whose URLs differ" in told[1]
