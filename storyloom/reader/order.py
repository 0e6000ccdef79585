"""The order of documents in an epoch, as a function of position, so that reading can resume anywhere."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate


@dataclass(frozen=True)
class Share:
    """The part of a dataset that one process reads.

    Attributes:
        rank: Number of the node or data-parallel group.
        world_size: How many there are.
        worker: Number of the DataLoader's worker in it.
        workers: How many there are.
    """

    rank: int = 0
    world_size: int = 1
    worker: int = 0
    workers: int = 1

    def bounds(self, total: int) -> range:
        """The positions of this share among `total`: the shares cover each once, and their sizes differ by few."""
        return _part(_part(range(total), self.rank, self.world_size), self.worker, self.workers)


@dataclass(frozen=True)
class Shuffle:
    """How the documents of an epoch are mixed.

    Attributes:
        seed: Seed; the order depends on it and the epoch alone.
        window: Shards come in random order; documents are permuted within windows of this size.
    """

    seed: int
    window: int


class Order(Sequence[tuple[int, int]]):
    """Shard and number within the shard of every document of a share, in the order of an epoch.

    A shuffle buffer of documents would have to be refilled, or saved, to resume in the middle of an epoch. Here the
    numbers of a window's documents are permuted, and each is read in its turn through the shard's index.
    """

    def __init__(self, counts: Sequence[int], share: Share, shuffle: Shuffle | None, epoch: int) -> None:
        """The order is a function of these arguments alone.

        Args:
            counts: Documents per shard.
            share: The part that this process reads.
            shuffle: None for the order in which they were written.
            epoch: From 0.
        """
        self._shards = list(range(len(counts)))
        self._shuffle = shuffle
        self._epoch = epoch
        if shuffle:
            random.Random(f"{shuffle.seed} {epoch}").shuffle(self._shards)  # noqa: S311
        self._ends = list(accumulate(counts[shard] for shard in self._shards))
        self._counts = counts
        self._places = share.bounds(self._ends[-1] if self._ends else 0)
        self._permuted = lru_cache(maxsize=2)(self._permute)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, position: int) -> tuple[int, int]:  # type: ignore[override]  # slices have no user
        place = self._places[position]
        if self._shuffle:
            window, within = divmod(position, self._shuffle.window)
            place = self._permuted(window)[within]
        which = bisect_right(self._ends, place)
        shard = self._shards[which]
        return shard, place - (self._ends[which] - self._counts[shard])

    def _permute(self, window: int) -> list[int]:
        assert self._shuffle is not None
        size = self._shuffle.window
        places = self._places[window * size : (window + 1) * size]
        return random.Random(f"{self._shuffle.seed} {self._epoch} {places.start}").sample(places, len(places))  # noqa: S311


def _part(whole: range, part: int, parts: int) -> range:
    return whole[len(whole) * part // parts : len(whole) * (part + 1) // parts]
