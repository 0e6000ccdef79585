"""A dataset as one self-contained HTML page: its verdict, documents as storyboards, figures, plots and funnel."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from typing import Any

from markupsafe import Markup

from storyloom.errors import UsageError
from storyloom.format.manifest import finished_dataset
from storyloom.fs.atomic import write_atomically
from storyloom.stats.figures import Stats
from storyloom.stats.gallery import DroppedFrames, gallery
from storyloom.stats.plots import HEIGHT, WIDTH, plot
from storyloom.stats.show import shard_line
from storyloom.view.counts import count_of
from storyloom.view.rendering import environment, resource
from storyloom.view.storyboard import Story
from storyloom.view.verdict import verdict

MOST_NAMES = 8
"""Languages or licences that the page lists."""


def html_page(stats: Stats, stories: list[Story], *, with_dropped: bool) -> str:
    """The page. All text from the dataset is escaped; only the page's own style and script may run.

    Args:
        stats: The figures.
        stories: Documents to show.
        with_dropped: Whether the stories hold dropped frames; otherwise the page explains how to include them.
    """
    style, script = resource("style.css"), resource("static-page.js")
    return (
        environment()
        .get_template("static.html")
        .render(
            stats=stats,
            verdict=verdict(stats.total),
            stories=stories,
            with_dropped=with_dropped,
            plain=str,
            style=Markup(style),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            style_hash=source_hash(style),
            script_hash=source_hash(script),
            **figure_values(stats),
        )
    )


def figure_values(stats: Stats) -> dict[str, Any]:
    """What the figures' parts of a page need."""
    return {
        "splits": {**stats.splits, **({"all": stats.total} if len(stats.splits) > 1 else {})},
        "shard_line": shard_line,
        "plots": _plots(stats),
        "plot_width": WIDTH,
        "plot_height": HEIGHT,
        "names": _names(stats),
    }


def write_page(
    stats: Stats, output: str | os.PathLike[str], file: Path, gallery_size: int, dropped: DroppedFrames | None = None
) -> None:
    """Write the page of a dataset.

    Args:
        stats: The figures.
        output: Folder of the dataset, or its URL.
        file: The page; its folder is made.
        gallery_size: Documents on the page, at most.
        dropped: Frames that are in no document, for the videos of `gallery_videos`; None where they are unknown.

    Raises:
        UsageError: The file cannot be written.
        BadShard: A shard is damaged or does not match the manifest.
    """
    stories = gallery(output, finished_dataset(output), gallery_size, dropped or {})
    page = html_page(stats, stories, with_dropped=dropped is not None)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, page.encode())
    except OSError as reason:
        raise UsageError(f"{file} cannot be written: {reason.strerror or reason}") from reason


def _plots(stats: Stats) -> list[dict[str, Any]]:
    total = stats.total
    wanted = [
        ("images", "Images per document", total.images_per_document, "documents", 0),
        ("words", "Words per document", total.words_per_document, "documents", 0),
        ("seconds", "Seconds per document", total.seconds_per_document, "documents", 0),
        ("rate", "Frames per minute", total.frames_per_minute_per_document, "documents", 1),
        ("similarity", "Image-text similarity", total.similarity, "images", 3),
        ("shift", "Shift of a text, seconds", total.shift, "images", 2),
        ("lag", "Speech behind the picture, seconds", total.lag, "documents", 2),
    ]
    return [
        {
            "name": f"plot-{name}",
            "title": title,
            "summary": f"median {one.p50:,.{digits}f} · 90 % from {one.p5:,.{digits}f} to {one.p95:,.{digits}f}"
            f" · {count_of(one.count, unit)}",
            "shapes": plot(one, unit),
        }
        for name, title, one, unit, digits in wanted
        if one.count
    ]


def _names(stats: Stats) -> list[tuple[str, str, int, list[tuple[str, int]]]]:
    """Title, unit, sum and the most frequent names of each kind."""
    return [
        (title, unit, sum(names.values()), sorted(names.items(), key=lambda item: (-item[1], item[0]))[:MOST_NAMES])
        for title, unit, names in (
            ("Languages", "documents", stats.total.languages),
            ("Licences", "documents", stats.total.licenses),
            ("Sources of text", "texts", stats.total.text_sources),
            *([("Fused texts", "images", stats.total.fuse_statuses)] if stats.total.fuse_statuses else []),
        )
    ]


def source_hash(text: str) -> str:
    """The source hash by which a Content-Security-Policy allows an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
