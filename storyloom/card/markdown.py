"""Tables and bar charts in Markdown, safe for any value."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from storyloom.view.text import LONGEST_NAME, shown

BAR_WIDTH = 40
"""Characters of the longest bar (our choice: the chart fits a phone held sideways)."""

MOST_BARS = 24
"""Neighbouring bars of a longer histogram are joined."""

EIGHTHS = " ▏▎▍▌▋▊▉"

PLAIN = re.compile(r"[-−+]?[^\W_](?:[\w .,%()+/–-]|: )*")
"""Words and numbers with punctuation that means nothing in Markdown."""

MARKED = re.compile(r"://|www\.|(?<![^\W_])_|_(?![^\W_])", re.IGNORECASE)
"""What is a link or emphasis all the same."""


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table whose columns are the keys, in the order of their first occurrence."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [
        [literal(cell) for cell in line] for line in (columns, *([row.get(c, "") for c in columns] for row in rows))
    ]
    lines = [cells[0], ["---"] * len(columns), *cells[1:]]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def literal(value: Any) -> str:
    """A value as text on one line that Markdown takes for nothing else, also in a table.

    Plain words stay; anything else becomes code, in which there are no links, pictures, tags and emphasis.
    """
    text = shown(" ".join(str(value).split()), LONGEST_NAME)
    if not text or (PLAIN.fullmatch(text) and not MARKED.search(text)):
        return text
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    # A bar ends the cell of a table but for one behind a backslash, which must not be escaped itself.
    inside = text.replace("\\|", "\\ |").replace("|", "\\|")
    return f"{fence} {inside} {fence}" if inside[0] in "` " or inside[-1] in "`\\ " else f"{fence}{inside}{fence}"


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
