"""A dataset's figures on a terminal: tables and bars."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from storyloom.stats.distributions import Distribution
from storyloom.stats.figures import Figures, Stats
from storyloom.view.text import LONGEST_NAME, LONGEST_SENTENCE, shown

BAR = 40
"""Characters of the longest bar."""

LONGEST_LISTED = 60
"""Characters of a language or licence in a line (our choice)."""

MOST_NAMES = 12
"""Languages or licences that are printed; JSON has them all."""


def print_stats(stats: Stats, console: Console) -> None:
    """Print figures as tables; text from the dataset is printed verbatim, never as markup."""
    splits = {**stats.splits, **({"all": stats.total} if len(stats.splits) > 1 else {})}
    console.print(Text.assemble((shown(stats.name, LONGEST_NAME), "bold"), f"  sha256 {shown(stats.sha256[:16])}…"))
    console.print(_counts(splits))
    console.print(_distributions(stats.total))
    for what, names in (
        ("documents by language", stats.total.languages),
        ("texts by source", stats.total.text_sources),
        ("documents by licence", stats.total.licenses),
    ):
        console.print(Text(f"{what}: {top_names(names)}"))
    if stats.total.captions or stats.total.fuse_statuses:
        fused = f"; fused: {top_names(stats.total.fuse_statuses)}" if stats.total.fuse_statuses else ""
        console.print(Text(f"images with a caption: {stats.total.captions:,}{fused}"))
    _bars("image-text similarity, images", stats.total.similarity, console)
    _bars("shift of a text in seconds, images", stats.total.shift, console)
    if stats.funnel:
        console.print(_funnel(stats))


def top_names(names: dict[str, int]) -> str:
    """The most frequent names with their counts, in one line."""
    ordered = sorted(names.items(), key=lambda item: (-item[1], item[0]))
    listed = [f"{shown(name, LONGEST_LISTED) or 'unknown'} {count:,}" for name, count in ordered[:MOST_NAMES]]
    rest = ordered[MOST_NAMES:]
    return ", ".join([*listed, *([f"{len(rest)} more {sum(count for _, count in rest):,}"] if rest else [])])


def byte_size(count: int) -> str:
    """A number of bytes in a readable unit."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"


def shard_line(figures: Figures) -> str:
    """The shards' sizes in one line: smallest, median, largest, and the median's share of the target."""
    sizes = figures.shards
    line = " / ".join(byte_size(size) for size in (sizes.min, sizes.median, sizes.max))
    return f"{line}, {sizes.median_share_of_target:.1%} of target" if sizes.target else line


def _counts(splits: dict[str, Figures]) -> Table:
    table = Table("", *(f"[bold]{name}[/bold]" for name in splits))
    figures = list(splits.values())
    rows = {
        "documents": [f"{one.documents:,}" for one in figures],
        "images": [f"{one.images:,}" for one in figures],
        "without a text": [f"{one.images_without_text:.1%}" for one in figures],
        "texts": [f"{one.texts:,}" for one in figures],
        "words": [f"{one.words:,}" for one in figures],
        "hours": [f"{one.hours:,.2f}" for one in figures],
        "frames per minute": [f"{one.frames_per_minute:.2f}" for one in figures],
        "shards": [f"{one.shards.count:,}" for one in figures],
        "bytes": [byte_size(one.shards.bytes) for one in figures],
        "shard min / median / max": [shard_line(one) for one in figures],
    }
    for name, cells in rows.items():
        table.add_row(name, *cells)
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def _distributions(figures: Figures) -> Table:
    table = Table("", "mean", "min", "5 %", "25 %", "median", "75 %", "95 %", "max")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, one, digits in (
        ("images per document", figures.images_per_document, 0),
        ("words per document", figures.words_per_document, 0),
        ("seconds per document", figures.seconds_per_document, 0),
        ("frames per minute", figures.frames_per_minute_per_document, 1),
        ("similarity", figures.similarity, 3),
        ("shift, s", figures.shift, 2),
    ):
        values = (one.min, one.p5, one.p25, one.p50, one.p75, one.p95, one.max)
        table.add_row(name, f"{one.mean:,.{max(1, digits)}f}", *(f"{value:,.{digits}f}" for value in values))
    return table


def _bars(title: str, distribution: Distribution, console: Console) -> None:
    histogram = distribution.histogram
    if not histogram.counts:
        return
    console.print(f"\n{title}", highlight=False)
    longest = max(histogram.counts)
    for low, high, count in zip(histogram.edges, histogram.edges[1:], histogram.counts, strict=False):
        bar = "█" * -(-BAR * count // longest)
        console.print(f"  {low:7.3f} to {high:7.3f}  {count:10,d}  {bar}", highlight=False)


def _funnel(stats: Stats) -> Table:
    table = Table("", "found", "kept", "left out")
    for row in stats.funnel:
        reasons = ", ".join(f"{reason} {n}" for reason, n in {**row.dropped, **row.failed}.items())
        table.add_row(Text(shown(row.what)), f"{row.found:,}", f"{row.kept:,}", Text(shown(reasons, LONGEST_SENTENCE)))
    return table
