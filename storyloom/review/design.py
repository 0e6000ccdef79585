"""Which pairs are judged: stratified by score, the same ones every time. docs/review.md writes the design down."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from storyloom.errors import UsageError
from storyloom.format.manifest import Published
from storyloom.format.model import Model
from storyloom.format.reader import ShardReader
from storyloom.format.sample import Sample

BANDS = 5
"""Bands of scores, each with as many of the dataset's pairs (our choice): 20 of 100 pairs are judged in each."""

RESOLUTION = 10_000
"""Scores are told apart to a ten-thousandth, as datasets have them."""

RESERVE = 1000
"""Candidates of a band that are held while the dataset is read (our choice), to choose documents from."""


class Band(Model):
    """A band of scores.

    Attributes:
        low: Lowest score in it.
        high: Highest score in it.
        pairs: How many of the dataset's pairs have such a score.
        drawn: How many of them are judged.
    """

    low: float
    high: float
    pairs: Annotated[int, Field(ge=1)]
    drawn: Annotated[int, Field(ge=1)]


class Design(Model):
    """How the pairs were drawn: enough to draw them again from the same dataset.

    Attributes:
        schema_: Of the file of judgements; the key in JSON is ``schema``.
        dataset: Its name.
        sha256: Of its shards, as its manifest says.
        count: Pairs that were asked for.
        seed: Of the draw.
        bands: In order of score; a pair of a band stands for ``pairs / drawn`` of the dataset.
    """

    schema_: Literal["storyloom-review/1"] = Field(default="storyloom-review/1", alias="schema")
    dataset: str
    sha256: str
    count: Annotated[int, Field(ge=1)]
    seed: int
    bands: list[Band]

    def weights(self) -> list[float]:
        """Share of the dataset's pairs in each band."""
        total = sum(band.pairs for band in self.bands)
        return [band.pairs / total for band in self.bands]


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """A frame with its own sentence.

    Attributes:
        draw: A number that depends on seed, document and image alone; pairs are drawn and judged in its order.
        key: Of the document.
        image: Number of the image in it.
        band: Number of its band of scores.
        score: Its similarity.
        shard: Number of the shard in the manifest.
        document: Number of the document in the shard.
    """

    draw: int
    key: str
    image: int
    band: int
    score: float
    shard: int
    document: int


def draw(reader: ShardReader, published: Published, count: int, seed: int) -> tuple[Design, list[Pair]]:
    """Draw the pairs to judge; the dataset's documents are read twice, its images not at all.

    Args:
        reader: Of the dataset.
        published: Its manifest.
        count: Pairs, at most.
        seed: Of the draw.

    Returns:
        The design, and the pairs in the order in which they are judged.

    Raises:
        UsageError: No frame of the dataset has a sentence.
        BadShard: A shard is damaged.
    """
    histogram = np.zeros(2 * RESOLUTION + 1, np.int64)
    for _, _, sample in _samples(reader, published):
        for _, score in _scored(sample):
            histogram[_step(score)] += 1
    if not histogram.any():
        raise UsageError(f"no frame of {reader.folder.address} has a sentence of its own: there is nothing to judge")
    uppers = _uppers(histogram)
    sizes = [int(one.sum()) for one in np.split(histogram, np.array(uppers[:-1]) + 1)]
    wanted = _allocated(sizes, count)
    kept: list[list[tuple[int, Pair]]] = [[] for _ in sizes]
    for shard, document, sample in _samples(reader, published):
        for image, score in _scored(sample):
            band = int(np.searchsorted(uppers, _step(score)))
            pair = Pair(_priority(seed, sample.sample_id, image), sample.sample_id, image, band, score, shard, document)
            _keep(kept[band], pair, max(RESERVE, wanted[band]))
    chosen = sorted(_spread([[pair for _, pair in some] for some in kept], wanted))
    begins = [0, *(upper + 1 for upper in uppers[:-1])]
    bands = [
        Band(low=_score(begin + int(np.argmax(histogram[begin:] > 0))), high=_score(upper), pairs=size, drawn=number)
        for begin, upper, size, number in zip(begins, uppers, sizes, wanted, strict=True)
    ]
    design = Design(dataset=published.name, sha256=published.sha256, count=count, seed=seed, bands=bands)
    return design, chosen


