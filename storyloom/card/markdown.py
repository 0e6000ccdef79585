"""Tables and bar charts in Markdown, safe for any value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

BAR_WIDTH = 40
"""Characters of the longest bar (our choice: the chart fits a phone held sideways)."""

MOST_BARS = 24
"""Neighbouring bars of a longer histogram are joined."""

EIGHTHS = " ▏▎▍▌▋▊▉"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table whose columns are the keys, in the order of their first occurrence."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [columns, ["---"] * len(columns), *([row.get(column, "") for column in columns] for row in rows)]
    return "".join("| " + " | ".join(_cell(cell) for cell in line) + " |\n" for line in cells)


def _cell(value: Any) -> str:
    return " ".join(str(value).replace("|", "\\|").replace("<", "&lt;").split())


def bar_chart(histogram: Mapping[str, int], step: float) -> str:
    """A histogram as a code block: a line per bar with its name, its length in eighths of a character, its count.

    Args:
        histogram: Counts by where the bar begins, such as ``0.25``; bars in between that are missing are empty.
        step: Width of a bar.
    """
    digits = max((len(name.partition(".")[2]) for name in histogram), default=0)
    counts = {round(float(name) / step): count for name, count in histogram.items()}
    joined = -(-(max(counts) - min(counts) + 1) // MOST_BARS)
    bars = [
        (begin, sum(counts.get(number, 0) for number in range(begin, begin + joined)))
        for begin in range(min(counts), max(counts) + 1, joined)
    ]
    names = [
        f"{begin * step:.{digits}f}" + (f"–{(begin + joined - 1) * step:.{digits}f}" if joined > 1 else "")
        for begin, _ in bars
    ]
    longest, most = max(map(len, names)), max(count for _, count in bars)
    lines = (
        f"{name:>{longest}}  {_bar(count / most):<{BAR_WIDTH}}  {count}".rstrip()
        for name, (_, count) in zip(names, bars, strict=True)
    )
    return "```text\n" + "".join(f"{line}\n" for line in lines) + "```\n"


def _bar(share: float) -> str:
    eighths = max(round(share * BAR_WIDTH * 8), 1 if share else 0)
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()
