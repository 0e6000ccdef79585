"""MMC4 as OpenFlamingo reads it: tars of `KEY.json`, with the images inside the JSON."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storyloom.card.indexes import as_json
from storyloom.export.bounded import bounded
from storyloom.export.json_text import compact
from storyloom.export.read import SourceDocument
from storyloom.format.sample import Sample
from storyloom.format.tar import member, trailer
from storyloom.view.counts import count_of

UNKNOWN = -1.0
"""Fills the similarity matrix where a frame and a text were not scored, and is the similarity of a frame without a
text: the least that a cosine can be, so no assignment prefers such a pair."""

DROPPED_BELOW = 11_000
"""Bytes: OpenFlamingo skips images whose size in whole kilobytes is 10 or less (`MIN_KB` in its train/data.py)."""


@dataclass
class ImageCount:
    """Images of a split, and how many of them OpenFlamingo skips."""

    images: int = 0
    small: int = 0


def write(documents: Iterable[SourceDocument], folder: Path, split: str, file_bytes: int) -> list[str]:
    """Write ``SPLIT/shard-000000.tar`` and so on, and ``SPLIT/sizes.json`` with the number of documents in each.

    Args:
        documents: What to write.
        folder: The export.
        split: Name of the folder.
        file_bytes: Size at which a new tar begins.

    Returns:
        A warning where OpenFlamingo would drop images.
    """
    (folder / split).mkdir()
    sizes: dict[str, int] = {}
    count = ImageCount()
    for number, members in bounded(_members(documents, count), len, file_bytes):
        name = f"shard-{number:06d}.tar"
        sizes[name] = written = 0
        with (folder / split / name).open("xb") as tar:
            for entry in members:
                written += tar.write(entry)
                sizes[name] += 1
            tar.write(trailer(written))
    (folder / split / "sizes.json").write_bytes(as_json(sizes))
    return [_warning(split, count)] if count.small else []


def _members(documents: Iterable[SourceDocument], count: ImageCount) -> Iterator[bytes]:
    for document in documents:
        count.images += len(document.jpegs)
        count.small += sum(len(jpeg) < DROPPED_BELOW for jpeg in document.jpegs)
        yield member(f"{document.key}.json", compact(mmc4(document)).encode())


def _warning(split: str, count: ImageCount) -> str:
    return (
        f"{count.small:,} of {count_of(count.images, 'images')} in {split} below {DROPPED_BELOW:,} bytes: "
        "OpenFlamingo's loader skips such images. Larger frames (`sample.max_side`, "
        "`sample.jpeg_qscale`) or a lower MIN_KB in its train/data.py keep them."
    )


def mmc4(document: SourceDocument) -> dict[str, Any]:
    """The document with MMC4's keys; `metadata`, and `time` and `shift` of an image, are our own."""
    sample = document.sample
    placed = placed_before(sample)
    infos = [
        {
            "image_name": name,
            "raw_url": sample.video_url,
            "matched_text_index": placed[number],
            "matched_sim": sample.image_clip_score[number],
            "time": sample.image_time[number],
            "shift": sample.image_shift[number],
            "image_base64": base64.b64encode(document.jpegs[number]).decode(),
        }
        for number, name in enumerate(sample.pictures)
    ]
    return {
        "url": sample.video_url,
        "text_list": sample.spoken,
        "image_info": infos,
        "similarity_matrix": similarity_matrix(sample),
        "could_have_url_duplicate": 0,
        "metadata": document.metadata,
    }


def placed_before(sample: Sample) -> list[int]:
    """For each image the index of the text before which it stands.

    MMC4 puts every image before a text and cannot express an image without one. Such a frame keeps its place in the
    document: before the text that follows it, or before the last one. Its `matched_sim` is -1.0.
    """
    placed, text, last = [], 0, len(sample.spoken) - 1
    own = iter(sample.image_text_index)
    for name in sample.images:
        if name is None:
            text += 1
        else:
            index = next(own)
            placed.append(index if index >= 0 else min(text, last))
    return placed


def similarity_matrix(sample: Sample) -> list[list[float]]:
    """Images by texts: the score of a frame and its own text, `UNKNOWN` elsewhere, as shards keep no other pair."""
    texts = len(sample.spoken)
    rows = [[UNKNOWN] * texts for _ in sample.pictures]
    for row, text, score in zip(rows, sample.image_text_index, sample.image_clip_score, strict=True):
        if text >= 0:
            row[text] = score
    return rows