def _samples(reader: ShardReader, published: Published) -> Iterator[tuple[int, int, Sample]]:
    for number, shard in enumerate(published.shards):
        for stored in reader.json_only(shard):
            yield number, stored.number, stored.sample()


def _scored(sample: Sample) -> Iterator[tuple[int, float]]:
    """Number and score of the images that have a sentence."""
    pairs = zip(sample.image_clip_score, sample.image_text_index, strict=True)
    yield from ((image, score) for image, (score, text) in enumerate(pairs) if text >= 0)


def _step(score: float) -> int:
    return round(score * RESOLUTION) + RESOLUTION


def _score(step: int) -> float:
    return (step - RESOLUTION) / RESOLUTION


def _uppers(histogram: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[int]:
    """Last step of each band. Equal scores are in one band, so there are fewer where most are equal."""
    filled = np.cumsum(histogram)
    quantiles = [-(-int(filled[-1]) * number // BANDS) for number in range(1, BANDS + 1)]
    return sorted({int(np.searchsorted(filled, quantile)) for quantile in quantiles})


def _allocated(sizes: list[int], count: int) -> list[int]:
    """Equal numbers of pairs per band, at least 1; what a small band cannot give, others do."""
    count = max(len(sizes), min(count, sum(sizes)))
    wanted = [0] * len(sizes)
    while sum(wanted) < count:
        least = min((band for band, size in enumerate(sizes) if wanted[band] < size), key=lambda band: wanted[band])
        wanted[least] += 1
    return wanted


def _priority(seed: int, key: str, image: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed} {image} {key}".encode(), digest_size=8).digest())


def _keep(heap: list[tuple[int, Pair]], pair: Pair, most: int) -> None:
    """Keep the pairs with the smallest draws."""
    item = (-pair.draw, pair)
    if len(heap) < most:
        heapq.heappush(heap, item)
    elif item > heap[0]:
        heapq.heapreplace(heap, item)


def _spread(candidates: list[list[Pair]], wanted: list[int]) -> Iterator[Pair]:
    """Of each band the pairs with the smallest draws, and two of one document only where it cannot be avoided.

    Bands take documents in turn; one that finds none free takes another band's, if that finds another one instead: the
    augmenting paths by which a largest matching is found.
    """
    of_band = [sorted(some) for some in candidates]
    firsts = [{pair.key: pair for pair in reversed(some)} for some in of_band]
    firsts = [dict(sorted(some.items(), key=lambda item: item[1].draw)) for some in firsts]
    holders: dict[str, int] = {}

    def find(band: int, asked: frozenset[int]) -> bool:
        free = next((key for key in firsts[band] if key not in holders), None)
        if free is None:
            asked |= {band}
            free = next(
                (key for key in firsts[band] if holders[key] not in asked and find(holders[key], asked)),
                None,
            )
        if free is not None:
            holders[free] = band
        return free is not None

    for turn in range(max(wanted)):
        for band, number in enumerate(wanted):
            if turn < number:
                find(band, frozenset())
    chosen = [firsts[band][key] for key, band in holders.items()]
    yield from chosen
    used = Counter(pair.key for pair in chosen)
    taken = Counter(pair.band for pair in chosen)
    for band, number in enumerate(wanted):
        left = [pair for pair in of_band[band] if pair not in set(chosen)]
        for _ in range(number - taken[band]):
            one = min(left, key=lambda pair: (used[pair.key], pair.draw))
            left.remove(one)
            used[one.key] += 1
            yield one
