"""Counts over documents: per shard while it is written, and summed for splits and the dataset's card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from storyloom.format.model import Model, Seconds, to_milliseconds
from storyloom.format.sample import Name, Sample
from storyloom.format.words import count_pieces, count_words

SIMILARITY_STEP = 0.05
"""Width of a bar of the similarity histogram (our choice)."""

Count = Annotated[int, Field(ge=0, lt=2**63)]

Bar = Annotated[str, StringConstraints(pattern=r"^-?[0-9]{1,12}(\.[0-9]{1,4})?$")]
"""Where a bar of a histogram begins."""

Size = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}$")]
"""Width and height in pixels."""


class Counts(Model):
    """Counts of some documents. Histograms hold the bars that are not empty; a key is where its bar begins.

    Attributes:
        nsamples: Documents.
        nimages: Images.
        nwords: Words of the texts; in scripts without spaces, characters.
        nchars: Characters (Unicode code points) of the texts; 0 where they were not counted, as in `storyloom/1`.
        npieces: Pieces of the texts as byte-level BPE tokenizers split them, by `count_pieces`; 0 likewise.
        ntokens: Tokens of the texts, without special ones; 0 where no tokenizer was given.
        ncodes: Discrete codes of the images; 0 where the documents have none.
        captions: Images with a caption.
        fuse_statuses: Images by what became of their fusion, e.g. ``fused``; those where it was off are not counted.
        most_sounds: Most texts of a document with their sound; 0 where the documents have none.
        timed_words: Words with their times; 0 where the documents have none.
        seconds: Sum of the documents' lengths.
        languages: Documents by language code; the empty code stands for unknown.
        licenses: Documents by licence, as the manifest names it; the empty one stands for unknown.
        image_sizes: Images by their width and height in pixels: ``640x360``; none where they were not counted.
        images_per_document: Documents by how many images they have.
        similarities: Images with a text, by their similarity, in steps of 0.05: ``0.25`` stands for [0.25, 0.30).
        shifts: Images with a text, by the seconds that it was moved, to the nearest second.
    """

    nsamples: Count
    nimages: Count
    nwords: Count
    nchars: Count = 0
    npieces: Count = 0
    ntokens: Count = 0
    ncodes: Count = 0
    captions: Count = 0
    fuse_statuses: dict[Name, Count] = {}
    most_sounds: Count = 0
    timed_words: Count = 0
    seconds: Seconds
    languages: dict[Name, Count]
    licenses: dict[Name, Count]
    image_sizes: dict[Size, Count] = {}
    images_per_document: dict[Bar, Count]
    similarities: dict[Bar, Count]
    shifts: dict[Bar, Count]

    @classmethod
    def of(cls, sample: Sample, sounds: int = 0, tokens: int = 0, codes: int = 0) -> Counts:
        """Counts of one document.

        Args:
            sample: The document.
            sounds: How many sounds of texts are in the shard beside it.
            tokens: How many tokens its texts have; 0 without a tokenizer.
            codes: How many discrete codes its images have; 0 without codes.
        """
        matched = [n for n, text in enumerate(sample.image_text_index) if text >= 0]
        return Counts(
            nsamples=1,
            nimages=len(sample.image_time),
            nwords=sum(count_words(text) for text in sample.spoken),
            nchars=sum(map(len, sample.spoken)),
            npieces=sum(map(count_pieces, sample.spoken)),
            ntokens=tokens,
            ncodes=codes,
            captions=sum(map(bool, sample.image_caption)),
            fuse_statuses=dict(Counter(status for status in sample.image_fuse_status if status != "off")),
            most_sounds=sounds,
            timed_words=len(sample.words),
            seconds=to_milliseconds(sample.doc_end - sample.doc_start),
            languages={sample.language: 1},
            licenses={sample.license: 1},
            image_sizes=dict(Counter(map(size_name, sample.image_width, sample.image_height))),
            images_per_document={str(len(sample.image_time)): 1},
            similarities=dict(Counter(_similarity_bar(sample.image_clip_score[n]) for n in matched)),
            shifts=dict(Counter(str(round(sample.image_shift[n])) for n in matched)),
        )

    @classmethod
    def total(cls, some: Iterable[Counts]) -> Counts:
        """The sum, or the largest of `most_sounds`; histograms and sizes are sorted by value, other counts by name."""
        sums: Counter[str] = Counter()
        seconds, most_sounds = 0.0, 0
        tables: dict[str, Counter[str]] = {name: Counter() for name in (*NAMED, *HISTOGRAMS, "image_sizes")}
        for one in some:
            sums.update({name: getattr(one, name) for name in SUMMED})
            seconds += one.seconds
            most_sounds = max(most_sounds, one.most_sounds)
            for name, table in tables.items():
                table.update(getattr(one, name))
        return Counts(
            **{name: sums[name] for name in SUMMED},
            most_sounds=most_sounds,
            seconds=to_milliseconds(seconds),
            image_sizes=dict(sorted(tables["image_sizes"].items(), key=lambda one: size_of(one[0]))),
            **{name: dict(sorted(tables[name].items())) for name in NAMED},
            **{name: by_value(tables[name]) for name in HISTOGRAMS},
        )

    def without_sizes(self) -> Counts:
        """The counts as a manifest of `storyloom/1` has them, which knows neither sizes nor characters."""
        return self.model_copy(update={"image_sizes": {}, "nchars": 0, "npieces": 0, "ntokens": 0})

    def counted(self) -> dict[str, Any]:
        """The counted fields, for a model that has them and others."""
        return {name: getattr(self, name) for name in Counts.model_fields}


SUMMED = ("nsamples", "nimages", "nwords", "nchars", "npieces", "ntokens", "ncodes", "captions", "timed_words")
NAMED = ("languages", "licenses", "fuse_statuses")
HISTOGRAMS = ("images_per_document", "similarities", "shifts")


def size_name(width: int, height: int) -> str:
    """A size in pixels as `image_sizes` names it."""
    return f"{width}x{height}"


def size_of(name: str) -> tuple[int, int]:
    """Width and height in pixels of a name in `image_sizes`."""
    width, _, height = name.partition("x")
    return int(width), int(height)


def by_value(bars: Mapping[str, int]) -> dict[str, int]:
    """A histogram's bars in the order of the numbers where they begin."""
    return dict(sorted(bars.items(), key=lambda bar: float(bar[0])))


def _similarity_bar(similarity: float) -> str:
    # Whole ten-thousandths, the resolution of a similarity: 0.3 / 0.05 is less than 6 in floating point.
    steps = round(similarity * 10_000) // round(SIMILARITY_STEP * 10_000)
    return f"{steps * SIMILARITY_STEP:.2f}"
