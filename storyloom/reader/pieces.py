"""A document as tokens, cut into pieces that fit a budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
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
        image_tokens: Placeholders per image, or a function of its width and height in pixels, e.g. `PatchTokens`.
        image_start: Ids before an image's placeholders.
        image_end: Ids after them.
        document_end: Ids after a document's last item (Multimodal Textbook's end of video, or an end-of-text token).
        image_loss_weight: Weight of an image's tokens in the loss: 0 where the model is not to predict them, 0.5 in
            Emu3.5, which does.
    """

    tokenize: Callable[[str], Sequence[int]]
    image_token: int
    image_tokens: int | Callable[[int, int], int]
    image_start: Sequence[int] = ()
    image_end: Sequence[int] = ()
    document_end: Sequence[int] = ()
    image_loss_weight: float = 0.0


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


def pieces(document: Document, layout: TokenLayout, budget: int) -> list[Piece]:
    """Cut a document into pieces of at most `budget` tokens.

    A cut comes before a frame rather than between a frame and the text it precedes, unless these alone are too long.
    Only a text that is longer than the budget is cut itself; its parts keep its times.

    Raises:
        UsageError: An image does not fit the budget, or a text holds the image token.
    """
    room = budget - len(layout.document_end)
    filled: list[list[Tokens]] = [[]]
    used = 0
    for run in _runs(document, layout, room):
        size = sum(len(tokens.ids) for tokens in run)
        if used + size > room and filled[-1]:
            filled.append([])
            used = 0
        filled[-1] += run
        used += size
    origins = (Origin(document.key, document.video_id, n, n == len(filled) - 1) for n in range(len(filled)))
    return [_piece(origin, items, layout) for origin, items in zip(origins, filled, strict=True)]


def _piece(origin: Origin, items: Sequence[Tokens], layout: TokenLayout) -> Piece:
    size = sum(len(tokens.ids) for tokens in items) + (len(layout.document_end) if origin.last else 0)
    return Piece(origin, tuple(items), size)


def _runs(document: Document, layout: TokenLayout, room: int) -> Iterator[list[Tokens]]:
    """Uncuttable runs: frames with the text after them; single items where such a run is longer than `room`."""
    run: list[Tokens] = []
    for number, item in enumerate(document.items):
        run.append(Tokens(item, _ids(document.key, item, layout, room)))
        if isinstance(item, Text) or number == len(document.items) - 1:
            whole = sum(len(tokens.ids) for tokens in run) <= room
            yield from [run] if whole else ([part] for tokens in run for part in _parts(tokens, room))
            run = []


def _parts(tokens: Tokens, room: int) -> Iterator[Tokens]:
    for start in range(0, max(1, len(tokens.ids)), room):
        yield Tokens(tokens.item, tokens.ids[start : start + room])


def _ids(key: str, item: Frame | Text, layout: TokenLayout, room: int) -> NDArray[np.int64]:
    if isinstance(item, Text):
        ids = np.asarray(layout.tokenize(item.text), dtype=np.int64)
        if np.any(ids == layout.image_token):
            message = f"{key}: tokenize gave the image token {layout.image_token} for {item.text!r}"
            raise UsageError(f"{message}: tokenize texts without special tokens")
        return ids
    count = layout.image_tokens
    placeholders = count if isinstance(count, int) else count(item.width, item.height)
    ids = np.array([*layout.image_start, *[layout.image_token] * placeholders, *layout.image_end], dtype=np.int64)
    if len(ids) > room:
        message = f"{key}: an image of {item.width}x{item.height} pixels has {len(ids)} tokens"
        raise UsageError(f"{message}, but the budget leaves {room}: raise the budget or count fewer per image")
    return ids
