"""Which pieces of which documents make up the sequences of an epoch, from token counts alone."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storyloom.errors import UsageError
from storyloom.reader.counts import TokenCounts
from storyloom.reader.order import Shuffle
from storyloom.reader.pieces import cut, too_large

AT_ONCE = 2**16
"""Documents that are cut at once: bounds the memory (our choice)."""

WORD = 64
"""Rooms that one number of `Rooms` tells of."""


@dataclass(frozen=True, eq=False)
class CountedPieces:
    """The pieces of all documents, as counts give them.

    Attributes:
        budget: Most tokens of a sequence.
        document: int64, shape (pieces,): number of each piece's document, rising.
        number: uint32, shape (pieces,): of each piece in its document.
        size: int64, shape (pieces,): tokens, the document's end included.
    """

    budget: int
    document: NDArray[np.int64]
    number: NDArray[np.uint32]
    size: NDArray[np.int64]

    @classmethod
    def of(cls, counts: TokenCounts, budget: int, end: int) -> CountedPieces:
        """Cut the documents by `pieces.cut`.

        Args:
            counts: Of the documents.
            budget: Most tokens of a sequence.
            end: Tokens at the end of a document.

        Raises:
            UsageError: An image does not fit the budget.
        """
        room = budget - end
        largest = int(counts.sizes[counts.is_image].max(initial=0))
        if largest > room:
            raise UsageError(too_large("an image", largest, room))
        parts = [
            _cut(counts, range(len(counts))[first : first + AT_ONCE], room) for first in range(0, len(counts), AT_ONCE)
        ]
        document = np.concatenate([np.empty(0, np.int64), *(which for which, _ in parts)])
        size = np.concatenate([np.empty(0, np.int64), *(sizes for _, sizes in parts)])
        of_each = np.bincount(document, minlength=len(counts))
        begins = np.cumsum(of_each) - of_each
        size[begins + of_each - 1] += end
        return cls(budget, document, (np.arange(len(document)) - begins[document]).astype(np.uint32), size)


def _cut(counts: TokenCounts, documents: range, room: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pieces of some documents by `pieces.cut`: of each its document and its tokens, without the document's end.

    Documents are cut all at once, piece by piece. Those with a frame and text that are too long together are rare, and
    are cut one by one.
    """
    ends = counts.ends[documents.start : documents.stop + 1]
    items = slice(*ends[[0, -1]].tolist())
    ends = ends - ends[0]
    at_item = np.concatenate([[0], np.cumsum(counts.sizes[items], dtype=np.int64)])
    ends_run = np.concatenate([[True], ~counts.is_image[items]])
    ends_run[ends] = True
    at = at_item[ends_run]  # tokens before each uncuttable run, and after the last one
    bounds = np.cumsum(ends_run)[ends] - 1  # number of each document's first run
    totals = np.diff(at_item[ends])
    slow = np.zeros(len(documents), np.bool_)
    slow[np.searchsorted(bounds, np.flatnonzero(np.diff(at) > room), side="right") - 1] = True
    which = [np.flatnonzero(totals <= room)]
    sizes = [totals[which[0]]]
    for n in np.flatnonzero(slow).tolist():
        found = [sum(part.stop - part.start for part in one) for one in cut(*counts.of(documents[n]), room)]
        which.append(np.full(len(found), n))
        sizes.append(np.array(found, np.int64))
    now = np.flatnonzero((totals > room) & ~slow)
    begin = bounds[now]
    while len(now):
        stop = np.minimum(np.searchsorted(at, at[begin] + room, side="right") - 1, bounds[now + 1])
        which.append(now)
        sizes.append(at[stop] - at[begin])
        rest = stop < bounds[now + 1]
        now, begin = now[rest], stop[rest]
    document = np.concatenate(which)
    order = np.argsort(document, kind="stable")
    return document[order] + documents.start, np.concatenate(sizes)[order]


