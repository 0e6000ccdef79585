"""The app's pages: what they say, where they lead, and whom they refuse."""

import html
import io
import re
from pathlib import Path

import pytest
from PIL import Image
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from stages.write.stage import WriteConfig
from storyloom.view.app import GUARDS, Room, page
from storyloom.view.dataset import Dataset
from storyloom.view.pages import video_link
from tests.documents import complete, dataset, document, jpeg, video
from tests.storyloom.reader.folder_server import serving_folder
from tests.storyloom.stats.made import HOSTILE, damage_images, small_dataset
from tests.storyloom.validate import damage
from tests.storyloom.view.made import browsing, opened, read_through


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("small")
    return opened(small_dataset(folder), folder / "cache")


@pytest.fixture
def browser(small: Dataset) -> TestClient:
    return browsing(small)


def words(response: Response | object) -> str:
    """What a page says, without its tags."""
    text = re.sub(r"<script.*?</script>|<style.*?</style>", "", response.text, flags=re.DOTALL)  # type: ignore[union-attr]
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", text)).split())


def links(text: str, begin: str) -> list[str]:
    return [html.unescape(link) for link in re.findall(rf'href="({begin}[^"]*)"', text)]


def first_key(one: Dataset, **query: str) -> str:
    found = browsing(one).get("/documents", params=query)
    return links(found.text, "/document/")[0].split("/")[2].partition("?")[0]


def test_the_first_page_gives_the_verdict_with_links_to_the_documents_behind_it(browser: TestClient) -> None:
    home = browser.get("/")
    assert "3 documents from 2 videos: 6 pictures, 16 words" in words(home)
    assert "The licence is unknown for 1 of 3 documents." in words(home)
    behind = browser.get("/documents?license=unknown")
    assert "/documents?license=unknown" in links(home.text, "/documents")
    assert "1 document found" in words(behind)
    assert "hello there" in words(behind)


def test_every_link_of_the_verdict_leads_to_documents(browser: TestClient) -> None:
    verdict = browser.get("/").text.partition('id="some-title"')[0]
    behind = [link for link in links(verdict, "/documents") if "?" in link]
    assert len(behind) >= 4
    for link in behind:
        assert "/document/" in browser.get(link).text, link


def test_a_search_marks_the_words_and_keeps_them_on_the_way_to_the_document(browser: TestClient) -> None:
    found = browser.get("/documents", params={"q": "zebra"})
    assert "1 document found" in words(found)
    assert "“<mark>zebra</mark> crossing”" in found.text
    (link,) = set(links(found.text, "/document/"))
    assert link.endswith("?q=zebra")
    assert "<mark>zebra</mark> crossing" in browser.get(link).text
    assert links(browser.get(link).text, "/documents")[-1] == "/documents?q=zebra"


def test_a_search_without_a_hit_says_what_to_do(browser: TestClient) -> None:
    assert "0 documents found" in words(browser.get("/documents?q=nobody+says+this"))
    assert "No document is like that. Words are looked for in titles" in words(browser.get("/documents?q=nobodysays"))


def test_a_document_shows_frames_and_sentences_in_time_order(browser: TestClient) -> None:
    key = links(browser.get("/documents?q=seven").text, "/document/")[0]
    said = words(browser.get(key))
    assert re.search(
        r"0:00\.5 .*score 0\.300 .*one two three .*four five six .*0:08\.5 no sentence of its own .*seven eight nine",
        said,
    )
    assert "shift −1.5 s" in said
    assert "CC-BY-4.0" in said
    assert "data/train/shard-000000.tar" in said


def test_a_document_shows_captions_fused_texts_and_why_there_is_none(tmp_path: Path) -> None:
    dataset(tmp_path, [[complete(video("told", document(frames=3)))]], WriteConfig())
    one = opened(tmp_path / "out", tmp_path / "cache")
    app = browsing(one)
    said = words(app.get(links(app.get("/documents").text, "/document/")[0]))
    assert "fused here is a cup 0" in said
    assert "kept:unsure shows a cup, 杯子 1" in said
    assert "failed:no_answer shows a cup, 杯子 2" in said


