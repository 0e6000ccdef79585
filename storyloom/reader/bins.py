"""Best-fit packing with a bounded number of open sequences."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from storyloom.reader.pieces import Piece


@dataclass(frozen=True, slots=True)
class PlacedPiece:
    """A piece with its place in the reading order.

    Attributes:
        position: Of its document in the worker's reading order.
        number: Of the piece in the document.
        piece: The piece.
    """

    position: int
    number: int
    piece: Piece


@dataclass(slots=True)
class Bin:
    """A sequence that is being filled.

    Attributes:
        room: Tokens that still fit.
        placed: The pieces in it, in order.
    """

    room: int
    placed: list[PlacedPiece] = field(default_factory=list)

    def put(self, placed: PlacedPiece) -> None:
        """Add a piece that fits."""
        self.placed.append(placed)
        self.room -= placed.piece.size


class Bins:
    """Sequences that are being filled.

    Attributes:
        open: The sequences, oldest first.
    """

    def __init__(self, budget: int, limit: int) -> None:
        self.open: list[Bin] = []
        self._budget = budget
        self._limit = limit

    def bin(self, pieces: Iterable[PlacedPiece] = ()) -> Bin:
        """A new sequence with these pieces; it is not added to `open`."""
        new = Bin(self._budget)
        for placed in pieces:
            new.put(placed)
        return new

    def add(self, placed: PlacedPiece) -> list[Bin]:
        """Place a piece; return the sequences that are finished by it, if any."""
        fitting = [one for one in self.open if one.room >= placed.piece.size]
        if fitting:
            min(fitting, key=_room).put(placed)
        else:
            self.open.append(self.bin([placed]))
        fullest = min(self.open, key=_room)
        if fullest.room > 0 and len(self.open) <= self._limit:
            return []
        self.open = [one for one in self.open if one is not fullest]
        return [fullest]

    def rest(self) -> list[Bin]:
        """Remove and return all open sequences."""
        rest, self.open = self.open, []
        return rest


def _room(one: Bin) -> int:
    return one.room
