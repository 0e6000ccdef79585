"""The frames that tokenizers are compared on: a bounded sample of a finished dataset, the same one every time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storyloom.errors import BadDataset, UsageError
from storyloom.format.manifest import Published
from storyloom.format.reader import ShardReader
from storyloom.reader.shards import as_document
from storyloom.stats.gallery import spread

Picture = NDArray[np.uint8]
"""RGB, shape (height, width, 3)."""

PER_DOCUMENT = 8
"""Frames of a document, one after another, where the documents suffice (our choice): what changed is found between
frames of a document, and alignment is seen over many documents."""

MULTIPLE = 16
"""Sides are multiples of it: learned tokenizers halve a picture four times (Chameleon, Janus), or thrice (Emu3)."""


@dataclass(frozen=True)
class Frame:
    """A frame as the tokenizers are given it, and its sentence; empty without one."""

    picture: Picture
    sentence: str


DocumentFrames = Sequence[Frame]
"""The first frames of a document, in time order."""


def sampled(place: str, published: Published, most: int, side: int) -> list[DocumentFrames]:
    """The first frames of documents at equal distances over the dataset.

    Args:
        place: Folder of the dataset, or its URL.
        published: Its manifest.
        most: Most frames in all.
        side: Most pixels of a picture's longer side; see `fitted`.

    Raises:
        UsageError: The dataset has no document.
        BadShard: A shard is damaged or does not match the manifest.
    """
    documents = sum(totals.nsamples for totals in published.splits.values())
    if not documents:
        raise UsageError(f"{place} has no document, so there is no frame to measure on")
    images = sum(totals.nimages for totals in published.splits.values())
    count = min(documents, math.ceil(most / min(PER_DOCUMENT, images / documents)))
    reader = ShardReader(place)
    runs: list[DocumentFrames] = []
    for number, chosen in enumerate(spread(published.shards, count)):
        (stored,) = reader.pick([chosen])
        document = as_document(stored)
        longest = math.ceil((most - sum(len(run) for run in runs)) / (count - number))
        try:
            runs.append(
                [
                    Frame(fitted(frame.pixels(), side), document.texts[frame.text].text if frame.text >= 0 else "")
                    for frame in document.frames[:longest]
                ]
            )
        except BadDataset as flaw:
            raise stored.bad(str(flaw)) from None
    return [run for run in runs if run]


def fitted(picture: Picture, side: int) -> Picture:
    """A picture as all tokenizers are given it: the longer side at most `side`, both multiples of `MULTIPLE`.

    It is not enlarged but to the nearest multiple, and its shape changes by at most half of one.
    """
    from PIL import Image

    image = Image.fromarray(picture)
    scale = min(1.0, side / max(image.size))
    width, height = (max(1, round(one * scale / MULTIPLE)) * MULTIPLE for one in image.size)
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))
