"""Distributions in bounded memory: values are counted on a fine grid, and summed up as quantiles and a histogram."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel

PERCENTS = (5, 25, 50, 75, 95)

MIN_BARS, MAX_BARS = 8, 25
"""A histogram of n values has at most twice the cube root of n intervals (Rice's rule), within these bounds."""

MAX_NAMES = 1000
"""Distinct names that are counted, e.g. licences; later ones are counted together."""

OTHERS = "(others)"


class Histogram(BaseModel):
    """Counts by interval.

    Attributes:
        edges: Bounds of the half-open intervals, one more than there are counts.
        counts: Values in each interval.
    """

    edges: list[float]
    counts: list[int]


class Distribution(BaseModel):
    """The distribution of a quantity; all 0.0 and empty when there is no value.

    Attributes:
        count: How many values.
        mean: Of the values.
        min: The smallest one.
        p5: The smallest value that at least 5 % of the values do not exceed.
        p25: Likewise.
        p50: Likewise.
        p75: Likewise.
        p95: Likewise.
        max: The largest value.
        histogram: In at most 25 intervals of one round width; fewer for few values.
    """

    count: int
    mean: float
    min: float
    p5: float
    p25: float
    p50: float
    p75: float
    p95: float
    max: float
    histogram: Histogram


@dataclass(frozen=True)
class Grid:
    """The values that are distinguished; a value beyond an end is counted at the end.

    Attributes:
        low: The smallest one, a multiple of `step`.
        high: The largest one.
        step: Difference of neighbouring values.
        decimals: Digits after the point that `step` needs.
        narrowest: Width of a histogram's interval, in steps, at least; 1, 2 or 5 times a power of ten.
        centred: Whether an interval of the histogram is to have 0 in its middle, and not at its edge.
    """

    low: float
    high: float
    step: float
    decimals: int
    narrowest: int = 1
    centred: bool = False

    @property
    def origin(self) -> int:
        """`low` in steps."""
        return round(self.low / self.step)

    @property
    def size(self) -> int:
        """How many values there are."""
        return round(self.high / self.step) - self.origin + 1


class GridCount:
    """Counts values of a grid; its memory does not grow with what it counts."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.counts = np.zeros(grid.size, np.int64)
        self.total = 0.0
        self.min = np.inf
        self.max = -np.inf

    def add(self, values: ArrayLike) -> None:
        """Count values."""
        found = np.asarray(values, np.float64)
        if not found.size:
            return
        places = np.rint(found / self.grid.step).astype(np.int64) - self.grid.origin
        self.counts += np.bincount(np.clip(places, 0, self.grid.size - 1), minlength=self.grid.size)
        self.total += float(found.sum())
        self.min = min(self.min, float(found.min()))
        self.max = max(self.max, float(found.max()))

    def merge(self, other: GridCount) -> None:
        """Add the counts of another one with the same grid."""
        self.counts += other.counts
        self.total += other.total
        self.min = min(self.min, other.min)
        self.max = max(self.max, other.max)

    def distribution(self) -> Distribution:
        """The distribution of the counted values."""
        count = int(self.counts.sum())
        if not count:
            nothing = Histogram(edges=[], counts=[])
            return Distribution(count=0, mean=0, min=0, p5=0, p25=0, p50=0, p75=0, p95=0, max=0, histogram=nothing)
        p5, p25, p50, p75, p95 = (self._quantile(percent, count) for percent in PERCENTS)
        return Distribution(
            count=count,
            mean=round(self.total / count, 4),
            min=self.min,
            p5=p5,
            p25=p25,
            p50=p50,
            p75=p75,
            p95=p95,
            max=self.max,
            histogram=self._histogram(),
        )

    def _quantile(self, percent: int, count: int) -> float:
        rank = max(1, -(-percent * count // 100))
        return self._value(int(np.searchsorted(np.cumsum(self.counts), rank)) + self.grid.origin)

    def _value(self, steps: float) -> float:
        return round(steps * self.grid.step, self.grid.decimals + 1) + 0.0  # turns -0.0 into 0.0

    def _histogram(self) -> Histogram:
        filled = np.flatnonzero(self.counts)
        first, last = int(filled[0]) + self.grid.origin, int(filled[-1]) + self.grid.origin
        count = int(self.counts[filled].sum())
        bars_wanted = min(max(MIN_BARS, round(2 * count ** (1 / 3))), MAX_BARS)
        width = _round_width(last - first + 1, bars_wanted, self.grid)
        shift = width // 2 if self.grid.centred else 0
        bars = np.arange((first + shift) // width, (last + shift) // width + 1)
        of_value = (filled + self.grid.origin + shift) // width - bars[0]
        counts = np.bincount(of_value, weights=self.counts[filled], minlength=len(bars)).astype(np.int64)
        edges = np.append(bars, bars[-1] + 1) * width - shift
        return Histogram(edges=[self._value(edge) for edge in edges.tolist()], counts=counts.tolist())


def _round_width(span: int, bars: int, grid: Grid) -> int:
    """The smallest of 1, 2, 5, 10, 20, … steps that cuts a span into few enough bars."""
    enough = max(grid.narrowest, span / (bars - 1))
    tens = [int(10**power) for power in range(12)]
    widths = [digit * ten for ten in tens for digit in (1, 2, 5)]
    return next(width for width in widths if width >= enough and (width % 2 == 0 or not grid.centred))


def add_names(counter: Counter[str], names: Iterable[str] | Counter[str]) -> None:
    """Count names, at most `MAX_NAMES` different ones: they are untrusted input."""
    for name, count in Counter(names).items():
        known = name in counter or len(counter) < MAX_NAMES
        counter[name if known else OTHERS] += count
