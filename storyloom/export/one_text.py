"""A document as one text, for formats that have no list of texts and images."""

from __future__ import annotations

from collections.abc import Sequence

from storyloom.format.sample import Sample


def one_text(sample: Sample, images: Sequence[str]) -> str:
    """The document's texts and images in their order, a space between two texts.

    Args:
        sample: The document.
        images: What stands for each image.
    """
    shown = iter(images)
    return "".join(
        next(shown) if text is None else f" {text}" if place and sample.texts[place - 1] is not None else text
        for place, text in enumerate(sample.texts)
    )
