"""The rooms of a run over HTTP: moves, timelines, pictures and media, and the videos behind the funnel's numbers."""

import html
import json
import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
import yaml
from starlette.testclient import TestClient

from pipeline.config import RunConfig, load_config
from pipeline.run import Selection
from pipeline.view import progress
from pipeline.view.timeline import site_link
from schemas.media import MediaRow
from schemas.rows import DocumentsRow, FramesRow, TranscriptRow
from stages.filter.stage import FilterConfig
from tests.pipeline.view.made import client_of, plain
from tests.runs import NARRATED, ROOT, Finished, clip, demo_config, run_quietly


@pytest.fixture(scope="module")
def client(clips_run: Finished) -> TestClient:
    return client_of(clips_run.config)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A clip, a video with a hostile title and a missing file, of which only `download` is done."""
    folder = tmp_path_factory.mktemp("begun")
    url = str(NARRATED)
    clip(folder / "late.mkv", 0.0, 3.0, "-output_ts_offset", "7")
    lines = [
        {"url": url, "id": "a clip", "start": 9.0, "end": 33.0},
        {"url": "late.mkv"},
        {"url": url, "id": "</script><b>", "title": "<img src=x onerror=alert(1)>"},
        *({"url": f"/nowhere/{n}.mp4", "id": name} for n, name in enumerate(["gone 0", "gone 1", ".."])),
    ]
    (folder / "list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    config = demo_config(folder, f"manifest={folder / 'list.jsonl'}", "runner.kind=inline", "runner.max_failed_share=1")
    run_quietly(config, Selection(only=("download",)))
    return config


def moved(client: TestClient, query: str = "") -> dict[str, Any]:
    """The figures over all videos: those that take long are asked for again, as the page does."""
    found: dict[str, Any] = {"whole": False}
    while not found["whole"]:
        answer = client.get(f"/tune/move?{query}")
        assert answer.status_code == 200
        found = answer.json()
    return found


def filter_of(config: RunConfig) -> FilterConfig:
    return config.section(FilterConfig)


def test_the_runs_own_settings_change_nothing(client: TestClient, clips_run: Finished) -> None:
    found = moved(client)
    rows = [row for row in clips_run.rows("filter").values() if isinstance(row, DocumentsRow)]
    documents = sum(len(row.documents) for row in rows)
    assert found["sentence"] == f"{documents} documents, from 4 videos"
    assert (
        found["counts"]["documents"]["now"] == found["counts"]["documents"]["then"] == {"value": documents, "error": 0}
    )
    assert found["options"] == found["yaml"] == found["command"] == ""


def test_a_move_says_what_is_lost_and_shows_it_with_its_distance(client: TestClient) -> None:
    before, found = moved(client), moved(client, "threshold=0.2")
    frames = found["counts"]["frames"]
    assert frames["now"]["value"] < frames["then"]["value"] == before["counts"]["frames"]["now"]["value"]
    assert frames["then"]["value"] - frames["lost"]["value"] + frames["gained"]["value"] == frames["now"]["value"]
    dropped = found["examples"]["best_dropped"][0]
    assert dropped["similarity"] < dropped["needed"]
    assert dropped["reason"] == "low_similarity"
    assert dropped["sentence"]
    assert client.get(dropped["picture"]).headers["content-type"] == "image/jpeg"
    assert "0:" in plain(client.get(dropped["link"]).text)
    assert sum(found["bars"]["kept"]) < sum(before["bars"]["kept"])
    assert found["threshold"] == 0.2


def test_the_written_lines_give_the_settings_that_were_moved(client: TestClient, tmp_path: Path) -> None:
    found = moved(client, "false_accept_rate=0.125&mode=time&min_words=3&threshold=calibrated")
    demo = ROOT / "configs" / "demo.yaml"
    options = [part for part in shlex.split(found["options"]) if part != "--set"]
    moved_to = filter_of(load_config(demo, options))
    assert (moved_to.false_accept_rate, moved_to.mode, moved_to.min_words) == (0.125, "time", 3)
    content = yaml.safe_load(demo.read_text())
    content["filter"] |= yaml.safe_load(found["yaml"])["filter"]
    (tmp_path / "new.yaml").write_text(yaml.safe_dump(content))
    assert filter_of(load_config(tmp_path / "new.yaml")) == moved_to
    assert found["command"] == f"storyloom run demo.yaml --from filter {found['options']}"


def test_a_wrong_value_is_named(client: TestClient) -> None:
    answer = client.get("/tune/move?min_words=-3")
    assert answer.status_code == 422
    assert "min_words" in answer.json()["problem"]


def test_nothing_to_tune_says_what_is_missing_and_the_command(begun: RunConfig) -> None:
    page = plain(client_of(begun).get("/tune").text)
    assert "No part is scored yet" in page
    assert "storyloom run demo.yaml" in page


def test_a_timeline_has_every_frame_with_what_became_of_it(client: TestClient, clips_run: Finished) -> None:
    (name, row) = next((name, row) for name, row in clips_run.rows("filter").items() if row.live)
    sampled = clips_run.rows("sample")[name]
    assert isinstance(row, DocumentsRow)
    assert isinstance(sampled, FramesRow)
    page = client.get(f"/timeline/{quote(name, safe='')}").text
    told = re.findall(r'<li class="beat-frame( out)?" data-frame="([\d.]+)">', page)
    dropped = {item.time for item in row.dropped_items if item.kind == "frame"}
    assert [(float(time), bool(out)) for out, time in told] == [(f.time, f.time in dropped) for f in sampled.frames]
    for item in row.dropped_items:
        assert f"dropped: {item.reason}" in page
    for document in row.documents:
        assert f"<b>Document {document.number}</b>" in page
        scores = [f"similarity {frame.similarity:.3f}" for frame in document.frames if frame.text >= 0]
        assert all(score in page for score in scores)


def test_a_timeline_has_every_word_at_its_time(client: TestClient, clips_run: Finished) -> None:
    name, row = next(iter(clips_run.rows("transcribe").items()))
    assert isinstance(row, TranscriptRow)
    page = client.get(f"/timeline/{quote(name, safe='')}").text
    found = re.findall(r'<span data-word data-seek="([\d.]+)" data-end="([\d.]+)">([^<]*)<', page)
    assert [(float(start), float(end), html.unescape(text)) for start, end, text in found] == [
        (word.start, word.end, word.text) for segment in row.segments for word in segment.words
    ]


def test_the_media_file_is_served_by_ranges_and_no_other_file_is(client: TestClient, clips_run: Finished) -> None:
    row = next(iter(clips_run.rows("download").values()))
    assert isinstance(row, MediaRow)
    content = (Path(clips_run.config.work) / "media" / row.media).read_bytes()
    part = client.get(f"/run/media/{row.video}", headers={"Range": "bytes=100-199"})
    assert part.status_code == 206
    assert part.content == content[100:200]
    assert part.headers["content-type"] == "video/mp4"
    for wrong in ("0" * 20, "..%2F..%2Fplan", row.media, "%2Fetc%2Fpasswd"):
        assert client.get(f"/run/media/{wrong}").status_code == 404
    assert client.get(f"/run/frame/{row.video}/9999.jpg").status_code == 404


def test_a_clip_plays_from_its_start_and_says_what_is_not_there_yet(begun: RunConfig) -> None:
    page = client_of(begun).get("/timeline/a%20clip").text
    assert 'data-offset="9.0" data-origin="9.0" data-duration="24.0"' in page
    assert "data-clip" in page
    assert "a clip that begins at 0:09.0 of its file" in plain(page)
    assert "Not there yet: transcribe, sample, align, score" in plain(page)


def test_a_player_keeps_the_clock_of_a_file_that_begins_late(begun: RunConfig) -> None:
    """Browsers count from the file's own zero, rows from its first picture or sound."""
    page = client_of(begun).get("/timeline/late.mkv").text
    assert 'data-offset="0.0" data-origin="7.' in page


