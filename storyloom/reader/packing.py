"""Documents packed into sequences of a bounded number of tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset

from storyloom.errors import UsageError
from storyloom.reader.bins import Bin, Bins, PlacedPiece
from storyloom.reader.dataset import DocumentDataset
from storyloom.reader.document import Frame, Text
from storyloom.reader.pieces import Origin, Piece, TokenLayout, pieces


@dataclass(frozen=True)
class PackedSequence:
    """Concatenated pieces of documents.

    Attributes:
        tokens: int64, shape (tokens,): at most the budget.
        loss_weight: float32, shape (tokens,): weight of each token as a target. 0.0 for the first of a piece, which
            has no context (as in transformers' DataCollatorWithFlattening); the layout's
            `image_loss_weight` for images; 1.0 elsewhere.
        image_mask: bool, shape (tokens,): where the placeholders, or codes, of `images` are; not their start and end.
        cu_seqlens: int32, shape (pieces + 1,): where each piece starts, and where the last ends, as flash-attention's
            variable-length kernels take it.
        item_spans: int32, shape (items, 2): start and end of each item's tokens.
        item_times: float64, shape (items, 2): start and end of each item in seconds; equal for a frame.
        item_is_image: bool, shape (items,).
        images: The frames, in order.
        origins: Where each piece comes from.
        image_grid_thw: int64, shape (images, 3): patches of each image in time, height and width, as transformers'
            processors and torchtitan's collator (``grid_thw``) have them; None where the layout's model has no grid.
    """

    tokens: torch.Tensor
    loss_weight: torch.Tensor
    image_mask: torch.Tensor
    cu_seqlens: torch.Tensor
    item_spans: torch.Tensor
    item_times: torch.Tensor
    item_is_image: torch.Tensor
    images: list[Frame]
    origins: list[Origin]
    image_grid_thw: torch.Tensor | None = None

    @property
    def document_ids(self) -> torch.Tensor:
        """int32, shape (tokens,): number of each token's piece, from 0, for block-diagonal attention.

        FlexAttention's document masks compare them, as torchtitan's ``get_document_mask_mod`` does, which derives the
        same numbers from `position_ids`. NeMo AutoModel's ``neat_packing_vlm`` counts them from 1 in what it calls
        ``attention_mask``, where 0 is padding.
        """
        lengths = self.cu_seqlens.diff()
        return torch.arange(len(lengths), dtype=torch.int32).repeat_interleave(lengths)

    @property
    def position_ids(self) -> torch.Tensor:
        """int64, shape (tokens,): each token's place in its piece."""
        lengths = self.cu_seqlens.diff()
        return torch.arange(len(self.tokens)) - self.cu_seqlens[:-1].long().repeat_interleave(lengths)


Held = dict[str, list[list[tuple[int, int, int]]]]
"""Open and ready sequences, each by the position, number and size of its pieces."""


class PackedDataset(IterableDataset[PackedSequence]):
    """Sequences of at most `budget` tokens, packed from whole documents or from pieces of longer ones.

    Best fit: a piece goes into the open sequence in which it leaves the least room. When more than `open_sequences` are
    open, the fullest is yielded. The state names the documents of the open sequences, which are read again when it is
    loaded, so it stays small whatever the size of the images. Use it with ``batch_size=None``.
    """

    def __init__(
        self, documents: DocumentDataset, layout: TokenLayout, *, budget: int, open_sequences: int = 16
    ) -> None:
        """Pack the documents of `documents`.

        Args:
            documents: The dataset; it also determines splitting and shuffling.
            layout: How a document becomes tokens.
            budget: Most tokens of a sequence.
            open_sequences: More of them fill better and take more memory (our choice).

        Raises:
            UsageError: An argument makes no sense.
        """
        if budget <= len(layout.document_end):
            raise UsageError(f"budget is {budget}: no room beside the {len(layout.document_end)} of a document's end")
        if open_sequences < 1:
            raise UsageError(f"open_sequences is {open_sequences}: at least 1")
        self._documents = documents
        self._layout = layout
        self._budget = budget
        self._limit = open_sequences
        self._held: Held = {"open": [], "ready": []}
        self._loaded: Held | None = None

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self._documents.set_epoch(epoch)

    def __iter__(self) -> Iterator[PackedSequence]:
        self._held = self._loaded or {"open": [], "ready": []}
        self._loaded = None
        return self._sequences(iter(self._documents))

    def _sequences(self, documents: Iterator[Any]) -> Iterator[PackedSequence]:
        bins, ready = self._restored()
        for document in documents:
            position = self._documents.position - 1
            for number, piece in enumerate(pieces(document, self._layout, self._budget)):
                ready += bins.add(PlacedPiece(position, number, piece))
            yield from self._given(bins, ready)
        ready += bins.rest()
        yield from self._given(bins, ready)

    def _given(self, bins: Bins, ready: list[Bin]) -> Iterator[PackedSequence]:
        while ready:
            sequence = assemble([placed.piece for placed in ready.pop(0).placed], self._layout)
            self._held = {"open": _names(bins.open), "ready": _names(ready)}
            yield sequence

    def state_dict(self) -> dict[str, Any]:
        """The state of the iteration: the documents' state, and the content of the unfinished sequences."""
        return {
            "documents": self._documents.state_dict(),
            "packing": [self._budget, self._limit],
            **(self._loaded or self._held),
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Let the next iteration continue after the last sequence that was yielded before.

        Raises:
            UsageError: The state is of other documents, another rank or worker, or other settings.
        """
        if state_dict["packing"] != [self._budget, self._limit]:
            message = f"the state was saved with budget, open_sequences = {state_dict['packing']}"
            raise UsageError(f"{message}, but here they are {[self._budget, self._limit]}")
        self._documents.load_state_dict(state_dict["documents"])
        self._loaded = {"open": state_dict["open"], "ready": state_dict["ready"]}

    def _restored(self) -> tuple[Bins, list[Bin]]:
        """The unfinished sequences of the state, their documents read and cut again."""
        wanted = sorted({name[0] for held in self._held.values() for one in held for name in one})
        cut = {
            position: pieces(document, self._layout, self._budget)
            for position, document in zip(wanted, self._documents.at(wanted), strict=True)
        }
        for position, number, size in (name for held in self._held.values() for one in held for name in one):
            if number >= len(cut[position]) or cut[position][number].size != size:
                key = cut[position][0].origin.key
                raise UsageError(f"{key} has other tokens than when the state was saved: is the layout the same?")
        bins = Bins(self._budget, self._limit)
        found = {
            kind: [bins.bin(PlacedPiece(at, number, cut[at][number]) for at, number, _ in one) for one in held]
            for kind, held in self._held.items()
        }
        bins.open = found["open"]
        return bins, found["ready"]


def assemble(packed: list[Piece], layout: TokenLayout) -> PackedSequence:
    """The tensors of a sequence that holds these pieces."""
    ids: list[Any] = []
    weights: list[Any] = []
    spans: list[tuple[int, int]] = []
    starts = [0]
    size = 0
    for piece in packed:
        for tokens in piece.items:
            is_text = isinstance(tokens.item, Text)
            ids.append(tokens.ids)
            weights.append(np.full(len(tokens.ids), 1.0 if is_text else layout.image_loss_weight, np.float32))
            spans.append((size, size + len(tokens.ids)))
            size += len(tokens.ids)
        if piece.origin.last:
            ids.append(np.asarray(layout.document_end, np.int64))
            weights.append(np.ones(len(layout.document_end), np.float32))
            size += len(layout.document_end)
        starts.append(size)
    items = [tokens.item for piece in packed for tokens in piece.items]
    images = [item for item in items if isinstance(item, Frame)]
    image_mask = torch.zeros(size, dtype=torch.bool)
    for (start, stop), item in zip(spans, items, strict=True):
        if isinstance(item, Frame):
            image_mask[start + len(layout.image_start) : stop - len(layout.image_end)] = True
    times = [(item.start, item.end) if isinstance(item, Text) else (item.time, item.time) for item in items]
    loss_weight = torch.from_numpy(np.concatenate(weights))
    loss_weight[[start for start in starts if start < size]] = 0.0
    return PackedSequence(
        tokens=torch.from_numpy(np.concatenate(ids)),
        loss_weight=loss_weight,
        image_mask=image_mask,
        cu_seqlens=torch.tensor(starts, dtype=torch.int32),
        item_spans=torch.tensor(spans, dtype=torch.int32),
        item_times=torch.tensor(times, dtype=torch.float64),
        item_is_image=torch.tensor([isinstance(item, Frame) for item in items]),
        images=images,
        origins=[piece.origin for piece in packed],
        image_grid_thw=_grids(images, layout),
    )


def _grids(images: list[Frame], layout: TokenLayout) -> torch.Tensor | None:
    if layout.image_grid is None:
        return None
    found = [layout.image_grid(image.width, image.height) for image in images]
    if None in found:
        return None
    return torch.tensor(found, dtype=torch.int64).reshape(-1, 3)


def _names(bins: Iterable[Bin]) -> list[list[tuple[int, int, int]]]:
    return [[(placed.position, placed.number, placed.piece.size) for placed in one.placed] for one in bins]
