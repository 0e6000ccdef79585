"""Intervals against published values and against a known truth; agreement against a published example."""

import numpy as np
import pytest

from storyloom.review.estimate import agreement, all_right, stratified, wilson


def test_wilson_s_interval_is_that_of_newcombe_s_examples() -> None:
    # Newcombe 1998, Statist. Med. 17:857-872, table I, method 3
    for right, number, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        found = wilson(right / number, number)
        assert [found.low, found.high] == pytest.approx([low, high], abs=1e-4)


def test_equal_bands_that_are_all_right_give_the_interval_of_their_sum() -> None:
    found = stratified([(0.2, 20, 20)] * 5)
    assert found is not None
    assert found.low == pytest.approx(wilson(1.0, 100).low)


def test_a_band_stands_for_its_share_of_the_dataset_and_not_for_its_share_of_the_sample() -> None:
    found = stratified([(0.9, 10, 10), (0.1, 0, 10)])
    assert found is not None
    assert found.value == pytest.approx(0.9)


def test_a_band_without_an_answer_leaves_the_whole_unknown() -> None:
    assert stratified([(0.5, 9, 10), (0.5, 0, 0)]) is None


@pytest.mark.parametrize(
    "truth",
    [
        (0.5, 0.8, 0.9, 0.95, 0.99),
        (0.95, 0.95, 0.95, 0.95, 0.95),
        (0.8, 0.95, 0.98, 1.0, 1.0),
        (0.1, 0.1, 0.2, 0.2, 0.3),
        (0.98, 1.0, 1.0, 1.0, 1.0),
    ],
)
def test_the_interval_of_the_whole_holds_a_known_truth_and_seldom_promises_too_much(truth: tuple[float, ...]) -> None:
    weights = (0.3, 0.25, 0.2, 0.15, 0.1)
    whole = sum(weight * share for weight, share in zip(weights, truth, strict=True))
    draws = np.random.default_rng(13).binomial(20, truth, (1000, 5))
    intervals = [stratified([(w, int(n), 20) for w, n in zip(weights, one, strict=True)]) for one in draws]
    held = [one is not None and one.low <= whole <= one.high for one in intervals]
    promised = [one is not None and one.low > whole for one in intervals]
    assert np.mean(held) >= 0.92
    assert np.mean(promised) <= 0.035


def test_so_many_right_ones_show_a_precision_and_one_less_does_not() -> None:
    number = all_right(0.95)
    assert number == 73
    assert wilson(1.0, number).low >= 0.95 > wilson(1.0, number - 1).low


def test_kappa_is_that_of_cohen_s_formula() -> None:
    answers = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    found = agreement(answers)
    assert (found.pairs, found.same) == (50, 35)
    assert found.kappa == pytest.approx(0.4)


def test_kappa_is_unknown_where_both_always_gave_one_answer() -> None:
    assert agreement([("right", "right")] * 3).kappa is None
    assert agreement([]).kappa is None
    assert agreement([("right", "wrong")] * 3).kappa == 0.0
