"""Pictures for the card of a dataset: a strip of frames of a few documents, small, with their sentences."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator

import numpy as np
from PIL import Image

from storyloom.card.markdown import literal
from storyloom.format.manifest import Published
from storyloom.format.reader import ShardReader
from storyloom.format.sample import Sample
from storyloom.push.files import PICTURES
from storyloom.reader.document import Frame
from storyloom.stats.gallery import spread

STORIES = 3
"""Documents that the card shows (our choice)."""

FRAMES = 4
"""Frames of each (our choice)."""

HEIGHT = 180
"""Pixels (our choice): a strip of four wide frames is 1,280 wide."""

WIDEST = 480
"""Pixels of a frame at `HEIGHT`; a wider one is scaled down (our choice)."""

QUALITY = 80
"""Of a strip's JPEG (our choice)."""

LONGEST = 300
"""Characters of a strip's words (our choice)."""

HEADING = "## A look\n"


def card_with_pictures(place: str | os.PathLike[str], published: Published, card: str) -> dict[str, bytes]:
    """Path and content of the card with a section of pictures, and of these.

    Args:
        place: Folder of the dataset, or its URL.
        published: Its manifest.
        card: Text of its card.

    Raises:
        BadDataset: A shard or a picture is damaged.
    """
    files: dict[str, bytes] = {}
    parts = [HEADING]
    for number, (strip, words) in enumerate(_stories(place, published)):
        path = f"{PICTURES}/story-{number}.jpg"
        files[path] = strip
        parts.append(f"![frames of a document]({path})\n\n{literal(words)}\n")
    return {**files, "README.md": _with_section(card, "\n".join(parts)).encode()}


def _stories(place: str | os.PathLike[str], published: Published) -> Iterator[tuple[bytes, str]]:
    reader = ShardReader(place)
    for shard, number in spread(published.shards, STORIES):
        (stored,) = reader.pick([(shard, number)])
        sample = stored.sample()
        yield _strip(sample, stored.pictures(sample)), _words(sample)


def _strip(sample: Sample, jpegs: list[bytes]) -> bytes:
    count = min(FRAMES, len(jpegs))
    chosen = [(2 * n + 1) * len(jpegs) // (2 * count) for n in range(count)]
    frames = [_small(sample, jpegs[n], n) for n in chosen]
    strip = Image.new("RGB", (sum(frame.width for frame in frames), HEIGHT))
    left = 0
    for frame in frames:
        strip.paste(frame, (left, (HEIGHT - frame.height) // 2))
        left += frame.width
    file = io.BytesIO()
    strip.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _small(sample: Sample, jpeg: bytes, number: int) -> Image.Image:
    width, height = sample.image_width[number], sample.image_height[number]
    frame = Frame(sample.image_time[number], jpeg, width, height, 0.0, 0.0, -1)
    scale = min(HEIGHT / height, WIDEST / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return Image.fromarray(np.asarray(frame.pixels())).resize(size, Image.Resampling.LANCZOS)


def _words(sample: Sample) -> str:
    words = " ".join(sample.spoken)
    return words if len(words) <= LONGEST else words[:LONGEST].rsplit(" ", 1)[0] + " …"


def _with_section(card: str, section: str) -> str:
    """The card with a section before its first one, behind the front matter and what introduces it."""
    begin = card.find("\n---\n", 4) + 1 if card.startswith("---\n") else 0
    place = card.find("\n## ", begin)
    return f"{card[: place + 1]}{section}\n{card[place + 1 :]}" if place >= 0 else f"{card}\n{section}"
