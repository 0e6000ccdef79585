"""Which texts stand in a document for a model: what was said, captions of the frames, or both as one text.

One rule for the readers and the exports. Frames keep their order. A text belongs to the images that name it in
`image_text_index`.

- ``text``: the document as it is.
- ``caption``: after each image stands its caption; what was said is left out.
- ``fused``: after each image stands its fused text. What was said stays where it was not fused: after the first of its
  images, or in its place where it belongs to none. It is left out where one of its images has a fused text, which says
  it.

An image without such a text stands alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, get_args

from storyloom.errors import UsageError

Texts = Literal["text", "caption", "fused"]

Kind = Literal["image", "text", "caption", "fused"]


class Item(NamedTuple):
    """A position of a document: an image or one of its texts by the image's number, or a text by its own."""

    kind: Kind
    number: int


class CountsTexts(Protocol):
    """The counts of a shard that say which texts it has."""

    @property
    def captions(self) -> int:
        """Images with a caption."""

    @property
    def fuse_statuses(self) -> Mapping[str, int]:
        """Images by what became of their fusion."""


def check_texts(texts: str, shards: Iterable[CountsTexts], address: str) -> None:
    """Refuse texts that a dataset does not have.

    Raises:
        UsageError: It was made without them, or they are none of `Texts`.
    """
    if texts not in get_args(Texts):
        raise UsageError(f"texts is {texts!r}, but must be one of {', '.join(get_args(Texts))}")
    if texts == "caption" and not any(shard.captions for shard in shards):
        raise UsageError(f"{address} has no captions: make it with caption.enabled: true")
    if texts == "fused" and not any(shard.fuse_statuses for shard in shards):
        raise UsageError(f"{address} has no fused texts: make it with caption.enabled: true and fuse.enabled: true")


def placed(
    texts: Texts, is_image: Sequence[bool], text_of: Sequence[int], captions: Sequence[str], fused: Sequence[str]
) -> Iterator[Item]:
    """The positions of a document with these texts.

    Args:
        texts: Which.
        is_image: Of each position of the document as it is.
        text_of: Index of each image's text; -1 without one.
        captions: Of each image; empty for none.
        fused: Of each image; empty for none.
    """
    beside: Mapping[int, Item]
    said: set[int]
    if texts == "caption":
        beside = {image: Item("caption", image) for image, caption in enumerate(captions) if caption}
        said = set()
    elif texts == "fused":
        beside = _fused(text_of, fused)
        said = set(range(is_image.count(False))) - set(text_of)
    else:
        beside = {}
        said = set(range(is_image.count(False)))
    images, spoken = iter(range(len(text_of))), iter(range(is_image.count(False)))
    for position in is_image:
        if position:
            image = next(images)
            yield Item("image", image)
            if image in beside:
                yield beside[image]
        elif (text := next(spoken)) in said:
            yield Item("text", text)


def _fused(text_of: Sequence[int], fused: Sequence[str]) -> dict[int, Item]:
    """What stands after each image: its fused text, or what was said at it where no image's fused text says that."""
    beside = {image: Item("fused", image) for image, text in enumerate(fused) if text}
    told = {text_of[image] for image in beside}
    for image, text in enumerate(text_of):
        if text >= 0 and text not in told:
            beside[image] = Item("text", text)
            told.add(text)
    return beside


def text_numbers(items: Sequence[Item], text_of: Sequence[int]) -> list[int]:
    """For each image the number, among the texts of these positions, of that which is its own; -1 without one.

    Args:
        items: The positions.
        text_of: Index of each image's text in the document as it is; -1 without one.
    """
    texts = [item for item in items if item.kind != "image"]
    said = {item.number: number for number, item in enumerate(texts) if item.kind == "text"}
    made = {item.number: number for number, item in enumerate(texts) if item.kind != "text"}
    return [made.get(image, said.get(text, -1)) for image, text in enumerate(text_of)]
