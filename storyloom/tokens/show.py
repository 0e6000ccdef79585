"""The account of a dataset's tokens on a terminal, and as a table of the card."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from storyloom.tokens.account import Account
from storyloom.view.counts import count_of
from storyloom.view.text import LONGEST_NAME, LONGEST_SENTENCE, shown


def print_account(found: Account, console: Console) -> None:
    """Print an account; names from the dataset are printed verbatim, never as markup."""
    console.print(Text.assemble((shown(found.name, LONGEST_NAME), "bold"), f"  sha256 {shown(found.sha256[:16])}…"))
    common = ", ".join(f"{size} {count:,}" for size, count in found.sizes.items())
    console.print(Text(f"images by size: {common}" + (f", others {found.other_sizes:,}" if found.other_sizes else "")))
    per_token = (
        f" ({found.text.characters_per_token:.2f} characters a token)" if found.text.characters_per_token else ""
    )
    console.print(Text(f"{shown(found.text.said, LONGEST_SENTENCE)}{per_token}"))
    console.print(_per_image(found))
    for split, tokens in found.splits.items():
        console.print(_of_split(found, split))
        for model, one in tokens.models.items():
            if one.refused:
                images, whose = count_of(one.refused, "images"), "its" if one.refused == 1 else "their"
                told = f"{shown(model, LONGEST_NAME)} refuses {images} of {split} for {whose} shape"
                console.print(Text(f"{told}: not counted"))


def _per_image(found: Account) -> Table:
    table = Table("tokens of an image", *found.sizes, "what is counted")
    for column in table.columns[1:-1]:
        column.justify = "right"
    for name, rule in found.models.items():
        costs = ("refused" if cost is None else f"{cost:,}" for cost in rule.per_image.values())
        table.add_row(Text(shown(name, LONGEST_NAME)), *costs, Text(shown(rule.convention, LONGEST_SENTENCE)))
    return table


def _of_split(found: Account, split: str) -> Table:
    tokens = next(one for name, one in found.splits.items() if name == split)
    table = Table(f"{split}, tokens an epoch", "images", "around images", "texts", "all")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, one in tokens.models.items():
        cells = (f"{count:,}" for count in (one.image, one.around, one.text, one.epoch))
        table.add_row(Text(shown(name, LONGEST_NAME)), *cells)
    return table
