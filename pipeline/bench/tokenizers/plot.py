"""A drawing of what tokenizers cost and keep, as SVG: tokens and bits against quality, and tokens against alignment."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from pipeline.bench.tokenizers.report import ALL, BLANK, CHANGED, HELD, PROMPTED, Measured, Report

WIDTH, PANEL, LEFT, TOP, GAP = 760, 250, 58, 34, 76
"""Pixels: of the whole drawing across, of a panel's height, left of the axes, above and between panels."""

RIGHT = 210
"""Pixels right of the axes, for the legend."""

STYLE = """
svg { background: #ffffff; color: #1b1f24; --bg: #ffffff; --grid: #d8dee4;
  --c0: #0550ae; --c1: #bc4c00; --c2: #116329; --c3: #8250df;
  --c4: #a40e26; --c5: #57606a; --c6: #9a6700; --c7: #1b7c83 }
text { fill: currentColor; font: 12px sans-serif } .title { font-weight: bold } .small { font-size: 11px }
.grid { stroke: var(--grid) }
@media (prefers-color-scheme: dark) { svg { background: #0d1117; color: #e6edf3; --bg: #0d1117; --grid: #30363d;
  --c0: #79c0ff; --c1: #ffa657; --c2: #7ee787; --c3: #d2a8ff;
  --c4: #ff7b72; --c5: #9ea7b3; --c6: #e3b341; --c7: #56d4dd } }
"""
"""Each colour has a contrast of over 4.5 against its background."""

COLORS = 8

LOSSLESS = 50.0
"""Decibels at which a lossless row is drawn, at the top (our choice)."""

Figure = Callable[[Measured], float | None]


@dataclass(frozen=True)
class Line:
    """A line of the legend: a family of tokenizers, or one of them at shares of its tokens.

    Attributes:
        name: As the legend calls it.
        color: Number of the family.
        sent: Which tokens, as in `Measured`; it has a mark of its own.
        rows: Of its points.
    """

    name: str
    color: int
    sent: str
    rows: Sequence[Measured]


@dataclass(frozen=True)
class Panel:
    """Axes: what they are called, and the figures of a row; a row without one of them is left out."""

    title: str
    x_name: str
    x: Figure
    y: Figure
    level: tuple[float, str] | None = None
    """A level to compare with, and its name."""


