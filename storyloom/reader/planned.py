"""Sequences packed by a plan of the whole epoch, the same for any number of ranks and workers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from storyloom.errors import UsageError
from storyloom.reader.counts import TokenCounts
from storyloom.reader.dataset import DocumentDataset
from storyloom.reader.document import Document
from storyloom.reader.packing import PackedSequence, assemble
from storyloom.reader.pieces import Piece, TokenLayout, cut, item_ids, piece_of
from storyloom.reader.plan import CountedPieces, Plan, make_plan


class PlannedDataset(IterableDataset[PackedSequence]):
    """Sequences of at most `budget` tokens, planned once an epoch from token counts: `plan.make_plan` has the rule.

    Sequence i of an epoch is the same at any number of ranks and workers. The ranks take the sequences in turn, and
    the workers of a rank take its sequences in turn, so that a DataLoader gives them in their order. Every rank gets
    equally many: where they do not come out even, the last round is filled up with the epoch's first sequences, as
    torch's DistributedSampler does; nothing is left out. Use it with ``batch_size=None``.

    A piece of a document that is longer than the budget is read with the whole document. The epoch is that of
    `set_epoch` here; that of `documents` is not looked at.
    """

    def __init__(self, documents: DocumentDataset, layout: TokenLayout, *, budget: int, counts: TokenCounts) -> None:
        """Pack the documents of `documents`.

        Args:
            documents: The dataset; its shuffling, rank and world size are those of the sequences.
            layout: How a document becomes tokens.
            budget: Most tokens of a sequence.
            counts: Tokens of every item of the documents, by this layout.

        Raises:
            UsageError: The counts are of other documents or another layout, an image does not fit the budget, or the
                budget makes no sense.
        """
        if budget <= len(layout.document_end):
            raise UsageError(f"budget is {budget}: no room beside the {len(layout.document_end)} of a document's end")
        counts.check(documents, layout)
        self._documents = documents
        self._layout = layout
        self._room = budget - len(layout.document_end)
        self._counts = counts
        self._pieces = CountedPieces.of(counts, budget, len(layout.document_end))
        self._source = documents.content | {"shuffle": documents.shuffle and vars(documents.shuffle), "budget": budget}
        self._planned: tuple[int, Plan] | None = None
        # Epoch, and sequences that all ranks together were given before; shared with workers that stay
        self._start = torch.zeros(2, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        self._resumed: tuple[int, int, int] | None = None
        self._current = 0, 0, 0

    def plan(self, epoch: int) -> Plan:
        """The sequences of an epoch. That of the last epoch that was asked for is kept, and goes to new workers."""
        if self._planned is None or self._planned[0] != epoch:
            order = self._documents.numbers(epoch)
            self._planned = epoch, make_plan(self._pieces, order, self._documents.shuffle, epoch)
        return self._planned[1]

    def __len__(self) -> int:
        """Sequences of this rank in an epoch, the same for all ranks."""
        return math.ceil(len(self.plan(int(self._start[0]))) / self._documents.share().world_size)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration, which begins at its start, but where a loaded state is of this epoch."""
        if int(self._start[0]) != epoch:
            self._start[0], self._start[1] = epoch, 0

    def __iter__(self) -> Iterator[PackedSequence]:
        self._documents.check_node()
        self._current = self._resumed or (int(self._start[0]), int(self._start[1]), 0)
        self._resumed = None
        return self._sequences(*self._current)

    def _sequences(self, epoch: int, begun: int, taken: int) -> Iterator[PackedSequence]:
        plan, share = self.plan(epoch), self._documents.share()
        rounds = math.ceil((len(plan) - begun) / share.world_size)
        mine = range(share.worker, rounds, share.workers)[taken:]
        numbers = [(begun + turn * share.world_size + share.rank) % len(plan) for turn in mine]
        wanted = (piece for number in numbers for piece in plan[number])
        documents = self._documents.numbered(int(self._pieces.document[piece]) for piece in wanted)
        for number in numbers:
            packed = [self._piece(next(documents), piece) for piece in plan[number]]
            taken += 1
            self._current = epoch, begun, taken
            yield assemble(packed, self._layout)

    def _piece(self, document: Document, piece: int) -> Piece:
        """A piece as tokens; nothing but its own items is tokenized."""
        sizes, is_image = self._counts.of(int(self._pieces.document[piece]))
        parts = cut(sizes, is_image, self._room)
        number = int(self._pieces.number[piece])
        if len(sizes) != len(document.items):
            raise UsageError(_miscounted(document.key, f"{len(document.items)} items", str(len(sizes))))
        ids = {part.item: item_ids(document.key, document.items[part.item], self._layout) for part in parts[number]}
        for item, tokens in ids.items():
            if len(tokens) != sizes[item]:
                raise UsageError(_miscounted(document.key, f"{len(tokens)} tokens in item {item}", str(sizes[item])))
        return piece_of(document, self._layout, ids, parts[number], number, len(parts))

    def state_dict(self) -> dict[str, Any]:
        """The state of the iteration, of a few numbers.

        With one worker, or none, it is that of all ranks and can be loaded with any number of ranks and workers, the
        ranks being in step; with more it belongs to its worker, and `state_after` gives the state of all.
        """
        epoch, begun, taken = self._resumed or self._current
        share = self._documents.share()
        if share.workers == 1:
            return self._state(epoch, begun + taken * share.world_size)
        return self._state(epoch, begun) | {"taken": taken, "share": vars(share)}

    def state_after(self, sequences: int) -> dict[str, Any]:
        """The state after a rank was given so many sequences since the last `set_epoch` or `load_state_dict`.

        It is the same for all ranks, and can be loaded with any number of ranks and workers.
        """
        done = int(self._start[1]) + sequences * self._documents.share().world_size
        return self._state(int(self._start[0]), done)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Let the next iteration continue after the last sequence that was given before, until `set_epoch`.

        Raises:
            UsageError: The state is of other documents, another order or budget, or of a worker among others.
        """
        for name, here in self._source.items():
            if state_dict["source"].get(name) != here:
                then = state_dict["source"].get(name)
                raise UsageError(f"the state was saved with {name} = {then!r}, but here it is {here!r}")
        epoch, begun, taken = state_dict["epoch"], state_dict["begun"], state_dict.get("taken", 0)
        share = vars(self._documents.share())
        if taken and state_dict["share"] != share:
            message = f"the state is that of one worker, {state_dict['share']}, but this is {share}"
            raise UsageError(f"{message}: save state_after(sequences), which any number of them can load")
        if taken or get_worker_info():
            self._resumed = epoch, begun, taken
        else:
            self._start[0], self._start[1] = epoch, begun

    def _state(self, epoch: int, begun: int) -> dict[str, Any]:
        return {"epoch": epoch, "begun": begun, "source": self._source}


def _miscounted(key: str, found: str, counted: str) -> str:
    message = f"{key} has {found}, but its token counts say {counted}"
    return f"{message}: they are of another tokenizer or layout; count again with TokenCounts.measure"
