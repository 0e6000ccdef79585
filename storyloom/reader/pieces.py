"""A document as tokens, cut into pieces that fit a budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storyloom.errors import UsageError
from storyloom.reader.document import Document, Frame, Text


@dataclass(frozen=True)
class PatchTokens:
    """Tokens of an image in models that cut it into square patches; keeps its aspect up to whole patches.

    Sides are rounded to whole patches; an image with too many or too few is scaled first. That is Qwen2-VL's
    ``smart_resize``, which Emu3.5 uses, too: ``PatchTokens(side=16, least=1, most=1024)`` is its first stage. Tokens
    that a model adds around an image or between its rows come on top: see `TokenLayout`.

    Attributes:
        side: Pixels a token stands for in each direction; 28 in Qwen2-VL (patches of 14, merged 2x2).
        least: Fewest tokens of an image; Qwen2-VL's default.
        most: Most tokens of an image; Qwen2-VL's default.
    """

    side: int = 28
    least: int = 4
    most: int = 1280

    def __call__(self, width: int, height: int) -> int:
        columns, rows = round(width / self.side), round(height / self.side)
        if columns * rows > self.most:
            shrink = math.sqrt(width * height / (self.most * self.side**2))
            columns, rows = (max(1, math.floor(pixels / shrink / self.side)) for pixels in (width, height))
        elif columns * rows < self.least:
            grow = math.sqrt(self.least * self.side**2 / (width * height))
            columns, rows = (math.ceil(pixels * grow / self.side) for pixels in (width, height))
        return columns * rows


@dataclass(frozen=True)
class TokenLayout:
    """How a document becomes tokens: its items in their order, frames first as the format has them.

    There is no text-first order: LiveCC, Multimodal Textbook and CosMo put frames before their words, and OmniCorpus
    found natural positions best for autoregressive models.

    Attributes:
        tokenize: Token ids of a text, without special tokens. It is called once per text, so it must add any
            separator between two texts, such as a space, itself.
        image_token: Id of the placeholder for one token of an image.
        image_tokens: Placeholders per image, or a function of its width and height in pixels, e.g. `PatchTokens`. With
            `image_ids` the number of those, or a function of the columns and rows of its discrete codes.
        image_start: Ids before an image's placeholders.
        image_end: Ids after them.
        document_end: Ids after a document's last item (Multimodal Textbook's end of video, or an end-of-text token).
        image_loss_weight: Weight of an image's tokens in the loss: 0 where the model is not to predict them, 0.5 in
            Emu3.5, which does.
        image_grid: Patches of an image in time, height and width, from its width and height in pixels, as
            transformers' ``image_grid_thw`` has them; None where the model has no grid.
        image_ids: Ids of an image in place of placeholders, e.g. its discrete codes (`Frame.codes`) with a header and
            row ends; `image_start` and `image_end` stand around them.
    """

    tokenize: Callable[[str], Sequence[int]]
    image_token: int
    image_tokens: int | Callable[[int, int], int]
    image_start: Sequence[int] = ()
    image_end: Sequence[int] = ()
    document_end: Sequence[int] = ()
    image_loss_weight: float = 0.0
    image_grid: Callable[[int, int], tuple[int, int, int] | None] | None = None
    image_ids: Callable[[Frame], Sequence[int]] | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """An item, or a part of a long text, as tokens.

    Attributes:
        item: Where they come from.
        ids: int64, shape (tokens,).
    """

    item: Frame | Text
    ids: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a piece comes from.

    Attributes:
        key: Of the document.
        video_id: Of its video.
        piece: Number of the piece in the document; nearly always 0, a document that fits the budget being one piece.
        last: Whether the document ends with it.
    """

    key: str
    video_id: str
    piece: int
    last: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """The part of a document that goes into one sequence.

    Attributes:
        origin: Where it comes from.
        items: In the document's order.
        size: Tokens, the document's end included.
    """

    origin: Origin
    items: tuple[Tokens, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Part:
    """The tokens of an item that go into one piece: all of them, but where a long text is cut.

    Attributes:
        item: Number of the item in the document.
        start: Its first token in the piece.
        stop: The token after its last one there.
    """

    item: int
    start: int
    stop: int


def cut(sizes: Sequence[int], is_image: Sequence[bool], room: int) -> list[list[Part]]:
    """Where a document is cut into pieces, from its counts alone: the one rule of those who tokenize and who plan.

    A cut comes before a frame rather than between a frame and the text it precedes, unless these alone are too long.
    Only a text that is longer than `room` is cut itself.

    Args:
        sizes: Tokens of each item; an image has at most `room`.
        is_image: Whether each item is one.
        room: Most tokens of a piece.
    """
    filled: list[list[Part]] = [[]]
    used = 0
    for run in _runs(sizes, is_image, room):
        size = sum(part.stop - part.start for part in run)
        if used + size > room and filled[-1]:
            filled.append([])
            used = 0
        filled[-1] += run
        used += size
    return filled


def pieces(document: Document, layout: TokenLayout, budget: int) -> list[Piece]:
    """Cut a document into pieces of at most `budget` tokens; `cut` says where. Parts of a text keep its times.

    Raises:
        UsageError: An image does not fit the budget, or a text holds the image token.
    """
    room = budget - len(layout.document_end)
    ids = [item_ids(document.key, item, layout) for item in document.items]
    is_image = [isinstance(item, Frame) for item in document.items]
    for item, tokens in zip(document.items, ids, strict=True):
        if isinstance(item, Frame) and len(tokens) > room:
            what = f"{document.key}: an image of {item.width}x{item.height} pixels"
            raise UsageError(too_large(what, len(tokens), room))
    parts = cut([len(one) for one in ids], is_image, room)
    return [piece_of(document, layout, dict(enumerate(ids)), some, n, len(parts)) for n, some in enumerate(parts)]


def piece_of(
    document: Document,
    layout: TokenLayout,
    ids: Mapping[int, NDArray[np.int64]],
    parts: Sequence[Part],
    number: int,
    of: int,
) -> Piece:
    """The piece with these parts of a document's items.

    Args:
        document: Where they come from.
        layout: By which it was tokenized.
        ids: Of the items, by their number.
        parts: What is in the piece.
        number: Of the piece in the document.
        of: How many there are.
    """
    origin = Origin(document.key, document.video_id, number, last=number == of - 1)
    items = tuple(Tokens(document.items[part.item], ids[part.item][part.start : part.stop]) for part in parts)
    return Piece(origin, items, sum(len(one.ids) for one in items) + origin.last * len(layout.document_end))


def item_ids(key: str, item: Frame | Text, layout: TokenLayout) -> NDArray[np.int64]:
    """An item as tokens: int64, shape (tokens,).

    Raises:
        UsageError: A text holds the image token.
    """
    if isinstance(item, Text):
        ids = np.asarray(layout.tokenize(item.text), dtype=np.int64)
        if np.any(ids == layout.image_token):
            message = f"{key}: tokenize gave the image token {layout.image_token} for {item.text!r}"
            raise UsageError(f"{message}: tokenize texts without special tokens")
        return ids
    if layout.image_ids:
        inner = layout.image_ids(item)
    else:
        inner = [layout.image_token] * placeholders(layout, item.width, item.height)
    return np.array([*layout.image_start, *inner, *layout.image_end], dtype=np.int64)


def placeholders(layout: TokenLayout, columns: int, rows: int) -> int:
    """Tokens of an image without its start and end: see `TokenLayout.image_tokens`."""
    count = layout.image_tokens
    return count if isinstance(count, int) else count(columns, rows)


def too_large(what: str, tokens: int, room: int) -> str:
    """That an image does not fit, and the way out."""
    return f"{what} has {tokens} tokens, but the budget leaves {room}: raise the budget or count fewer per image"


def _runs(sizes: Sequence[int], is_image: Sequence[bool], room: int) -> Iterator[list[Part]]:
    """Uncuttable runs: frames with the text after them; single items where such a run is longer than `room`."""
    run: list[Part] = []
    for number, (size, image) in enumerate(zip(sizes, is_image, strict=True)):
        run.append(Part(number, 0, size))
        if not image or number == len(sizes) - 1:
            whole = sum(part.stop for part in run) <= room
            yield from [run] if whole else ([part] for one in run for part in _parts(one, room))
            run = []


def _parts(whole: Part, room: int) -> Iterator[Part]:
    for start in range(0, max(1, whole.stop), room):
        yield Part(whole.item, start, min(whole.stop, start + room))