def drawn(report: Report) -> str:
    """The report as SVG, readable on light and dark pages."""
    lines = legend(report)
    panels = [one for one in _panels(report) if any(_points(line, one) for line in lines)]
    height = TOP + len(panels) * (PANEL + GAP)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">']
    parts.append(f"<title>{escape(report.dataset)}: what tokenizers cost and keep</title><style>{STYLE}</style>")
    for number, panel in enumerate(panels):
        parts += _drawn_panel(panel, lines, TOP + number * (PANEL + GAP))
    for number, line in enumerate(lines):
        y = TOP + 8 + 19 * number
        parts.append(_mark(line, WIDTH - RIGHT + 20, y))
        parts.append(f'<text x="{WIDTH - RIGHT + 32}" y="{y + 4}">{escape(line.name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def legend(report: Report) -> list[Line]:
    """The lines: those of families in several sizes, then those of shares, which begin at all tokens."""
    families: dict[str, list[Measured]] = {}
    for row in report.whole:
        families.setdefault(_family(row.tokenizer), []).append(row)
    colors = {name: number for number, name in enumerate(families)}
    whole = {row.tokenizer: row for row in report.whole}
    shares: dict[tuple[str, str], list[Measured]] = {}
    for row in report.sparse:
        shares.setdefault((row.tokenizer, row.sent), [whole[row.tokenizer]]).append(row)
    return [
        *(Line(name, colors[name], ALL, rows) for name, rows in families.items()),
        *(Line(f"{name}: {sent}", colors[_family(name)], sent, rows) for (name, sent), rows in shares.items()),
    ]


def _family(tokenizer: str) -> str:
    """The name without a number at its end."""
    stem, _, size = tokenizer.rpartition("-")
    return stem if stem and size.isdigit() else tokenizer


def _panels(report: Report) -> Iterator[Panel]:
    before = report.originals
    yield Panel("PSNR in dB by tokens a frame", "tokens a frame", lambda row: row.tokens_per_frame, _decibels)
    yield Panel("PSNR in dB by bits a frame", "bits a frame", lambda row: row.bits_per_frame, _decibels)
    yield Panel(
        "image-text AUC by tokens a frame",
        "tokens a frame",
        lambda row: row.tokens_per_frame,
        lambda row: row.survival.auc if row.survival else None,
        None if before is None else (before.auc, "the frames themselves"),
    )


def _decibels(row: Measured) -> float | None:
    if row.quality is None:
        return None
    return LOSSLESS if row.quality.psnr is None else min(LOSSLESS, row.quality.psnr)


def _points(line: Line, panel: Panel) -> list[tuple[float, float]]:
    found = [(panel.x(row), panel.y(row)) for row in line.rows]
    return sorted((x, y) for x, y in found if x is not None and y is not None)


def _drawn_panel(panel: Panel, lines: Sequence[Line], top: float) -> Iterator[str]:
    points = [(line, _points(line, panel)) for line in lines]
    every = [point for _, some in points for point in some]
    xs = [math.log10(x) for x, _ in every]
    ys = [y for _, y in every] + ([panel.level[0]] if panel.level else [])
    left, right = min(xs) - 0.05, max(*xs, min(xs) + 0.5) + 0.05
    step = _step(max(ys) - min(ys))
    low, high = math.floor(min(ys) / step) * step, math.ceil(max(ys) / step) * step
    if high == low:
        high = low + step

    def at(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (math.log10(x) - left) / (right - left) * (WIDTH - LEFT - RIGHT)
        return round(across, 1), round(top + PANEL - (y - low) / (high - low) * PANEL, 1)

    end = WIDTH - RIGHT
    yield f'<text class="title" x="{LEFT}" y="{top - 12}">{escape(panel.title)}</text>'
    for number in range(round((high - low) / step) + 1):
        value = low + number * step
        _, y = at(10**left, value)
        label = (
            "lossless" if panel.y is _decibels and value == LOSSLESS else f"{value:g}" if step >= 1 else f"{value:.2f}"
        )
        yield f'<path class="grid" d="M{LEFT} {y}H{end}"/>'
        yield f'<text class="small" x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{label}</text>'
    for value in _ticks(10**left, 10**right):
        x, bottom = at(value, low)
        yield f'<path class="grid" d="M{x} {bottom}V{top}"/>'
        yield f'<text class="small" x="{x}" y="{bottom + 16}" text-anchor="middle">{_short(value)}</text>'
    middle = (LEFT + end) / 2
    yield f'<text class="small" x="{middle}" y="{top + PANEL + 33}" text-anchor="middle">{panel.x_name}</text>'
    if panel.level:
        value, name = panel.level
        _, y = at(10**left, value)
        yield f'<path d="M{LEFT} {y}H{end}" stroke="currentColor" stroke-dasharray="2 3"/>'
        yield f'<text class="small" x="{end - 6}" y="{y - 5}" text-anchor="end">{escape(name)}</text>'
    for line, some in points:
        places = [at(x, y) for x, y in some]
        path = " ".join(f"{x},{y}" for x, y in places)
        dashes = "" if line.sent in (ALL, CHANGED, PROMPTED) else ' stroke-dasharray="3 3"'
        color = f'stroke="var(--c{line.color % COLORS})"'
        yield f'<polyline points="{path}" fill="none" {color} stroke-width="1.6"{dashes}/>'
        marked = places if line.sent == ALL else places[:-1]  # that of all tokens has its mark
        yield from (_mark(line, x, y) for x, y in marked)


def _mark(line: Line, x: float, y: float) -> str:
    """A point of a line: round for all tokens; hollow for the controls, in the shape of what they are held against."""
    color = f"var(--c{line.color % COLORS})"
    paint = f'fill="{"var(--bg)" if line.sent in (HELD, BLANK) else color}" stroke="{color}" stroke-width="1.4"'
    if line.sent == ALL:
        return f'<circle cx="{x}" cy="{y}" r="4" {paint}/>'
    if line.sent in (CHANGED, HELD):
        return f'<path d="M{x} {y - 4.5:.1f}L{x + 4.5:.1f} {y + 3.5:.1f}H{x - 4.5:.1f}Z" {paint}/>'
    return f'<path d="M{x} {y - 4.5:.1f}L{x + 4.5:.1f} {y}L{x} {y + 4.5:.1f}L{x - 4.5:.1f} {y}Z" {paint}/>'


def _step(extent: float) -> float:
    """A round step that cuts an extent into three to eight."""
    enough = max(extent, 0.01) / 6
    power = 10.0 ** math.floor(math.log10(enough))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= enough * (1 - 1e-9))


def _short(number: int) -> str:
    """A round number in few letters: 500, 20k, 1M."""
    for size, letter in ((1_000_000, "M"), (1000, "k")):
        if number >= size:
            return f"{number // size}{letter}"
    return str(number)


def _ticks(low: float, high: float) -> list[int]:
    """Round numbers between two: 1, 2 and 5 times powers of ten; powers alone where they suffice."""
    powers = range(max(0, math.floor(math.log10(low))), math.ceil(math.log10(high)) + 1)
    digits = (1,) if math.log10(high / low) > 3 else (1, 2, 5)  # noqa: PLR2004 - decades
    return [digit * 10**power for power in powers for digit in digits if low <= digit * 10**power <= high]
