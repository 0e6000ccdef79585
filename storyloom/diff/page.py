"""A difference as one self-contained HTML page, with pictures of lost and gained frames."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from storyloom.diff.diff import Difference, FrameChange, pictures_of
from storyloom.diff.settings import MOST_SHOWN
from storyloom.diff.show import figures, reasons, verdict
from storyloom.diff.words import in_words
from storyloom.errors import UsageError
from storyloom.fs.atomic import write_atomically
from storyloom.stats.gallery import BUDGET, Budget
from storyloom.stats.page import source_hash
from storyloom.view.rendering import environment, resource


@dataclass(frozen=True)
class ShownFrame:
    """A frame on the page: what is known of it, and its JPEG as a data: URI; empty where the page had no room left."""

    change: FrameChange
    source: str


def write_page(found: Difference, places: tuple[str | os.PathLike[str], str | os.PathLike[str]], file: Path) -> None:
    """Write the page of a difference.

    Args:
        found: The difference.
        places: Folders or URLs of both datasets, from which pictures are read.
        file: The page; its folder is made.

    Raises:
        UsageError: The file cannot be written.
        BadDataset: A shard is damaged.
    """
    budget = Budget(len(found.lost_frames) + len(found.gained_frames), BUDGET)
    lost = _shown(places[0], found.lost_frames, budget)
    gained = _shown(places[1], found.gained_frames, budget)
    page = html_page(found, lost, gained)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, page.encode())
    except OSError as reason:
        raise UsageError(f"{file} cannot be written: {reason.strerror or reason}") from reason


def html_page(found: Difference, lost: Sequence[ShownFrame], gained: Sequence[ShownFrame]) -> str:
    """The page. All text from the datasets is escaped; there is no script, and only the page's own style may apply."""
    style = resource("style.css")
    return (
        environment(["storyloom.diff"])
        .get_template("diff.html")
        .render(
            found=found,
            verdict=verdict(found),
            figures=figures(found),
            reasons=reasons(found),
            frames=[("lost", "A", found.lost.frames, lost), ("gained", "B", found.gained.frames, gained)],
            in_words=in_words,
            most_shown=MOST_SHOWN,
            style=Markup(style),  # noqa: S704 - our own file
            style_hash=source_hash(style),
        )
    )


def _shown(place: str | os.PathLike[str], frames: list[FrameChange], budget: Budget) -> list[ShownFrame]:
    shown = []
    for change, jpeg in zip(frames, pictures_of(place, frames), strict=True):
        budget.next_share()
        shown.append(ShownFrame(change, budget.uri(jpeg)))
    return shown
