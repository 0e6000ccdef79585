"""What judgements say: precision by band and of the whole, a threshold, and honest words where they cannot tell."""

from pathlib import Path

import pytest

from storyloom.review.design import Pair
from storyloom.review.judgements import Answer, Notebook, read
from storyloom.review.summary import agreement_of, summary
from tests.storyloom.review.made import drawn, judge, with_scores

SCORES = [[round(0.100 + 0.001 * n, 3), round(0.300 + 0.001 * n, 3)] for n in range(100)]
"""Two hundred pairs of a hundred documents: from 0.100 to 0.199, and from 0.300 to 0.399."""


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_scores(tmp_path_factory.mktemp("summed"), SCORES)


def low_is_wrong(pair: Pair) -> Answer:
    return "right" if pair.score >= 0.3 else "wrong"


def test_a_threshold_is_shown_where_all_above_it_is_right(output: Path, tmp_path: Path) -> None:
    judge(output, tmp_path / "me.jsonl", low_is_wrong, count=200)
    found = summary(read(tmp_path / "me.jsonl"), 0.95)
    assert [(one.right, one.wrong) for one in found.bands] == [(0, 40), (0, 40), (20, 20), (40, 0), (40, 0)]
    assert found.precision is not None
    assert found.precision.value == pytest.approx(0.5)
    assert found.precision.low < 0.5 < found.precision.high
    assert found.shown == found.likely == found.bands[3].low == 0.32
    assert "A threshold of 0.3200 gives a precision of 95.0 %" in found.words[-1]
    assert "It keeps 40.0 % of the pairs" in found.words[-1]


def test_few_judgements_say_that_they_cannot_show_it_and_how_many_would(output: Path, tmp_path: Path) -> None:
    judge(output, tmp_path / "me.jsonl", lambda _pair: "right", count=25)
    found = summary(read(tmp_path / "me.jsonl"), 0.95)
    assert (found.likely, found.shown) == (0.1, None)
    assert "cannot show it: that takes at least 73 pairs" in found.words[-1]


def test_a_dataset_that_is_good_enough_needs_no_threshold(output: Path, tmp_path: Path) -> None:
    judge(output, tmp_path / "me.jsonl", lambda _pair: "right")
    assert "No threshold is needed" in summary(read(tmp_path / "me.jsonl"), 0.95).words[-1]


def test_where_no_threshold_helps_the_best_is_named_with_its_interval(output: Path, tmp_path: Path) -> None:
    judge(output, tmp_path / "me.jsonl", lambda pair: "right" if pair.image == 0 else "wrong", count=100)
    found = summary(read(tmp_path / "me.jsonl"), 0.95)
    assert found.likely is None
    assert "No threshold that these bands can tell gives 95.0 %" in found.words[-1]


def test_what_nobody_could_say_is_left_out_and_counted_with_its_worst_case(output: Path, tmp_path: Path) -> None:
    judge(output, tmp_path / "me.jsonl", lambda pair: "unsure" if pair.score < 0.12 else "right", count=200)
    found = summary(read(tmp_path / "me.jsonl"), 0.95)
    assert found.unsure == 20
    assert found.precision is not None
    assert found.if_unsure_wrong is not None
    assert [found.precision.value, found.if_unsure_wrong.value] == pytest.approx([1.0, 0.9])
    assert "Were all 20 wrong" in found.words[1]


def test_an_unfinished_review_says_so_before_any_figure(output: Path, tmp_path: Path) -> None:
    with Notebook(tmp_path / "me.jsonl", *drawn(output)) as notebook:
        notebook.put(0, "right")
        found = summary(notebook.judged(), 0.95)
    assert found.precision is None
    assert found.words == ["1 of 100 pairs are judged; the whole is known once every band has an answer."]


def test_two_people_s_files_give_their_agreement(output: Path, tmp_path: Path) -> None:
    judge(output, tmp_path / "me.jsonl", low_is_wrong)
    judge(output, tmp_path / "you.jsonl", lambda pair: "unsure" if pair.band == 0 else low_is_wrong(pair))
    found = agreement_of(read(tmp_path / "me.jsonl"), read(tmp_path / "you.jsonl"))
    assert (found.pairs, found.same) == (100, 80)
    assert found.kappa is not None
    assert 0.6 < found.kappa < 0.75