def test_documents_lead_to_their_neighbours_in_the_list(browser: TestClient) -> None:
    listed = links(browser.get("/documents?sort=words").text, "/document/")
    middle = browser.get(listed[1]).text
    assert re.findall(r'rel="prev" href="([^"]*)"', middle) == [listed[0]]
    assert re.findall(r'rel="next" href="([^"]*)"', middle) == [listed[2]]
    assert 'rel="next"' not in browser.get(listed[2]).text


def test_a_picture_is_the_one_of_the_shard_and_may_be_kept(browser: TestClient, small: Dataset) -> None:
    page_of_document = browser.get(f"/document/{first_key(small, q='zebra')}").text
    (source,) = re.findall(r'<img src="([^"]*)"', page_of_document)
    answer = browser.get(source)
    assert answer.headers["content-type"] == "image/jpeg"
    assert "immutable" in answer.headers["cache-control"]
    assert Image.open(io.BytesIO(answer.content)).size == (64, 48)
    assert answer.content in {jpeg(n) for n in range(4)}
    assert browser.get(source, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    assert "immutable" not in browser.get(source.partition("?")[0]).headers["cache-control"]
    assert browser.get(source.replace("/0.jpg", "/1.jpg")).status_code == 404


def test_a_video_shows_all_its_documents(browser: TestClient) -> None:
    said = words(browser.get("/video/harbour"))
    assert "2 documents" in said
    assert "one two three" in said
    assert "zebra crossing" in said


NAMES = ["a b/ü.mp4", "/root/x.mp4", "../x", "a?b#c", "100%"]


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("named")
    dataset(folder, [[video(name, document()) for name in NAMES]], WriteConfig())
    return opened(folder / "out", folder / "cache")


@pytest.mark.parametrize("name", NAMES)
def test_a_video_of_any_name_has_an_address(named: Dataset, name: str) -> None:
    answer = browsing(named).get(video_link(name))
    assert answer.status_code == 200
    assert f"Video {name}" in words(answer)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/document/nothing", "There is no such document This dataset has no document nothing"),
        ("/video/nothing", "There is no such video"),
        ("/nowhere", "There is no such page"),
        ("/document/..%2f..%2fetc%2fpasswd", "There is no such page"),
        ("/static/../app.py", "There is no such page"),
        ("/static/%2e%2e/app.py", "There is no such page"),
    ],
)
def test_what_is_not_there_has_a_page_that_helps(browser: TestClient, path: str, said: str) -> None:
    answer = browser.get(path)
    assert answer.status_code == 404
    assert said in words(answer)
    assert 'href="/"' in answer.text


def test_the_figures_are_those_of_stats(browser: TestClient) -> None:
    said = words(browser.get("/figures"))
    assert "documents 3 images 6 words 16 hours 0.01" in said
    assert "Image-text similarity" in said
    assert "transcribe.no_speech 1" in said


