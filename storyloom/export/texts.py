"""Documents with captions or fused texts beside their images, as an export writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from storyloom.format.sample import Sample, TimedWord
from storyloom.format.texts import Item, Texts, placed, text_numbers


def with_texts(sample: Sample, texts: Texts) -> Sample:
    """A document with other texts, for a trainer: its texts are no longer in the order of their times.

    A caption has its image's time, a fused text the interval of what was said, or its image's time; they have no words.
    An image's score and shift stay those that it has with what was said.
    """
    if texts == "text":
        return sample
    is_image = [name is not None for name in sample.images]
    items = list(placed(texts, is_image, sample.image_text_index, sample.image_caption, sample.image_fused))
    as_said = _as_said(sample)
    lines = [
        as_said[item.number] if item.kind == "text" else _made(sample, item) for item in items if item.kind != "image"
    ]
    names, said = iter(sample.pictures), iter(lines)
    words = [word for line in lines for word in line.words]
    return sample.model_copy(
        update={
            "texts": [None if item.kind == "image" else next(said).text for item in items],
            "images": [next(names) if item.kind == "image" else None for item in items],
            "image_text_index": text_numbers(items, sample.image_text_index),
            **{f"text_{name}": [getattr(line, name) for line in lines] for name in ("start", "end", "source")},
            "text_words": [len(line.words) for line in lines],
            "words": [word.text for word in words],
            "word_start": [word.start for word in words],
            "word_end": [word.end for word in words],
        }
    )


class _Line(NamedTuple):
    text: str
    start: float
    end: float
    source: str
    words: Sequence[TimedWord] = ()


def _as_said(sample: Sample) -> list[_Line]:
    columns = sample.spoken, sample.text_start, sample.text_end, sample.text_source, sample.words_of_texts()
    return [_Line(*line) for line in zip(*columns, strict=True)]


def _made(sample: Sample, item: Item) -> _Line:
    """An image's caption or fused text."""
    text, time = sample.image_text_index[item.number], sample.image_time[item.number]
    if item.kind == "caption":
        return _Line(sample.image_caption[item.number], time, time, "caption")
    times = (sample.text_start[text], sample.text_end[text]) if text >= 0 else (time, time)
    return _Line(sample.image_fused[item.number], *times, "fused")