@dataclass(frozen=True, eq=False)
class Plan:
    """The sequences of an epoch, each as pieces.

    Attributes:
        pieces: int64, shape (pieces,): index into `CountedPieces` of each piece, sequence after sequence.
        starts: int64, shape (sequences + 1,): where each sequence begins in `pieces`, and where the last one ends.
        fill: Share of the budget that is used, over all sequences.
    """

    pieces: NDArray[np.int64]
    starts: NDArray[np.int64]
    fill: float

    def __len__(self) -> int:
        """Sequences."""
        return len(self.starts) - 1

    def __getitem__(self, number: int) -> list[int]:
        """The pieces of a sequence."""
        found: list[int] = self.pieces[self.starts[number] : self.starts[number + 1]].tolist()
        return found


class Rooms:
    """Open sequences by how many tokens still fit; the one with the least room that is enough is found at once."""

    def __init__(self, budget: int) -> None:
        self._open: list[list[int]] = [[] for _ in range(budget + 1)]
        self._words = [0] * (budget // WORD + 1)
        self._any = 0  # bit n: self._words[n] has a bit; bit m of that: there is a sequence with room n * WORD + m

    def put(self, sequence: int, room: int) -> None:
        """Add a sequence."""
        self._open[room].append(sequence)
        self._words[room // WORD] |= 1 << room % WORD
        self._any |= 1 << room // WORD

    def take(self, least: int) -> tuple[int, int] | None:
        """Remove the sequence with the least room of at least `least`, the latest of several; it and its room."""
        at = least // WORD
        found = self._words[at] >> least % WORD << least % WORD
        if not found:
            further = self._any >> at + 1
            if not further:
                return None
            at += _lowest(further) + 1
            found = self._words[at]
        room = at * WORD + _lowest(found)
        sequence = self._open[room].pop()
        if not self._open[room]:
            self._words[at] &= ~(1 << room % WORD)
            if not self._words[at]:
                self._any &= ~(1 << at)
        return sequence, room


def make_plan(pieces: CountedPieces, order: NDArray[np.int64], shuffle: Shuffle | None, epoch: int) -> Plan:
    """Pack the pieces of an epoch: a function of these arguments alone.

    Those larger than half the budget come first, as no two of them fit together; all others follow in the order of the
    epoch, each into the sequence in which it leaves the least room. So chance says which smaller documents share a
    sequence; sorted all by size (best fit decreasing), those of one size would. Within a sequence pieces keep the
    epoch's order. In a shuffled epoch the sequences are mixed, too, as those that were begun last are the emptiest;
    else they come by their first piece.

    Args:
        pieces: Of all documents.
        order: int64, shape (documents,): their numbers in the order of the epoch.
        shuffle: Of the documents.
        epoch: From 0.
    """
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    in_order = np.argsort(place[pieces.document], kind="stable")
    size = pieces.size[in_order]
    by_turn = np.argsort(2 * size <= pieces.budget, kind="stable")
    sequence = np.empty(len(size), np.int64)
    sequence[by_turn] = _best_fit(size[by_turn], pieces.budget)
    total = int(sequence.max(initial=-1)) + 1
    new = np.empty(total, np.int64)
    if shuffle:
        mixed = list(range(total))
        random.Random(f"{shuffle.seed} {epoch} sequences").shuffle(mixed)  # noqa: S311
        new[mixed] = np.arange(total)
    else:
        _, first = np.unique(sequence, return_index=True)
        new[np.argsort(first)] = np.arange(total)
    renamed = new[sequence]
    starts = np.concatenate([[0], np.cumsum(np.bincount(renamed, minlength=total))])
    fill = float(size.sum()) / (pieces.budget * total) if total else 0.0
    return Plan(in_order[np.argsort(renamed, kind="stable")], starts, fill)


def _best_fit(sizes: NDArray[np.int64], budget: int) -> NDArray[np.int64]:
    """The sequence of each piece, numbered as they are begun."""
    rooms, sequences = Rooms(budget), 0
    found = np.empty(len(sizes), np.int64)
    for n, size in enumerate(sizes.tolist()):
        if taken := rooms.take(size):
            sequence, room = taken
        else:
            sequence, room = sequences, budget
            sequences += 1
        found[n] = sequence
        if room > size:
            rooms.put(sequence, room - size)
    return found


def _lowest(bits: int) -> int:
    return (bits & -bits).bit_length() - 1
