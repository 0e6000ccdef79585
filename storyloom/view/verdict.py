"""The verdict on a dataset: plain sentences on what is fine, what is worth a look and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from storyloom.stats.figures import Figures
from storyloom.stats.flags import FEW_WORDS, MUCH_LAG, SMALL, Flag
from storyloom.view.counts import count_of

MANY, MOST = 0.02, 0.25
"""Shares of the documents from which something is worth a look, and from which it is wrong (our choice)."""

ALONE, MOSTLY_ALONE = 0.3, 0.6
"""Shares of the frames without a sentence, likewise (our choice): pauses are no fault."""


class Level(StrEnum):
    """How much a finding matters."""

    FINE = "fine"
    LOOK = "look"
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    """A sentence of the verdict.

    Attributes:
        level: How much it matters.
        text: What was found, in plain words.
        filters: The search for the documents behind it, as the address of the list states it; empty for none.
        link: What the link to them says.
    """

    level: Level
    text: str
    filters: Mapping[str, str] = field(default_factory=dict)
    link: str = ""


def verdict(figures: Figures, damaged: int = 0) -> list[Finding]:
    """The findings, what is wrong first.

    Args:
        figures: Of all documents that can be read.
        damaged: Documents that cannot be read.
    """
    found = [
        *_damage(damaged),
        *_pairs(figures),
        *_rights(figures),
        *_languages(figures),
        *_narration(figures),
        *_documents(figures),
    ]
    order = list(Level)[::-1]
    return sorted(found, key=lambda one: order.index(one.level))


def _damage(damaged: int) -> Iterator[Finding]:
    if damaged:
        text = f"{count_of(damaged, 'documents')} cannot be read."
        yield Finding(Level.WRONG, text, link="why")


def _pairs(figures: Figures) -> Iterator[Finding]:
    share = figures.images_without_text
    if figures.images and not share:
        yield Finding(Level.FINE, "Every frame has a sentence of its own.")
    else:
        text = f"{percent(share)} of the frames have no sentence of their own."
        level = Level.WRONG if share >= MOSTLY_ALONE else Level.LOOK if share >= ALONE else Level.FINE
        yield Finding(level, text, {"sort": "alone"}, "the documents with the most")
    yield from _flagged(
        figures,
        Flag.UNSCORED,
        "{} no scored frame: nothing says that words and pictures belong together.",
        have=True,
    )


def _rights(figures: Figures) -> Iterator[Finding]:
    unknown = figures.licenses.get("", 0)
    if unknown == figures.documents:
        yield Finding(Level.LOOK, "The licence is unknown for all documents.", {"license": "unknown"}, "all of them")
    elif unknown:
        text = f"The licence is unknown for {_of(unknown, figures.documents)}."
        yield Finding(Level.LOOK, text, {"license": "unknown"}, "these documents")
    else:
        yield Finding(Level.FINE, "Every document states its licence.")


def _languages(figures: Figures) -> Iterator[Finding]:
    known = {name: count for name, count in figures.languages.items() if name}
    unknown = figures.documents - sum(known.values())
    if unknown:
        text = f"The language is unknown for {_of(unknown, figures.documents)}."
        yield Finding(_level(unknown, figures.documents), text, {"language": "unknown"}, "these documents")
    if not known:
        return
    main = max(known, key=lambda name: (known[name], name))
    others = sum(known.values()) - known[main]
    if not others:
        if not unknown:
            yield Finding(Level.FINE, f"All documents are in one language, {main}.")
        return
    text = f"Speech of {_of(others, figures.documents)} is not in the dataset's main language, {main}."
    yield Finding(Level.LOOK, text, {"not-language": main}, "in other languages")


def _narration(figures: Figures) -> Iterator[Finding]:
    lagging = figures.flags.get(Flag.LAGGING, 0)
    if lagging:
        one = figures.lag
        most = max(abs(one.min), abs(one.max))
        text = f"In {_of(lagging, figures.documents)} speech misses the picture, by up to {most:.1f} s."
        yield Finding(Level.LOOK, text, {"flag": Flag.LAGGING}, "these documents")
    elif figures.lag.count:
        yield Finding(Level.FINE, f"Speech and picture keep together within {MUCH_LAG} s, where that can be told.")


def _documents(figures: Figures) -> Iterator[Finding]:
    yield from _flagged(figures, Flag.SHORT, f"{{}} very short: under {FEW_WORDS} words.")
    yield from _flagged(figures, Flag.DUPLICATE, "{} word for word the same as another one.")
    yield from _flagged(figures, Flag.REPETITIVE, "{} the same sentence again and again.", verb=("says", "say"))
    text = f"{{}} a picture under {SMALL} pixels."
    yield from _flagged(figures, Flag.SMALL, text, have=True)


def _flagged(
    figures: Figures, flag: Flag, text: str, *, have: bool = False, verb: tuple[str, str] = ("is", "are")
) -> Iterator[Finding]:
    """What documents with a flag are; nothing where there is none."""
    count = figures.flags.get(flag, 0)
    if count:
        one, many = ("has", "have") if have else verb
        subject = f"{_of(count, figures.documents)} {one if count == 1 else many}"
        yield Finding(_level(count, figures.documents), text.format(subject), {"flag": flag}, "these documents")


def _level(count: int, total: int) -> Level:
    share = count / max(1, total)
    return Level.WRONG if share >= MOST else Level.LOOK if share >= MANY else Level.FINE


def _of(count: int, total: int) -> str:
    return f"all {total:,} documents" if count == total > 1 else f"{count:,} of {count_of(total, 'documents')}"


def percent(share: float) -> str:
    """A share in words: whole percents, and what lies below one or is nearly all is said to."""
    if 0 < share < 0.01:  # noqa: PLR2004 - a percent
        return "Under 1 %"
    if 0.99 < share < 1:  # noqa: PLR2004 - likewise
        return "Over 99 %"
    return f"{share:.0%}".replace("%", " %")