def test_every_answer_is_guarded(browser: TestClient) -> None:
    for path in ("/", "/documents", "/nowhere", "/static/style.css", "/indexing"):
        answer = browser.get(path)
        assert answer.headers["content-security-policy"] == GUARDS["content-security-policy"], path
        assert answer.headers["x-content-type-options"] == "nosniff", path


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "localhost.evil:80"]
)
def test_another_name_for_this_machine_is_refused(browser: TestClient, host: str) -> None:
    assert browser.get("/", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8123", "localhost", "localhost:8123", "[::1]:8123"])
def test_this_machine_is_answered(browser: TestClient, host: str) -> None:
    assert browser.get("/indexing", headers={"Host": host}).status_code == 200


def changing_room() -> Room:
    def change(request: Request) -> Response:
        return PlainTextResponse("changed")

    return Room("Change", "/change", [Route("/change", change, methods=["GET", "POST"])])


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ({"Origin": "http://127.0.0.1"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({}, 403),
    ],
)
def test_only_a_page_of_the_app_changes_something(small: Dataset, origin: dict[str, str], status: int) -> None:
    assert browsing(small, [changing_room()]).post("/change", headers=origin).status_code == status


def test_a_room_is_in_the_navigation_and_may_have_a_page_of_a_video(small: Dataset) -> None:
    def of_video(request: Request) -> Response:
        return page(request, "missing.html", what="timeline of", name=request.path_params["id"], near=[])

    room = Room("Timelines", "/timelines", [Route("/timelines/{id:path}", of_video)], of_video="/timelines/")
    browser = browsing(small, [room])
    assert '<a href="/timelines">Timelines</a>' in browser.get("/").text
    (link,) = set(links(browser.get("/video/harbour").text, "/timelines/"))
    assert "timeline of harbour" in words(browser.get(link))


def test_without_a_dataset_the_rooms_are_there() -> None:
    said = browsing(None, [changing_room()]).get("/")
    assert "Nothing is published yet" in words(said)
    assert links(said.text, "/change")


def test_a_hostile_title_is_text(browser: TestClient) -> None:
    for path in ("/", "/documents", links(browser.get("/documents?q=hello").text, "/document/")[0], "/video/mill"):
        assert HOSTILE not in browser.get(path).text
        assert html.escape(HOSTILE, quote=False)[:20] in browser.get(path).text
        assert 'href="javascript' not in browser.get(path).text


def test_a_hostile_search_is_text(browser: TestClient) -> None:
    for key in ("q", "language", "video", "flag", "from", "sort", "after"):
        answer = browser.get("/documents", params={key: '"><script>alert(1)</script>'})
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text


def test_a_damaged_document_has_a_page_that_says_so_and_the_others_are_shown(tmp_path: Path) -> None:
    output = small_dataset(tmp_path)
    good = opened(output, tmp_path / "cache")
    damage.edit_document(output, lambda one: one.update(texts=[], images=[]))
    browser = browsing(good)
    answer = browser.get(f"/document/{damage.first_key(output)}")
    assert answer.status_code == 500
    assert "This cannot be shown" in words(answer)
    listed = browser.get("/documents")
    assert listed.status_code == 200
    assert "document 0" in words(listed)
    assert len(set(links(listed.text, "/document/"))) == 3


def test_damage_is_told_and_listed(tmp_path: Path) -> None:
    output = small_dataset(tmp_path)
    damage.replace_document(output, b'{"no": "document"}')
    browser = browsing(opened(output, tmp_path / "cache"))
    assert "1 document cannot be read." in words(browser.get("/"))
    assert "/damaged" in links(browser.get("/").text, "/damaged")
    assert "data/train/shard-000000.tar" in words(browser.get("/damaged"))


def test_broken_pictures_are_sent_as_they_are_and_the_server_lives(tmp_path: Path) -> None:
    output = small_dataset(tmp_path)
    assert damage_images(output)
    browser = browsing(opened(output, tmp_path / "cache"))
    (source, *_) = re.findall(r'<img src="([^"]*)"', html.unescape(browser.get("/").text))
    assert set(browser.get(source).content) == {0xFF}


def test_a_dataset_behind_a_url_is_read_by_ranges(tmp_path: Path) -> None:
    output = small_dataset(tmp_path)
    with serving_folder(output) as server:
        browser = browsing(opened(server.url, tmp_path / "cache"))
        source = re.findall(r'<img src="([^"]*)"', browser.get("/documents?q=zebra").text)[0]
        assert Image.open(io.BytesIO(browser.get(html.unescape(source)).content)).size == (64, 48)


def test_long_and_invisible_texts_are_cut_and_made_visible(tmp_path: Path) -> None:
    output = small_dataset(tmp_path)
    extra = '{"note":"<b>\\u202e' + "x" * 100_000 + '"}'
    key = damage.edit_document(
        output, lambda one: one.update(title="t" * 16_000, license="\u202eevil", channel="a\x1b[31mb", extra=extra)
    )
    browser = browsing(opened(output, tmp_path / "cache"))
    for path in ("/", f"/document/{damage.first_key(output)}", "/documents?license=%E2%80%AEevil"):
        answer = browser.get(path)
        assert answer.status_code == 200, (path, key)
        assert len(answer.text) < 40_000, path
        assert not {"\u202e", "\x1b"} & set(answer.text), path
        assert "<b>" not in answer.text.partition("About this document")[2], path


def test_a_shard_that_vanishes_while_it_is_shown_is_told(tmp_path: Path) -> None:
    output = small_dataset(tmp_path)
    one = opened(output, tmp_path / "cache")
    browser = browsing(one)
    path = f"/document/{first_key(one)}"
    (output / one.published.shards[0].file).unlink()
    answer = browser.get(path)
    assert answer.status_code == 500
    assert "cannot be read: there is no such file" in words(answer)
    assert browser.get(f"{path}/0.jpg").status_code == 500
    assert browser.get("/").status_code == 200


def test_a_page_says_how_far_the_index_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORYLOOM_CACHE", str(tmp_path / "cache"))
    browser = browsing(Dataset(small_dataset(tmp_path)))
    assert "Reading the documents: 0 of 3 documents." in words(browser.get("/"))
    assert browser.get("/indexing").json() == {"done": 0, "total": 3, "finished": False}
    for path in ("/documents", "/documents?q=zebra&sort=score", "/figures", "/damaged"):
        assert browser.get(path).status_code == 200
    assert "It may not have been read yet." in words(browser.get("/document/nothing"))


@pytest.fixture
def replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[TestClient, str, str]:
    """A browser on a dataset that was replaced since, an old document of it, and a new one."""
    monkeypatch.setenv("STORYLOOM_CACHE", str(tmp_path / "cache"))
    dataset(tmp_path / "new", [[video(name, document(words="quite other words")) for name in "nm"]], WriteConfig())
    output, away = small_dataset(tmp_path), tmp_path / "away"
    one = opened(output, tmp_path / "cache")
    browser, old = browsing(one), first_key(one)
    output.rename(away)
    (tmp_path / "new" / "out").rename(output)
    return browser, old, damage.first_key(output)


def test_a_dataset_that_is_published_again_is_shown_at_once_and_whole(
    replaced: tuple[TestClient, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, old, new = replaced
    monkeypatch.setattr("storyloom.view.dataset.LOOK_AGAIN", 0.0)
    assert "3 documents from 2 videos" not in words(browser.get("/"))
    read_through(browser)
    assert "2 documents from 2 videos" in words(browser.get("/"))
    assert browser.get(f"/document/{new}").status_code == 200
    assert browser.get(f"/document/{old}").status_code == 404


@pytest.mark.parametrize("path", ["/", "/documents", "/document/{old}", "/document/{old}/0.jpg"])
def test_a_sound_dataset_is_not_called_damaged_because_it_is_another(
    replaced: tuple[TestClient, str, str], path: str
) -> None:
    browser, old, _ = replaced
    answer = browser.get(path.format(old=old))
    assert answer.status_code in (200, 404)
    if path in ("/", "/documents"):
        assert "2 documents" in words(answer)
    assert "cannot be read" not in words(answer)


def test_while_a_run_replaces_the_dataset_that_is_said(tmp_path: Path) -> None:
    output = small_dataset(tmp_path)
    one = opened(output, tmp_path / "cache")
    browser, old = browsing(one), first_key(one)
    (output / "manifest.json").unlink()
    (output / one.published.shards[0].file).unlink()
    assert "a run may be replacing it" in words(browser.get(f"/document/{old}"))
    assert "a run may be replacing it" in words(browser.get("/"))
