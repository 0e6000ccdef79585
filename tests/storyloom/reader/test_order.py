"""Which document comes when."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from storyloom.reader.order import Order, Share, Shuffle

COUNTS = st.lists(st.integers(1, 9), min_size=1, max_size=8)
SHUFFLES = st.none() | st.builds(Shuffle, st.integers(0, 9), st.integers(1, 30))


def everything(counts: list[int]) -> list[tuple[int, int]]:
    return [(shard, number) for shard, count in enumerate(counts) for number in range(count)]


def shares(world_size: int, workers: int) -> list[Share]:
    return [Share(rank, world_size, worker, workers) for rank in range(world_size) for worker in range(workers)]


@given(COUNTS, SHUFFLES, st.integers(0, 3), st.integers(1, 5), st.integers(1, 4))
def test_all_shares_together_read_every_document_once(
    counts: list[int], shuffle: Shuffle | None, epoch: int, world_size: int, workers: int
) -> None:
    read = Counter(one for share in shares(world_size, workers) for one in Order(counts, share, shuffle, epoch))
    assert read == Counter(everything(counts))


@given(COUNTS, SHUFFLES, st.integers(1, 6), st.integers(1, 4))
def test_the_workers_of_a_rank_read_what_the_rank_would_read_alone(
    counts: list[int], shuffle: Shuffle | None, world_size: int, workers: int
) -> None:
    alone = set(Order(counts, Share(0, world_size), shuffle, 1))
    together = {one for w in range(workers) for one in Order(counts, Share(0, world_size, w, workers), shuffle, 1)}
    assert together == alone


@given(COUNTS, st.integers(1, 6), st.integers(1, 4))
def test_ranks_differ_by_at_most_one_document(counts: list[int], world_size: int, workers: int) -> None:
    lengths = [len(Order(counts, Share(rank, world_size), None, 0)) for rank in range(world_size)]
    assert max(lengths) - min(lengths) <= 1


@given(COUNTS, st.integers(0, 9), st.integers(1, 30), st.integers(0, 3))
def test_a_document_stays_within_its_window(counts: list[int], seed: int, window: int, epoch: int) -> None:
    shuffled = list(Order(counts, Share(), Shuffle(seed, window), epoch))
    by_shard = list(Order(counts, Share(), Shuffle(seed, 1), epoch))
    for first in range(0, len(shuffled), window):
        assert sorted(shuffled[first : first + window]) == sorted(by_shard[first : first + window])


def test_without_shuffling_documents_come_as_they_were_written() -> None:
    assert list(Order([2, 3], Share(), None, 5)) == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]


def test_epochs_and_seeds_give_different_orders_and_the_same_ones_the_same() -> None:
    orders = [tuple(Order([50] * 4, Share(), Shuffle(seed, 100), epoch)) for seed in (0, 1) for epoch in (0, 1)]
    assert len(set(orders)) == 4
    assert orders[0] == tuple(Order([50] * 4, Share(), Shuffle(0, 100), 0))


def test_shuffling_mixes_shards_and_documents() -> None:
    order = list(Order([50] * 4, Share(), Shuffle(0, 100), 0))
    assert [shard for shard, _ in order] != sorted(shard for shard, _ in order)
    first = [number for shard, number in order if shard == 0]
    assert first != sorted(first)
