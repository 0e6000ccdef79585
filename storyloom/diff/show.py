"""A difference on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from rich.console import Console
from rich.table import Table
from rich.text import Text

from storyloom.diff.diff import Alone, Difference, VideoChange
from storyloom.diff.settings import MOST_SHOWN
from storyloom.diff.words import in_words
from storyloom.stats.show import LONGEST_LISTED
from storyloom.view.counts import count_of
from storyloom.view.text import LONGEST_NAME, shown


def print_difference(found: Difference, console: Console) -> None:
    """Print settings, figures, reasons and the largest changes; datasets' text is printed verbatim, never as markup."""
    say = partial(console.print, soft_wrap=True, highlight=False)
    for letter, side in (("A", found.first), ("B", found.second)):
        say(Text.assemble((letter, "bold"), f"  {shown(side.address, LONGEST_NAME)}  sha256 {side.sha256[:16]}…"))
    if found.settings:
        say(Text("settings that differ", "bold"))
        for one in found.settings:
            first, second = (shown(value, MOST_SHOWN) or "not stated" for value in (one.first, one.second))
            say(Text(f"  {shown(one.name, LONGEST_NAME)}: {first} → {second}"))
    say(Text(verdict(found), "bold"))
    if found.equal:
        return
    console.print(_figures(found))
    for what, sides in reasons(found).items():
        for name, counts in sides.items():
            if counts:
                say(Text(f"{what} {name}", "bold"))
                for reason, number in counts.items():
                    say(Text(f"  {number:10,d}  {shown(in_words(reason))}"))
    if found.largest:
        console.print(_largest(found.largest))


def verdict(found: Difference) -> str:
    """The difference in one sentence."""
    looked = "" if found.pictures_compared else "; pictures and codes were not compared"
    if found.equal:
        return f"the same {count_of(found.first.documents, 'documents')} on both sides{looked}"
    lost, gained = (_amount(one) for one in (found.lost, found.gained))
    changed = f"; {count_of(found.lost.changed, 'documents')} changed" if found.lost.changed else ""
    renamed = f"; {count_of(found.renamed_documents, 'documents')} under another key" if found.renamed_documents else ""
    return f"B lost {lost} and gained {gained}{changed}{renamed}{looked}"


def _amount(one: Alone) -> str:
    kinds = ((one.documents, "documents"), (one.frames, "frames"), (one.words, "words"))
    return ", ".join(count_of(number, noun) for number, noun in kinds if number) or "nothing"


def reasons(found: Difference) -> dict[str, dict[str, Mapping[str, int]]]:
    """Counts by reason, of each kind, lost and gained."""
    return {
        "changed documents": {"of A": found.lost.changes, "of B": found.gained.changes},
        "frames": {"lost": found.lost.frame_reasons, "gained": found.gained.frame_reasons},
        "words": {"lost": found.lost.word_reasons, "gained": found.gained.word_reasons},
    }


def figures(found: Difference) -> list[tuple[str, int, int, int, int, int, str]]:
    """A row of figures per kind: what, in A, in B, the same, lost, gained, and what changed."""
    first, second, lost, gained = found.first, found.second, found.lost, found.gained
    documents = f"{lost.changed:,} of A, {gained.changed:,} of B changed"
    frames = ", ".join(
        f"{number:,} with {what}"
        for number, what in (
            (found.other_pictures, "another picture"),
            (found.other_codes, "other codes"),
            (found.other_pairings, "another sentence"),
            (found.other_scores, "another score"),
        )
        if number
    )
    renamed = f"; {found.renamed_documents:,} under another key" if found.renamed_documents else ""
    same_words = first.words - lost.words
    return [
        ("videos", first.videos, second.videos, first.videos - lost.videos, lost.videos, gained.videos, ""),
        (
            "documents",
            first.documents,
            second.documents,
            found.same_documents,
            lost.documents,
            gained.documents,
            documents + renamed,
        ),
        ("frames", first.frames, second.frames, found.same_frames, lost.frames, gained.frames, frames),
        ("words", first.words, second.words, same_words, lost.words, gained.words, ""),
    ]


def _figures(found: Difference) -> Table:
    table = Table("", "A", "B", "in both", "lost", "gained", "changed")
    for what, *numbers, changed in figures(found):
        table.add_row(str(what), *(f"{number:,}" for number in numbers), str(changed))
    for column in table.columns[1:-1]:
        column.justify = "right"
    return table


def _largest(changes: list[VideoChange]) -> Table:
    table = Table("largest changes", "documents", "frames", "words", "lost, mostly because", "gained, mostly because")
    for one in changes:
        table.add_row(
            Text(shown(one.title or one.video, LONGEST_LISTED)),
            *(f"−{lost:,} +{gained:,}" for lost, gained in (one.documents, one.frames, one.words)),
            *(Text(shown(in_words(reason), LONGEST_NAME) if reason else "") for reason in one.reasons),
        )
    for column in table.columns[1:4]:
        column.justify = "right"
    return table
