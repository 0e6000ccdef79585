"""Search, filters, orders and pages over an index."""

import pytest

from stages.write.stage import WriteConfig
from storyloom.stats.flags import Flag
from storyloom.view.dataset import Dataset
from storyloom.view.search import Search, count, facet, find, flagged
from tests.documents import dataset, document, video, videos
from tests.storyloom.stats.made import small_dataset
from tests.storyloom.view.made import opened

TALK = "a Café in Zürich 猫が好き"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("small")
    return opened(small_dataset(folder), folder / "cache")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Thirty documents with one score, and one with words in other scripts."""
    folder = tmp_path_factory.mktemp("many")
    dataset(folder, [[*videos(15), video("talk", document(words=TALK))]], WriteConfig())
    return opened(folder / "out", folder / "cache")


def titles(one: Dataset, search: Search) -> list[str]:
    with one.index.reading() as base:
        return [one.story(address).sample.title for address in find(base, search).documents]


def numbers(one: Dataset, **query: str) -> int:
    with one.index.reading() as base:
        return count(base, Search.of(query))


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("zebra", 1),
        ("ZEB", 1),  # the begin of a word, in any case
        ("zebra hello", 0),  # all words
        ("zebra words", 1),
        ('"zebra crossing"', 1),
        ('"crossing zebra"', 0),  # a phrase stands together
        ("harbour", 2),  # the title's and the id's
        ("dawn", 2),
        ("mill", 1),
        ("harbour.mp4", 2),
        ('"', 3),
        ("* OR NOT", 0),  # words, not a language of queries
        ("NEAR(zebra)", 0),
    ],
)
def test_words_are_looked_for_in_titles_sentences_and_ids(small: Dataset, words: str, found: int) -> None:
    assert numbers(small, q=words) == found


@pytest.mark.parametrize("words", ["cafe", "ZURICH", "猫", "好き", '"が好"'])
def test_words_of_other_scripts_are_found(many: Dataset, words: str) -> None:
    assert titles(many, Search.of({"q": words})) == ["talk"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"language": "de"}, 1),
        ({"language": "en"}, 2),
        ({"not-language": "en"}, 1),
        ({"license": "CC-BY-4.0"}, 2),
        ({"license": "unknown"}, 1),
        ({"language": "nothing of the kind"}, 0),
        ({"source": "subtitles"}, 1),
        ({"site": "example.org"}, 2),
        ({"site": "javascript"}, 0),
        ({"split": "train"}, 3),
        ({"video": "harbour"}, 2),
        ({"from": "0.2"}, 2),
        ({"to": "0.2"}, 1),
        ({"from": "0.2", "to": "0.3"}, 1),
        ({"from": "nonsense"}, 3),
        ({"flag": "short"}, 3),
        ({"flag": "mostly_alone"}, 0),
        ({"flag": "nonsense"}, 3),
        ({"language": "en", "q": "seven"}, 1),
    ],
)
def test_filters_leave_what_they_name(small: Dataset, query: dict[str, str], found: int) -> None:
    assert numbers(small, **query) == found


def test_orders_go_by_their_column(small: Dataset) -> None:
    told = {}
    for order in ("order", "score-low", "score", "words", "words-low", "images"):
        with small.index.reading() as base:
            addresses = find(base, Search.of({"sort": order})).documents
        told[order] = [(story.words, story.score, len(story.sample.pictures)) for story in map(small.story, addresses)]
    assert [words for words, _, _ in told["words"]] == [9, 5, 2]
    assert [words for words, _, _ in told["words-low"]] == [2, 5, 9]
    assert [score for _, score, _ in told["score"]] == pytest.approx([0.4, 0.25, 0.1])
    assert told["score-low"] == told["score"][::-1]
    assert [pictures for _, _, pictures in told["images"]] == [3, 2, 1]
    assert sorted(told["order"]) == sorted(told["words"])


@pytest.mark.parametrize(
    "query", [{}, {"sort": "score"}, {"sort": "words-low"}, {"q": "so", "sort": "images"}, {"q": "so"}]
)
def test_pages_hold_every_document_once_and_lead_back(many: Dataset, query: dict[str, str]) -> None:
    search = Search.of(query)
    with many.index.reading() as base:
        pages = [find(base, search, most=7)]
        while pages[-1].after:
            pages.append(find(base, search, after=pages[-1].after, most=7))
        back = [pages[-1]]
        while back[-1].before:
            back.append(find(base, search, before=back[-1].before, most=7))
        ids = [one.id for page in pages for one in page.documents]
        assert len(ids) == len(set(ids)) == count(base, search)
    assert [one.documents for one in back[::-1]] == [one.documents for one in pages]
    assert pages[0].before == ""


def test_facets_count_what_the_other_filters_leave(small: Dataset) -> None:
    with small.index.reading() as base:
        assert facet(base, Search.of({"license": "CC-BY-4.0", "language": "de"}), "language") == [("de", 1), ("en", 1)]
        assert facet(base, Search.of({"q": "hello"}), "license") == [("", 1)]
        assert flagged(base, Search())[Flag.SHORT] == 3


def test_a_search_is_its_address() -> None:
    query = {"q": "red cup", "language": "en", "flag": "short", "from": "0.2", "sort": "score"}
    search = Search.of(query)
    assert Search.of({"q": "red cup", **query}) == search
    assert search.query() == "?q=red+cup&language=en&flag=short&from=0.2&sort=score"
    assert search.query(q="", flag="") == "?language=en&from=0.2&sort=score"
