"""Sequences packed by a plan of the whole epoch."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from storyloom.errors import UsageError
from storyloom.reader import DocumentDataset, Frame, PackedSequence, PlannedDataset, Text, TokenCounts, TokenLayout
from storyloom.reader.order import Shuffle
from storyloom.reader.pieces import item_ids, pieces
from storyloom.reader.plan import CountedPieces, Plan, make_plan
from tests.storyloom.reader.test_packing import END, IMAGE, LAYOUT, contents, letters, same
from tests.storyloom.reader.test_pieces import ITEMS, LAYOUTS, document

DOCUMENTS = st.lists(ITEMS.map(lambda items: document(*items)), min_size=1, max_size=12)


def counted(documents: list[Any], layout: TokenLayout) -> TokenCounts:
    return TokenCounts.of_documents(
        (
            (
                [len(item_ids("", item, layout)) for item in one.items],
                [isinstance(item, Frame) for item in one.items],
            )
            for one in documents
        ),
        {},
    )


def planned(out: Path, budget: int = 90, layout: TokenLayout = LAYOUT, **how: Any) -> PlannedDataset:
    documents = DocumentDataset(out, **how)
    return PlannedDataset(documents, layout, budget=budget, counts=TokenCounts.measure(documents, layout))


def plan_of(sizes: list[int], budget: int, *, shuffle: bool, epoch: int, seed: int = 0) -> tuple[CountedPieces, Plan]:
    counts = TokenCounts.of_documents((([size], [False]) for size in sizes), {})
    cut = CountedPieces.of(counts, budget, 1)
    order = np.random.default_rng(epoch).permutation(len(sizes)) if shuffle else np.arange(len(sizes))
    return cut, make_plan(cut, order, Shuffle(seed, 10) if shuffle else None, epoch)


@given(DOCUMENTS, LAYOUTS, st.integers(10, 60))
def test_counts_are_cut_as_the_documents_are(documents: list[Any], how: TokenLayout, budget: int) -> None:
    found = CountedPieces.of(counted(documents, how), budget, len(how.document_end))
    expected = [
        (n, piece.origin.piece, piece.size) for n, one in enumerate(documents) for piece in pieces(one, how, budget)
    ]
    assert list(zip(found.document.tolist(), found.number.tolist(), found.size.tolist(), strict=True)) == expected


@given(
    sizes=st.lists(st.integers(0, 200), min_size=1, max_size=80),
    budget=st.integers(2, 100),
    shuffle=st.booleans(),
    epoch=st.integers(0, 3),
)
def test_every_piece_is_in_one_sequence_and_none_is_over_the_budget(
    *, sizes: list[int], budget: int, shuffle: bool, epoch: int
) -> None:
    cut, plan = plan_of(sizes, budget, shuffle=shuffle, epoch=epoch)
    sequences = [plan[n] for n in range(len(plan))]
    assert sorted(itertools.chain(*sequences)) == list(range(len(cut.size)))
    assert all(sequences)
    assert max(int(cut.size[one].sum()) for one in sequences) <= budget
    assert int(cut.size.sum()) == sum(sizes) + len(sizes)
    assert plan.fill == pytest.approx(int(cut.size.sum()) / (budget * len(plan)))


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.integers(20, 40))
def test_no_two_sequences_would_fit_into_one(sizes: list[int], budget: int) -> None:
    cut, plan = plan_of(sizes, budget, shuffle=True, epoch=0)
    used = sorted(int(cut.size[plan[n]].sum()) for n in range(len(plan)))
    assert len(used) < 2 or used[0] + used[1] > budget


def test_heavy_tailed_documents_fill_the_budget() -> None:
    sizes = np.random.default_rng(0).lognormal(np.log(1000), 1.5, 20_000).astype(int)
    _, plan = plan_of(sizes.tolist(), 8192, shuffle=True, epoch=0)
    assert plan.fill >= 0.98


def test_a_plan_depends_on_its_seed_and_epoch_alone() -> None:
    sizes = list(range(1, 60))
    plans = [
        plan_of(sizes, 64, shuffle=True, epoch=epoch, seed=seed)[1] for epoch, seed in ((0, 0), (0, 0), (1, 0), (0, 1))
    ]
    written = [[one[n] for n in range(len(one))] for one in plans]
    assert written[0] == written[1]
    assert written[2] != written[0] != written[3]


def test_without_shuffling_sequences_come_by_their_first_document(out: Path) -> None:
    keys = [one.key for one in DocumentDataset(out)]
    firsts = [keys.index(one.origins[0].key) for one in planned(out)]
    assert firsts == sorted(firsts)


@settings(max_examples=15)
@given(budget=st.integers(10, 400), shuffle=st.booleans(), epoch=st.integers(0, 1))
def test_the_sequences_hold_every_document_once_and_whole(out: Path, *, budget: int, shuffle: bool, epoch: int) -> None:
    dataset = planned(out, budget, shuffle=shuffle)
    dataset.set_epoch(epoch)
    sequences = list(dataset)
    assert len(sequences) == len(dataset)
    assert all(0 < len(one.tokens) <= budget for one in sequences)
    found = contents(sequences)
    for one in DocumentDataset(out):
        parts = sorted(key for key in found if key[0] == one.key)
        assert [number for _, number in parts] == list(range(len(parts)))
        items = [item for part in parts for item in found[part]]
        words = "".join(item.text for item in one.items if isinstance(item, Text))
        assert [token for item in items if not item[2] for token in item[3]] == letters(words)
        assert [item[0] for item in items if item[2]] == [frame.time for frame in one.frames]
    frames = sorted((image.time, image.jpeg) for one in sequences for image in one.images)
    assert frames == sorted((f.time, f.jpeg) for one in DocumentDataset(out) for f in one.frames)
    assert sum(int((one.tokens == END).sum()) for one in sequences) == len(DocumentDataset(out))


def in_turn(out: Path, world_size: int, workers: int, **how: Any) -> list[PackedSequence]:
    """The sequences of all ranks, one of each in turn, as they train on them."""
    ranks = [
        list(DataLoader(planned(out, rank=rank, world_size=world_size, **how), batch_size=None, num_workers=workers))
        for rank in range(world_size)
    ]
    assert len({len(one) for one in ranks}) == 1
    return [one for turn in zip(*ranks, strict=True) for one in turn]


@pytest.mark.parametrize(("world_size", "workers"), [(1, 2), (3, 0), (2, 1)])
def test_the_order_is_the_same_at_any_number_of_ranks_and_workers(out: Path, world_size: int, workers: int) -> None:
    whole = list(planned(out, shuffle=True))
    found = in_turn(out, world_size, workers, shuffle=True)
    assert all(map(same, found, whole + whole[: len(found) - len(whole)]))
    assert 0 <= len(found) - len(whole) < world_size


@settings(max_examples=12)
@given(data=st.data(), worlds=st.tuples(st.integers(1, 3), st.integers(1, 3)), epoch=st.integers(0, 1))
def test_a_run_that_stopped_goes_on_with_another_number_of_ranks(
    out: Path, *, data: st.DataObject, worlds: tuple[int, int], epoch: int
) -> None:
    whole = planned(out, shuffle=True)
    whole.set_epoch(epoch)
    uninterrupted = list(whole)
    before, after = worlds
    first = planned(out, shuffle=True, rank=0, world_size=before)
    first.set_epoch(epoch)
    steps = data.draw(st.integers(0, len(uninterrupted) // before))
    list(itertools.islice(first, steps))
    state = json.loads(json.dumps(first.state_dict()))
    assert state == json.loads(json.dumps(first.state_after(steps)))
    rest = []
    for rank in range(after):
        second = planned(out, shuffle=True, rank=rank, world_size=after)
        second.load_state_dict(state)
        rest.append(list(second))
    resumed = [one for turn in zip(*rest, strict=True) for one in turn]
    left = uninterrupted[steps * before :]
    assert len(left) <= len(resumed) < len(left) + after
    assert all(map(same, resumed, left))


def test_a_state_is_loaded_before_workers_start_and_the_next_epoch_is_whole(out: Path) -> None:
    whole = list(planned(out, shuffle=True))
    dataset = planned(out, shuffle=True)
    dataset.load_state_dict(dataset.state_after(5))
    loader = DataLoader(dataset, batch_size=None, num_workers=2)
    assert all(map(same, loader, whole[5:]))
    assert len(dataset) == len(whole)
    dataset.set_epoch(1)
    again = planned(out, shuffle=True)
    again.set_epoch(1)
    assert all(map(same, list(loader), list(again)))


@pytest.mark.parametrize("changed", [{"budget": 91}, {"seed": 1}, {"shuffle": False}, {"split": "val"}])
def test_a_state_of_something_else_is_refused(out: Path, changed: dict[str, Any]) -> None:
    state = planned(out, shuffle=True).state_dict()
    with pytest.raises(UsageError, match="the state was saved with"):
        planned(out, **{"shuffle": True} | changed).load_state_dict(state)


def test_fields_name_the_pieces_the_positions_and_the_grids(out: Path) -> None:
    layout = TokenLayout(letters, IMAGE, 5, (302,), (303,), (END,), image_grid=lambda width, height: (1, height, width))
    for one in planned(out, 300, layout):
        edges = one.cu_seqlens.tolist()
        expected = [n for n, (start, stop) in enumerate(itertools.pairwise(edges)) for _ in range(stop - start)]
        assert one.document_ids.dtype == torch.int32
        assert one.document_ids.tolist() == expected
        # torchtitan's rule: a document begins where positions begin anew
        assert (torch.cumsum(one.position_ids == 0, 0) - 1).tolist() == expected
        assert one.image_grid_thw is not None
        assert one.image_grid_thw.dtype == torch.int64
        assert one.image_grid_thw.tolist() == [[1, frame.height, frame.width] for frame in one.images]
        assert torch.equal(one.image_mask, one.tokens == IMAGE)


def test_images_may_be_ids_of_their_own(out: Path) -> None:
    layout = TokenLayout(letters, IMAGE, lambda *_: 3, (302,), (303,), image_ids=lambda frame: [400, frame.width, 401])
    one = next(iter(streamed(out, layout)))
    assert one.tokens[one.image_mask].tolist() == [400, 64, 401] * len(one.images)
    assert one.image_grid_thw is None


def streamed(out: Path, layout: TokenLayout) -> Any:
    from tests.storyloom.reader.test_packing import packed

    return packed(out, layout=layout)


def test_counts_of_another_tokenizer_name_the_document(out: Path) -> None:
    documents = DocumentDataset(out)
    counts = TokenCounts.measure(documents, LAYOUT)
    sizes = counts.sizes.copy()
    sizes[0] += 1
    wrong = TokenCounts(sizes, counts.is_image, counts.ends, counts.source)
    with pytest.raises(
        UsageError, match=rf"^{next(iter(documents)).key} has 7 tokens in item 0, but .* say 8: .* layout"
    ):
        list(PlannedDataset(documents, LAYOUT, budget=90, counts=wrong))


def test_an_image_that_does_not_fit_is_refused_before_anything_is_read(out: Path) -> None:
    with pytest.raises(UsageError, match="an image has 7 tokens, but the budget leaves 6"):
        planned(out, 7)
