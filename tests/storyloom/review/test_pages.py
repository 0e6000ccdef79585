"""The pages of a review: what they show, what they hide, and who may answer."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from storyloom.review.judgements import Notebook, read
from storyloom.review.room import ReviewPages
from storyloom.view.app import create_app
from storyloom.view.dataset import Dataset
from tests.documents import read_shard
from tests.storyloom.review.made import drawn, with_scores

HERE = "http://127.0.0.1:8000"
SCORES = [[0.1111, 0.2222], [0.3333], [0.4444]]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_scores(tmp_path_factory.mktemp("pages"), SCORES)


@pytest.fixture
def notebook(output: Path, tmp_path: Path) -> Iterator[Notebook]:
    with Notebook(tmp_path / "me.jsonl", *drawn(output)) as notebook:
        yield notebook


@pytest.fixture
def client(output: Path, notebook: Notebook, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TestClient:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    dataset = Dataset(output)
    pages = ReviewPages(dataset.reader, dataset.published, notebook, 0.95)
    return TestClient(create_app(dataset, [pages.room()]), base_url=HERE)


def test_a_pair_is_shown_with_its_sentence_and_without_its_score(client: TestClient, notebook: Notebook) -> None:
    first = notebook.pairs[0]
    answer = client.get("/review")
    assert str(answer.url) == f"{HERE}/review/1"
    assert f"so here we 0 {first.image}" in answer.text
    assert all(f"{score}" not in answer.text for one in SCORES for score in one)
    assert "Pair 1 of 4" in answer.text


def test_the_picture_is_the_pair_s_own(client: TestClient, notebook: Notebook, output: Path) -> None:
    pair = notebook.pairs[0]
    members = {name: content for shard in sorted(output.rglob("*.tar")) for name, content in read_shard(shard).items()}
    assert client.get("/review/1.jpg").content == members[f"{pair.key}.{pair.image:03d}.jpg"]


def test_an_answer_is_kept_and_the_next_open_pair_comes(client: TestClient, notebook: Notebook, tmp_path: Path) -> None:
    reply = client.post("/review/1/wrong", headers={"origin": HERE})
    assert reply.json() == {"next": "/review/2"}
    pair = notebook.pairs[0]
    assert read(tmp_path / "me.jsonl").judgements[pair.key, pair.image].answer == "wrong"
    assert 'data-answer="wrong" aria-keyshortcuts="2" aria-pressed="true"' in client.get("/review/1").text


def test_after_the_last_answer_the_summary_comes(client: TestClient) -> None:
    replies = [client.post(f"/review/{n}/right", headers={"origin": HERE}).json()["next"] for n in range(1, 5)]
    assert replies[-1] == "/review/summary"
    said = client.get("/review/summary").text
    assert "4 of 4 pairs are judged" in said
    assert "0.4444 to 0.4444" in said


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://127.0.0.1:9999"])
def test_nobody_else_s_page_may_answer(client: TestClient, notebook: Notebook, origin: str | None) -> None:
    reply = client.post("/review/1/right", headers={"origin": origin} if origin else {})
    assert reply.status_code == 403
    assert notebook.answers == {}


@pytest.mark.parametrize(
    ("path", "status"), [("/review/1/maybe", 400), ("/review/5/right", 404), ("/review/0/right", 404)]
)
def test_an_answer_or_pair_that_is_none_changes_nothing(
    client: TestClient, notebook: Notebook, path: str, status: int
) -> None:
    assert client.post(path, headers={"origin": HERE}).status_code == status
    assert notebook.answers == {}


def test_a_get_answers_nothing(client: TestClient, notebook: Notebook) -> None:
    assert client.get("/review/1/right").status_code == 405
    assert notebook.answers == {}
