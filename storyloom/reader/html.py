"""Documents as HTML for a notebook: frames with the words around them; styles are inline, as the page is not ours."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from storyloom.view.counts import count_of
from storyloom.view.text import LONGEST_NAME, LONGEST_SENTENCE, shown

if TYPE_CHECKING:
    from storyloom.reader.document import Document, Frame, Text

MOST_PICTURES = 24
"""Frames whose pictures a notebook shows of a document (our choice: a notebook keeps them in its file)."""

MOST_ITEMS = 200
"""Frames and texts that are shown of a document (our choice)."""

WIDTH = 240
"""Pixels of a shown frame."""

FLOW = "display:flex;flex-wrap:wrap;gap:12px;align-items:flex-start;max-width:1040px"
CARD = f"margin:0;width:{WIDTH}px;font:13px/1.45 system-ui,sans-serif"
QUIET = "opacity:.7;font-variant-numeric:tabular-nums"


def document_html(document: Document) -> str:
    """A document: its title, then each frame with the texts up to the next one. All of its text is escaped."""
    title = shown(document.title or document.video_url.rstrip("/").rpartition("/")[2] or document.key, LONGEST_NAME)
    key = escape(shown(document.key, LONGEST_NAME))
    counts = f"{count_of(len(document.frames), 'frames')}, {count_of(len(document.texts), 'sentences')}"
    head = (
        f'<div style="font:600 15px system-ui,sans-serif;margin:4px 0">{escape(title)}</div>'
        f'<div style="font:13px system-ui,sans-serif;margin:0 0 8px;{QUIET}">{key}'
        f" · {document.start:.1f} to {document.end:.1f} s · {counts}</div>"
    )
    items = document.items[:MOST_ITEMS]
    left = len(document.items) - len(items)
    more = f'<p style="{QUIET}">and {left:,} more frames and sentences</p>' if left else ""
    return f'{head}<div style="{FLOW}">{"".join(_cards(items))}</div>{more}'


def dataset_html(line: str, first: Document | None) -> str:
    """A line about a dataset, and its first document."""
    head = f'<div style="font:13px system-ui,sans-serif">{escape(shown(line))}; the first one:</div>'
    return head + document_html(first) if first else f"<div>{escape(shown(line))}</div>"


def _cards(items: Sequence[Frame | Text]) -> Iterator[str]:
    """A card for each frame with the texts behind it, and one for texts before the first frame."""
    from storyloom.reader.document import Frame

    card = ""
    pictures = 0
    for item in items:
        if not isinstance(item, Frame):
            card += f'<div style="margin-top:4px"><span style="{QUIET}">{item.start:.1f} s</span> {_words(item)}</div>'
            continue
        if card:
            yield f'<div style="{CARD}">{card}</div>'
        score = f" · score {item.similarity:+.3f}" if item.text >= 0 else ""
        card = _picture(item) if pictures < MOST_PICTURES else ""
        card += f'<div style="{QUIET}">{item.time:.2f} s{score}</div>'
        pictures += 1
    if card:
        yield f'<div style="{CARD}">{card}</div>'


def _picture(frame: Frame) -> str:
    source = base64.b64encode(frame.jpeg).decode("ascii")
    height = round(WIDTH * frame.height / frame.width)
    return (
        f'<img src="data:image/jpeg;base64,{source}" width="{WIDTH}" height="{height}" '
        f'alt="frame at {frame.time:.2f} s" style="border-radius:4px">'
    )


def _words(text: Text) -> str:
    return escape(shown(text.text, LONGEST_SENTENCE))
