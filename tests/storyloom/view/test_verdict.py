"""The verdict: the sentence, its level, and the search behind it."""

from typing import Any

import pytest

from storyloom.stats.figures import Figures, dataset_stats
from storyloom.stats.flags import Flag, digest, flags_of
from storyloom.view.verdict import Finding, Level, percent, verdict
from tests.storyloom.stats.made import small_dataset


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Figures:
    """Of 100 documents without a fault."""
    total = dataset_stats(small_dataset(tmp_path_factory.mktemp("verdict"))).total
    return total.model_copy(
        update={
            "documents": 100,
            "images_without_text": 0.1,
            "languages": {"en": 100},
            "licenses": {"CC0": 100},
            "flags": dict.fromkeys(Flag, 0),
        }
    )


def of(figures: Figures, damaged: int = 0, **changes: Any) -> list[Finding]:
    return verdict(figures.model_copy(update=changes), damaged)


def flag(name: Flag, times: int) -> dict[Flag, int]:
    return {**dict.fromkeys(Flag, 0), name: times}


def test_a_dataset_without_a_fault_has_short_sentences_that_say_so(figures: Figures) -> None:
    found = of(figures)
    assert {one.level for one in found} == {Level.FINE}
    assert [one.text for one in found] == [
        "10 % of the frames have no sentence of their own.",
        "Every document states its licence.",
        "All documents are in one language, en.",
    ]


@pytest.mark.parametrize(
    ("changes", "level", "text", "filters"),
    [
        ({"images_without_text": 0.46}, "look", "46 % of the frames have no sentence", {"sort": "alone"}),
        ({"images_without_text": 0.7}, "wrong", "70 % of the frames have no sentence", {"sort": "alone"}),
        ({"flags": flag(Flag.UNSCORED, 3)}, "look", "3 of 100 documents have no scored frame", {"flag": "unscored"}),
        ({"flags": flag(Flag.UNSCORED, 1)}, "fine", "1 of 100 documents has no scored frame", {"flag": "unscored"}),
        ({"flags": flag(Flag.UNSCORED, 40)}, "wrong", "40 of 100 documents have", {"flag": "unscored"}),
        ({"licenses": {"": 100}}, "look", "The licence is unknown for all documents.", {"license": "unknown"}),
        ({"licenses": {"": 4, "CC0": 96}}, "look", "unknown for 4 of 100 documents", {"license": "unknown"}),
        (
            {"languages": {"en": 90, "fr": 10}},
            "look",
            "is not in the dataset's main language, en",
            {"not-language": "en"},
        ),
        (
            {"languages": {"en": 50, "": 50}},
            "wrong",
            "language is unknown for 50 of 100",
            {"language": "unknown"},
        ),
        (
            {"flags": flag(Flag.LAGGING, 12)},
            "look",
            "In 12 of 100 documents speech misses",
            {"flag": "lagging"},
        ),
        (
            {"flags": flag(Flag.SHORT, 5)},
            "look",
            "5 of 100 documents are very short",
            {"flag": "short"},
        ),
        (
            {"flags": flag(Flag.DUPLICATE, 2)},
            "look",
            "2 of 100 documents are word for word",
            {"flag": "duplicate"},
        ),
        (
            {"flags": flag(Flag.REPETITIVE, 1)},
            "fine",
            "1 of 100 documents says the same",
            {"flag": "repetitive"},
        ),
        (
            {"flags": flag(Flag.SMALL, 30)},
            "wrong",
            "30 of 100 documents have a picture",
            {"flag": "small"},
        ),
    ],
)
def test_a_fault_has_a_level_and_leads_to_its_documents(
    figures: Figures, changes: dict[str, Any], level: str, text: str, filters: dict[str, str]
) -> None:
    (found,) = (one for one in of(figures, **changes) if text in one.text)
    assert (found.level, dict(found.filters)) == (level, filters)


def test_damage_comes_first(figures: Figures) -> None:
    first = of(figures, damaged=2, images_without_text=0.46)[0]
    assert (first.level, first.text) == (Level.WRONG, "2 documents cannot be read.")


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "0 %"), (0.004, "Under 1 %"), (0.46, "46 %"), (0.998, "Over 99 %"), (1.0, "100 %")]
)
def test_a_share_is_not_rounded_to_none_or_all(share: float, text: str) -> None:
    assert percent(share) == text


class Told:
    def __init__(self, texts: list[str | None], index: list[int], side: int = 640, lag: float = 0.0) -> None:
        self.texts, self.image_text_index = texts, index
        self.image_width, self.image_height = [side] * len(index), [side // 2] * len(index)
        self.lag, self.lag_confidence = lag, 0.9
        self.words = sum(len(text.split()) for text in texts if text)


LONG = " ".join(["word"] * 20)


@pytest.mark.parametrize(
    ("told", "flags"),
    [
        (Told([LONG, None], [0]), set()),
        (Told([LONG, None], [-1]), {Flag.UNSCORED, Flag.MOSTLY_ALONE}),
        (Told([LONG], [0, -1, -1]), {Flag.MOSTLY_ALONE}),
        (Told([LONG], [0, -1]), set()),
        (Told(["only a few words"], [0]), {Flag.SHORT}),
        (Told([LONG], [0], side=223), {Flag.SMALL}),
        (Told([LONG], [0], lag=-1.5), {Flag.LAGGING}),
        (Told([LONG, *["Thank you for watching"] * 3], [0]), {Flag.REPETITIVE}),
        (Told([LONG, *["Thank you for watching"] * 2], [0]), set()),
    ],
)
def test_flags_of_a_document(told: Told, flags: set[Flag]) -> None:
    assert flags_of(told) == flags


def test_the_digest_sees_words_alone() -> None:
    assert digest(["The  Cup", None, "is red"]) == digest(["the cup is", "RED"])
    assert digest(["the cup"]) != digest(["a cup"])
