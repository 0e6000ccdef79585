"""The layout of histograms: positions of bars, ticks and the median. the templates of `view` draw and colour them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from storyloom.stats.distributions import Distribution
from storyloom.view.counts import count_of

WIDTH, HEIGHT = 346, 182
"""Size of a plot in CSS pixels: about a phone's width, so that letters keep their size there."""

TOP, RIGHT, BOTTOM = 8, 6, 20
"""Pixels around the bars; the left margin is as wide as the labels of the counts."""

DIGIT = 7
"""Pixels of a digit, at the size of style.css."""

BAR_SHARE = 0.88
"""Width of a bar as a share of its interval; the rest is the gap to the next one."""

FEWEST_BARS = 9
"""Bars for which the axis has room at least: a single bar would fill the plot and hide its width."""

MOST_X_TICKS, MOST_Y_TICKS = 6, 4

MINUS = "\u2212"


@dataclass(frozen=True)
class Bar:
    """A bar: its position in pixels from the upper left, and its label."""

    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True)
class Tick:
    """A labelled position on an axis, in pixels from the upper left."""

    at: float
    label: str


@dataclass(frozen=True)
class Plot:
    """A histogram with its median marked; the same distribution gives the same plot.

    Attributes:
        bars: From left to right; intervals without a value have none.
        x_ticks: Values.
        y_ticks: Counts, each with a line across.
        left: Pixels from the left where the bars' area begins.
        median: Pixels from the left.
    """

    bars: list[Bar]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    left: float
    median: float


def plot(distribution: Distribution, unit: str) -> Plot:
    """The plot of a distribution.

    Args:
        distribution: With at least one value.
        unit: Unit of the counts, e.g. ``documents``; for the bars' labels.
    """
    edges, counts = distribution.histogram.edges, distribution.histogram.counts
    most = max(counts)
    y_values = _ticks(0, most, MOST_Y_TICKS, least=1)
    left = 6 + DIGIT * max(len(label) for _, label in y_values)
    low, high = _limits(edges)
    base = HEIGHT - BOTTOM

    def x(value: float) -> float:
        return round(left + (value - low) / (high - low) * (WIDTH - RIGHT - left), 1)

    def y(count: float) -> float:
        return round(base - count / most * (base - TOP), 1)

    bars = [
        Bar(
            x=x(begin),
            y=y(count),
            width=round(BAR_SHARE * (x(end) - x(begin)), 1),
            height=round(base - y(count), 1),
            label=f"{begin:g} to {end:g}: {count_of(count, unit)}",
        )
        for (begin, end), count in zip(pairwise(edges), counts, strict=True)
        if count
    ]
    return Plot(
        bars=bars,
        x_ticks=[Tick(x(value), label) for value, label in _ticks(low, high, MOST_X_TICKS)],
        y_ticks=[Tick(y(value), label) for value, label in y_values],
        left=left,
        median=x(distribution.p50),
    )


def _limits(edges: list[float]) -> tuple[float, float]:
    """Both ends of the axis: not below 0 for quantities that cannot be, and wide enough for `FEWEST_BARS`."""
    width = edges[1] - edges[0]
    missing = max(0.0, FEWEST_BARS - (edges[-1] - edges[0]) / width) * width
    left = missing / 2 if edges[0] < 0 else min(missing / 2, edges[0])
    return edges[0] - left - width / 4, edges[-1] + missing - left + width / 4


def _ticks(low: float, high: float, most: int, least: float = 0.0) -> list[tuple[float, str]]:
    """Round values between two bounds and their labels: multiples of 1, 2 or 5 times a power of ten.

    Args:
        low: The lower bound.
        high: The upper bound.
        most: Most ticks, apart from one at the lower bound.
        least: The smallest step.
    """
    enough = max(least, (high - low) / most)
    power = math.floor(math.log10(enough))
    step = next(digit * 10.0**power for digit in (1, 2, 5, 10) if digit * 10.0**power >= enough * (1 - 1e-9))
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    numbers = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    return [(number * step, f"{number * step:,.{decimals}f}".replace("-", MINUS)) for number in numbers]
