"""Counting on a grid gives what numpy gives with all values in memory."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from storyloom.stats.counting import GRIDS
from storyloom.stats.distributions import MAX_BARS, MAX_NAMES, OTHERS, PERCENTS, Distribution, GridCount, add_names

SIMILARITIES = st.lists(st.integers(-10_000, 10_000).map(lambda n: n / 10_000), min_size=1, max_size=200)
SHIFTS = st.lists(st.integers(-1000, 1000).map(lambda n: n / 100), min_size=1, max_size=200)


def counted(name: str, values: list[float]) -> Distribution:
    grid = GridCount(GRIDS[name])
    grid.add(values)
    return grid.distribution()


@given(SIMILARITIES)
def test_quantiles_are_values_that_so_many_do_not_exceed(values: list[float]) -> None:
    found = counted("similarity", values)
    wanted = np.percentile(values, PERCENTS, method="inverted_cdf").round(4).tolist()
    assert [found.p5, found.p25, found.p50, found.p75, found.p95] == wanted
    assert (found.count, found.min, found.max) == (len(values), min(values), max(values))
    assert abs(found.mean - np.mean(values)) < 1e-4


@given(SIMILARITIES)
def test_a_histogram_counts_every_value_once_between_its_edges(values: list[float]) -> None:
    histogram = counted("similarity", values).histogram
    assert sum(histogram.counts) == len(values)
    assert len(histogram.edges) == len(histogram.counts) + 1 <= MAX_BARS + 1
    ends = np.array(histogram.edges)
    wanted = np.histogram(np.round(values, 4) + 1e-9, np.append(ends[:-1], ends[-1] + 1e-6))[0]
    assert histogram.counts == wanted.tolist()


@given(SHIFTS)
def test_zero_is_at_no_edge_of_a_centred_histogram(values: list[float]) -> None:
    assert all(abs(edge) > 0.1 for edge in counted("shift", values).histogram.edges)


@given(SIMILARITIES, SIMILARITIES)
def test_counting_apart_and_merging_is_counting_together(first: list[float], second: list[float]) -> None:
    apart, other = GridCount(GRIDS["similarity"]), GridCount(GRIDS["similarity"])
    apart.add(first)
    other.add(second)
    apart.merge(other)
    together = counted("similarity", [*first, *second])
    assert apart.distribution().model_dump(exclude={"mean"}) == together.model_dump(exclude={"mean"})


def test_nothing_counted_is_a_distribution_too() -> None:
    found = GridCount(GRIDS["shift"]).distribution()
    assert (found.count, found.histogram.counts) == (0, [])


def test_a_value_beyond_the_grid_is_counted_at_its_end_and_is_the_maximum() -> None:
    found = counted("images", [3, 5000])
    assert (found.p95, found.max, found.count) == (1000, 5000, 2)


def test_names_of_strangers_are_bounded() -> None:
    names: Counter[str] = Counter()
    add_names(names, [f"licence {n}" for n in range(MAX_NAMES + 50)])
    add_names(names, ["licence 3", "one more"])
    assert (len(names), names["licence 3"], names[OTHERS]) == (MAX_NAMES + 1, 2, 51)
