"""A drawing of how figures grow with the size of the work: both axes by powers of ten, as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, BELOW, RIGHT = 600, 340, 60, 40, 240

COLORS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#7f7f7f")


@dataclass(frozen=True)
class Curve:
    """A figure at several sizes.

    Attributes:
        name: With its unit.
        points: Size and figure, both over 0.
    """

    name: str
    points: Sequence[tuple[float, float]]

    @property
    def slope(self) -> float:
        """The power of the size with which the figure grows between the two largest sizes: 1 is in proportion."""
        if len(self.points) < 2:  # noqa: PLR2004 - a line's ends
            return math.nan
        (size, figure), (larger, more) = sorted(self.points)[-2:]
        return math.log(more / figure) / math.log(larger / size)


def drawn(curves: Sequence[Curve], sizes: str) -> str:
    """The curves as SVG.

    Args:
        curves: At least one with a point.
        sizes: What is counted on the horizontal axis.
    """
    points = [(math.log10(x), math.log10(max(y, 1e-3))) for curve in curves for x, y in curve.points]
    (left, right), (low, high) = ((math.floor(min(one)), math.ceil(max(one))) for one in zip(*points, strict=True))
    right, high = max(right, left + 1), max(high, low + 1)

    def at(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - left) / (right - left) * (WIDTH - LEFT - RIGHT)
        return round(across, 1), round(HEIGHT - BELOW - (y - low) / (high - low) * (HEIGHT - BELOW - 20), 1)

    found = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">']
    found.append(f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>')
    for power in range(left, right + 1):
        (x, bottom), (_, top) = at(power, low), at(power, high)
        found.append(f'<path d="M{x} {bottom}V{top}" stroke="#ddd"/>')
        found.append(f'<text x="{x}" y="{bottom + 16}" font-size="11" text-anchor="middle">{10**power:,}</text>')
    for power in range(low, high + 1):
        (begin, y), (end, _) = at(left, power), at(right, power)
        found.append(f'<path d="M{begin} {y}H{end}" stroke="#ddd"/>')
        found.append(f'<text x="{begin - 6}" y="{y + 4}" font-size="11" text-anchor="end">{10.0**power:g}</text>')
    for number, curve in enumerate(curves):
        color = COLORS[number % len(COLORS)]
        places = [at(math.log10(x), math.log10(max(y, 1e-3))) for x, y in sorted(curve.points)]
        line = " ".join(f"{x},{y}" for x, y in places)
        found.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>')
        found += [f'<circle cx="{x}" cy="{y}" r="3" fill="{color}"/>' for x, y in places]
        slope = "" if math.isnan(curve.slope) else f", slope {curve.slope:.2f}"
        name, y = escape(curve.name + slope), 30 + 18 * number
        found.append(f'<text x="{WIDTH - RIGHT + 10}" y="{y}" font-size="11" fill="{color}">{name}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    found.append(f'<text x="{middle}" y="{HEIGHT - 8}" font-size="12" text-anchor="middle">{escape(sizes)}</text>')
    return "\n".join([*found, "</svg>"]) + "\n"
