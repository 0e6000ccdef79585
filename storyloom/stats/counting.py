"""Counts over a shard's documents. The values of many documents are counted in one numpy call."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from storyloom.format.model import MOST_SECONDS
from storyloom.format.reader import ShardReader
from storyloom.format.sample import Name, refusal
from storyloom.format.shard import Shard
from storyloom.format.stored import StoredDocument
from storyloom.format.words import count_words
from storyloom.stats.distributions import Grid, GridCount, add_names
from storyloom.stats.flags import Flag, digest, flags_of, lags

GRIDS = {
    "images": Grid(0, 1000, 1, 0),
    "words": Grid(0, 100_000, 1, 0, narrowest=10),
    "seconds": Grid(0, 86_400, 1, 0, narrowest=5),
    "frames_per_minute": Grid(0, 600, 0.01, 2, narrowest=50),
    "similarity": Grid(-1, 1, 1e-4, 4, narrowest=200),
    "shift": Grid(-120, 120, 0.01, 2, narrowest=50, centred=True),
    "lag": Grid(-120, 120, 0.01, 2, narrowest=50, centred=True),
}
"""Similarities have four decimals, and the grid keeps them all; bounds and narrowest bars are our choice."""

BATCH, BATCH_BYTES = 1000, 8 * 2**20
"""Documents whose values are buffered before they are counted, and bytes of their JSON (our choice)."""

Seconds = Annotated[float, Field(ge=-MOST_SECONDS, le=MOST_SECONDS)]
Pixels = Annotated[int, Field(ge=1, lt=2**53)]


class Values(BaseModel):
    """The values of `KEY.json` that are counted; whether the others are right is for `storyloom validate` to say."""

    model_config = ConfigDict(strict=True)

    texts: list[str | None]
    text_start: list[Seconds]
    text_source: list[Name]
    image_time: list[Seconds]
    image_width: list[Pixels]
    image_height: list[Pixels]
    image_text_index: list[Annotated[int, Field(ge=-1, lt=2**53)]]
    image_clip_score: list[Annotated[float, Field(ge=-1, le=1)]]
    image_shift: list[Seconds]
    image_caption: list[str] = []
    image_fuse_status: list[Name] = []
    doc_start: Seconds
    doc_end: Seconds
    language: Name
    license: Name
    lag: Seconds = 0.0
    lag_confidence: Annotated[float, Field(ge=0, le=1)] = 0.0

    @cached_property
    def words(self) -> int:
        """Of the texts, as by `count_words`; ASCII texts are split at blanks, which is several times as fast."""
        text = " ".join(text for text in self.texts if text is not None)
        return len(text.split()) if text.isascii() else count_words(text)

    @cached_property
    def flags(self) -> set[Flag]:
        """What is odd about it, as `flags_of` says."""
        return flags_of(self)

    @cached_property
    def digest(self) -> int:
        """Of the texts, as by `digest`."""
        return digest(self.texts)

    @model_validator(mode="after")
    def _one_value_each(self) -> Self:
        if (
            not len(self.image_time)
            == len(self.image_text_index)
            == len(self.image_clip_score)
            == len(self.image_shift)
            == len(self.image_width)
            == len(self.image_height)
        ):
            raise ValueError("the lists of its images differ in length")
        return self


@dataclass
class DocumentSums:
    """Sums over documents.

    Attributes:
        documents: How many.
        texts: How many they have.
        frames: How many they have.
        frames_alone: Frames without a text of their own.
        languages: Documents by language code.
        text_sources: Texts by where they come from.
        captions: Frames with a caption.
        fuse_statuses: Frames by what became of their fusion, where that was on.
        licenses: Documents by licence.
        flags: Documents by flag, but for duplicates.
        digests: Of the texts of each document.
        grids: Distributions, by the names of `GRIDS`.
    """

    documents: int = 0
    texts: int = 0
    frames: int = 0
    frames_alone: int = 0
    captions: int = 0
    languages: Counter[str] = field(default_factory=Counter)
    text_sources: Counter[str] = field(default_factory=Counter)
    fuse_statuses: Counter[str] = field(default_factory=Counter)
    licenses: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    digests: list[NDArray[np.int64]] = field(default_factory=list)
    grids: dict[str, GridCount] = field(default_factory=lambda: {name: GridCount(grid) for name, grid in GRIDS.items()})

    def merge(self, other: DocumentSums) -> None:
        """Add another's sums."""
        self.documents += other.documents
        self.texts += other.texts
        self.frames += other.frames
        self.frames_alone += other.frames_alone
        self.captions += other.captions
        add_names(self.languages, other.languages)
        add_names(self.text_sources, other.text_sources)
        add_names(self.fuse_statuses, other.fuse_statuses)
        add_names(self.licenses, other.licenses)
        self.flags.update(other.flags)
        self.digests += other.digests
        for name, grid in self.grids.items():
            grid.merge(other.grids[name])

    def duplicates(self) -> int:
        """Documents whose text another one has, too."""
        if not self.digests:
            return 0
        _, times = np.unique(np.concatenate(self.digests), return_counts=True)
        return int(times[times > 1].sum())


def count(output: str | os.PathLike[str], shard: Shard, numbers: range) -> DocumentSums:
    """Count the documents of these numbers in a shard of a dataset; no image is read.

    Raises:
        BadShard: The shard cannot be read, or a document lacks a counted field.
    """
    sums = DocumentSums()
    some: list[Values] = []
    size = 0
    for stored in ShardReader(output).json_only(shard, numbers):
        if len(some) == BATCH or size > BATCH_BYTES:
            add(sums, some)
            some, size = [], 0
        some.append(_values(stored))
        size += len(stored.content)
    if some:
        add(sums, some)
    return sums


def _values(stored: StoredDocument) -> Values:
    try:
        return Values.model_validate_json(stored.content)
    except ValidationError as error:
        raise stored.bad(str(refusal(f"{stored.key}.json", error))) from None


def add(sums: DocumentSums, some: Sequence[Values]) -> None:
    """Add documents to sums; there is at least one."""
    texts = np.array([len(one.text_start) for one in some])
    images = np.array([len(one.image_time) for one in some])
    seconds = np.array([one.doc_end - one.doc_start for one in some], np.float64)
    text_of_frame = _chain(some, "image_text_index")
    paired = text_of_frame >= 0

    sums.documents += len(some)
    sums.texts += int(texts.sum())
    sums.frames += int(images.sum())
    sums.frames_alone += int(np.count_nonzero(~paired))
    add_names(sums.languages, [one.language for one in some])
    add_names(sums.licenses, [one.license for one in some])
    add_names(sums.text_sources, [source for one in some for source in one.text_source])
    sums.captions += sum(bool(caption) for one in some for caption in one.image_caption)
    add_names(sums.fuse_statuses, [status for one in some for status in one.image_fuse_status if status != "off"])
    sums.flags.update(flag.value for one in some for flag in one.flags)
    sums.digests.append(np.array([one.digest for one in some], np.int64))

    lasting = seconds > 0
    sums.grids["images"].add(images)
    sums.grids["words"].add([one.words for one in some])
    sums.grids["seconds"].add(seconds)
    sums.grids["frames_per_minute"].add(images[lasting] / (seconds[lasting] / 60))
    sums.grids["similarity"].add(_chain(some, "image_clip_score")[paired])
    sums.grids["shift"].add(_chain(some, "image_shift")[paired])
    sums.grids["lag"].add([one.lag for one in some if lags(one)])


def _chain(some: Sequence[Values], key: str) -> NDArray[np.float64]:
    return np.array([value for one in some for value in getattr(one, key)], np.float64)
