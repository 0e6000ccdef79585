"""The figures of a dataset: the models that `storyloom stats --json` prints, and how they are computed."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat

from pydantic import BaseModel

from storyloom.format.manifest import FunnelRow, Published, finished_dataset
from storyloom.format.shard import Shard, Split
from storyloom.format.stored import BadShard
from storyloom.fs.url import redacted
from storyloom.stats.counting import DocumentSums, count
from storyloom.stats.distributions import Distribution
from storyloom.stats.flags import Flag

PIECE = 10_000
"""Documents that one process counts at a time; a dataset of no more is counted in the current process."""


class ShardSizes(BaseModel):
    """Bytes of the shards.

    Attributes:
        count: How many shards.
        bytes: Of all of them.
        min: Of the smallest one.
        median: Of the middle one; the lower of two.
        max: Of the largest one.
        target: The configured `write.shard_bytes`; 0 where the manifest does not state it.
        median_share_of_target: `median` over `target`; 0.0 without one.
    """

    count: int
    bytes: int
    min: int
    median: int
    max: int
    target: int
    median_share_of_target: float


class Figures(BaseModel):
    """A split, or all of them.

    Attributes:
        documents: How many.
        images: How many.
        texts: Sentences.
        words: Of the texts; a character of a script without spaces is one.
        hours: Sum of the documents' spans, from the first frame or word to the last.
        frames_per_minute: Images over that time.
        images_without_text: Share of the images that have no text of their own, 0 to 1.
        languages: Documents by language code; the empty code is an unknown language.
        text_sources: Texts by where they come from.
        captions: Images with a caption.
        fuse_statuses: Images by what became of their fusion, where that was on.
        licenses: Documents by licence; empty where it is unknown.
        images_per_document: Its distribution.
        words_per_document: Its distribution.
        seconds_per_document: Its distribution, to 1 s.
        frames_per_minute_per_document: Its distribution, over the documents that last.
        similarity: Of images and their texts.
        shift: Seconds by which the aligner moved an image's text.
        lag: Seconds by which speech follows the picture, over the documents of which that is known.
        flags: Documents by what is odd about them, as `Flag` lists it.
        shards: Their sizes.
    """

    documents: int
    images: int
    texts: int
    words: int
    hours: float
    frames_per_minute: float
    images_without_text: float
    languages: dict[str, int]
    text_sources: dict[str, int]
    captions: int
    fuse_statuses: dict[str, int]
    licenses: dict[str, int]
    images_per_document: Distribution
    words_per_document: Distribution
    seconds_per_document: Distribution
    frames_per_minute_per_document: Distribution
    similarity: Distribution
    shift: Distribution
    lag: Distribution
    flags: dict[str, int]
    shards: ShardSizes


class Stats(BaseModel):
    """A dataset's figures.

    Attributes:
        name: The dataset's.
        sha256: The dataset's, as its manifest says.
        total: All documents.
        splits: By split.
        funnel: Counts of the run that made the dataset, from its manifest; a row per kind of item.
    """

    name: str
    sha256: str
    total: Figures
    splits: dict[str, Figures]
    funnel: list[FunnelRow]


def dataset_stats(output: str | os.PathLike[str]) -> Stats:
    """Count a dataset, from its manifest, its indexes and its documents' JSON; no image is read.

    Raises:
        UsageError: The folder, or the URL, holds no finished dataset.
        BadDataset: The manifest is damaged, or a shard does not match it or its index.
    """
    published = finished_dataset(output)
    by_split = _counts(output, published)
    total = DocumentSums()
    for split, counts in by_split.items():
        stated = published.splits[split]
        if (counts.documents, counts.frames) != (stated.nsamples, stated.nimages):
            found = f"{counts.documents} documents and {counts.frames} images"
            flaw = f"they have {found}, but manifest.json says {stated.nsamples} and {stated.nimages}"
            raise BadShard.at(f"{redacted(os.fspath(output))}/data/{split}", "its shards", flaw)
        total.merge(counts)
    target = target_of(published)
    return Stats(
        name=published.name,
        sha256=published.sha256,
        total=figures_of(total, published.shards, target),
        splits={split: figures_of(counts, published.of(split), target) for split, counts in by_split.items()},
        funnel=published.provenance.funnel,
    )


def _counts(output: str | os.PathLike[str], published: Published) -> dict[Split, DocumentSums]:
    """Sums per split; pieces are merged in their order, so the result does not depend on the processes."""
    by_split = {split: DocumentSums() for split in published.splits}
    shards, numbers = zip(*_pieces(published), strict=True)
    processes = min(_cores(), len(numbers)) if sum(map(len, numbers)) > PIECE else 1
    if processes == 1:
        found = map(count, repeat(output), shards, numbers)
        for shard, counts in zip(shards, found, strict=True):
            by_split[shard.split].merge(counts)
        return by_split
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        for shard, counts in zip(shards, pool.map(count, repeat(output), shards, numbers), strict=True):
            by_split[shard.split].merge(counts)
    return by_split


def _pieces(published: Published) -> Iterator[tuple[Shard, range]]:
    """Shards and ranges of documents in them, at most `PIECE` documents each."""
    for shard in published.shards:
        numbers = range(shard.nsamples)
        for first in range(0, len(numbers), PIECE):
            yield shard, numbers[first : first + PIECE]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def target_of(published: Published) -> int:
    """Bytes of a shard that the manifest says were aimed at; 0 where it does not."""
    write = published.provenance.config.get("write")
    target = write.get("shard_bytes") if isinstance(write, dict) else 0
    return target if isinstance(target, int) and 0 < target < 2**63 else 0


def figures_of(counts: DocumentSums, shards: list[Shard], target: int) -> Figures:
    """The figures of counted documents, which lie in these shards of about `target` bytes."""
    flags = {flag.value: counts.flags[flag.value] for flag in Flag} | {Flag.DUPLICATE.value: counts.duplicates()}
    found = {name: grid.distribution() for name, grid in counts.grids.items()}
    seconds = counts.grids["seconds"].total
    return Figures(
        documents=counts.documents,
        images=counts.frames,
        texts=counts.texts,
        words=round(counts.grids["words"].total),
        hours=round(seconds / 3600, 4),
        frames_per_minute=round(counts.frames / (seconds / 60), 2) if seconds else 0.0,
        images_without_text=round(counts.frames_alone / max(1, counts.frames), 4),
        languages=dict(sorted(counts.languages.items())),
        text_sources=dict(sorted(counts.text_sources.items())),
        captions=counts.captions,
        fuse_statuses=dict(sorted(counts.fuse_statuses.items())),
        licenses=dict(sorted(counts.licenses.items())),
        images_per_document=found["images"],
        words_per_document=found["words"],
        seconds_per_document=found["seconds"],
        frames_per_minute_per_document=found["frames_per_minute"],
        similarity=found["similarity"],
        shift=found["shift"],
        lag=found["lag"],
        flags=flags,
        shards=_sizes(shards, target),
    )


def _sizes(shards: list[Shard], target: int) -> ShardSizes:
    sizes = sorted(shard.filesize for shard in shards)
    median = sizes[(len(sizes) - 1) // 2]
    return ShardSizes(
        count=len(sizes),
        bytes=sum(sizes),
        min=sizes[0],
        median=median,
        max=sizes[-1],
        target=target,
        median_share_of_target=round(median / target, 4) if target else 0.0,
    )