def test_ids_that_are_steps_of_a_path_have_pages_that_browsers_reach(begun: RunConfig) -> None:
    client = client_of(begun)
    every = client.get("/run/list?stage=download&kind=all").text
    links = [html.unescape(found) for found in re.findall(r'href="(/timeline/[^"]*)"', every)]
    assert all({".", ".."}.isdisjoint(unquote(link.partition("?")[0]).split("/")) for link in links)
    assert plain(client.get(next(link for link in links if link.endswith(".."))).text).count("/nowhere/2.mp4")


def test_a_hostile_title_and_id_are_shown_and_do_nothing(begun: RunConfig) -> None:
    client = client_of(begun)
    every = client.get("/run/list?stage=download&kind=all").text
    link = next(found for found in re.findall(r'href="(/timeline/[^"]+)"', every) if "script" in found)
    for page in (every, client.get(link).text):
        assert "&lt;img src=x onerror=alert(1)&gt;" in page
        assert "<img src=x" not in page
        assert "</script><b>" not in page


def test_the_funnels_failures_lead_to_the_videos_with_message_and_remedy(begun: RunConfig) -> None:
    client = client_of(begun)
    page = client.get("/run").text
    assert "No part has come through filter yet" in plain(page)
    (link,) = re.findall(r'href="([^"]*)">download.not_found 3<', page)
    found = plain(client.get(html.unescape(link)).text)
    assert "there is no file '/nowhere/1.mp4'" in html.unescape(found)
    assert "What to do: correct the path or URL in the manifest" in found
    assert "--retry not_found" in found


def test_lists_have_pages(begun: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PAGE", 2)
    client = client_of(begun)
    seen: list[str] = []
    for number in (1, 2):
        page = client.get(f"/run/list?stage=download&kind=failed&name=download.not_found&page={number}").text
        assert f"3 videos, by the rows of download, page {number} of 2" in plain(page)
        seen += re.findall(r">(gone \d|\.\.)<", page)
    assert sorted(seen) == ["..", "gone 0", "gone 1"]


def test_the_funnels_reasons_lead_to_the_videos_with_their_counts(client: TestClient, clips_run: Finished) -> None:
    page = client.get("/run").text
    links = re.findall(r'<li><a href="([^"]*)">(\w+) <b>(\d+)</b>', page)
    assert links
    for link, reason, count in links:
        found = client.get(html.unescape(link)).text
        counts = [int(number) for number in re.findall(r'class="chip quiet">(\d+)<', found)]
        if counts:
            assert sum(counts) == int(count), reason


def test_an_unknown_video_or_stage_is_not_found(client: TestClient) -> None:
    assert client.get("/timeline/nobody").status_code == 404
    assert client.get("/run/list?stage=nothing&kind=failed&name=x").status_code == 404


@pytest.mark.parametrize(
    ("url", "site", "link"),
    [
        ("https://www.youtube.com/watch?v=abc", "Youtube", "https://www.youtube.com/watch?v=abc&t=75s"),
        ("https://www.youtube.com/watch?v=abc&t=3s", "Youtube", "https://www.youtube.com/watch?v=abc&t=75s"),
        ("https://vimeo.com/123", "Vimeo", "https://vimeo.com/123#t=75"),
        ("https://example.org/a.mp4", "", "https://example.org/a.mp4#t=75"),
        ("/home/a.mp4", "", ""),
        ("javascript:alert(1)", "", ""),
    ],
)
def test_the_link_of_a_site_goes_to_the_time(url: str, site: str, link: str) -> None:
    assert site_link(url, 75.4, site) == link
