"""Documents packed into sequences of a bounded number of tokens."""

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
from storyloom.reader import DocumentDataset, Frame, PackedDataset, PackedSequence, Text, TokenLayout

IMAGE = 300
END = 301


def letters(text: str) -> list[int]:
    return list(text.encode())


LAYOUT = TokenLayout(letters, IMAGE, 5, image_start=(302,), image_end=(303,), document_end=(END,))


def packed(
    out: Path, budget: int = 90, open_sequences: int = 4, layout: TokenLayout = LAYOUT, **how: Any
) -> PackedDataset:
    return PackedDataset(DocumentDataset(out, **how), layout, budget=budget, open_sequences=open_sequences)


def contents(sequences: list[PackedSequence]) -> dict[tuple[str, int], list[tuple[float, float, bool, list[int]]]]:
    """By document and piece: every item's times, kind and tokens."""
    found: dict[tuple[str, int], list[tuple[float, float, bool, list[int]]]] = {}
    for one in sequences:
        edges = one.cu_seqlens.tolist()
        pieces = [(origin.key, origin.piece) for origin in one.origins]
        assert len(edges) == len(pieces) + 1
        for (start, stop), times, is_image in zip(
            one.item_spans.tolist(), one.item_times.tolist(), one.item_is_image.tolist(), strict=True
        ):
            piece = pieces[int(np.searchsorted(edges, start, side="right")) - 1]
            found.setdefault(piece, []).append((*times, is_image, one.tokens[start:stop].tolist()))
    return found


@settings(max_examples=30)
@given(budget=st.integers(10, 400), open_sequences=st.integers(1, 8), shuffle=st.booleans(), epoch=st.integers(0, 1))
def test_nothing_is_lost_doubled_cut_or_out_of_order(
    out: Path, *, budget: int, open_sequences: int, shuffle: bool, epoch: int
) -> None:
    dataset = packed(out, budget, open_sequences, shuffle=shuffle)
    dataset.set_epoch(epoch)
    sequences = list(dataset)
    assert all(0 < len(one.tokens) <= budget for one in sequences)
    found = contents(sequences)
    for document in DocumentDataset(out):
        parts = sorted(key for key in found if key[0] == document.key)
        assert [number for _, number in parts] == list(range(len(parts)))
        items = [item for part in parts for item in found[part]]
        expected = [
            (item.time, item.time, True) if isinstance(item, Frame) else (item.start, item.end, False)
            for item in document.items
        ]
        assert [key for key, _ in itertools.groupby(item[:3] for item in items)] == expected
        words = "".join(item.text for item in document.items if isinstance(item, Text))
        assert [token for item in items if not item[2] for token in item[3]] == letters(words)
    frames = sorted((image.time, image.jpeg) for one in sequences for image in one.images)
    assert frames == sorted((f.time, f.jpeg) for document in DocumentDataset(out) for f in document.frames)
    ends = sum(int((one.tokens == END).sum()) for one in sequences)
    assert ends == len(DocumentDataset(out))


def test_shapes_and_dtypes_are_as_documented(out: Path) -> None:
    for one in packed(out):
        tokens, items, pieces = len(one.tokens), len(one.item_spans), len(one.origins)
        shapes = {
            "tokens": (torch.int64, (tokens,)),
            "loss_weight": (torch.float32, (tokens,)),
            "image_mask": (torch.bool, (tokens,)),
            "cu_seqlens": (torch.int32, (pieces + 1,)),
            "item_spans": (torch.int32, (items, 2)),
            "item_times": (torch.float64, (items, 2)),
            "item_is_image": (torch.bool, (items,)),
            "position_ids": (torch.int64, (tokens,)),
        }
        assert {name: (getattr(one, name).dtype, tuple(getattr(one, name).shape)) for name in shapes} == shapes
        assert one.cu_seqlens[0] == 0
        assert one.cu_seqlens[-1] == tokens
        assert int(one.image_mask.sum()) == 5 * len(one.images) == 5 * int(one.item_is_image.sum())


def test_positions_begin_anew_in_each_piece(out: Path) -> None:
    one = next(iter(packed(out, budget=400)))
    starts = one.cu_seqlens.tolist()
    assert len(starts) > 2
    expected = [n for start, stop in itertools.pairwise(starts) for n in range(stop - start)]
    assert one.position_ids.tolist() == expected


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_loss_is_on_words_and_on_images_as_the_layout_says_but_on_no_piece_s_first_token(
    out: Path, weight: float
) -> None:
    layout = TokenLayout(letters, IMAGE, 5, document_end=(END,), image_loss_weight=weight)
    for one in packed(out, 400, layout=layout):
        expected = torch.where(one.image_mask, weight, 1.0)
        expected[one.cu_seqlens[:-1].long()] = 0.0
        assert torch.equal(one.loss_weight, expected)


def test_sequences_are_well_filled(out: Path) -> None:
    sequences = list(packed(out, budget=400))
    full = sum(len(one.tokens) for one in sequences) / (400 * len(sequences))
    in_order = 0
    sizes = [o.size for o in _whole(out)]
    used = 400
    for size in sizes:
        in_order, used = (in_order + 1, size) if used + size > 400 else (in_order, used + size)
    assert len(sequences) <= in_order
    assert full > 0.8


def _whole(out: Path) -> list[Any]:
    from storyloom.reader.pieces import pieces

    return [pieces(document, LAYOUT, 10_000)[0] for document in DocumentDataset(out)]


def same(one: PackedSequence, other: PackedSequence) -> bool:
    names = ("tokens", "loss_weight", "image_mask", "cu_seqlens", "item_spans", "item_times", "item_is_image")
    tensors = all(torch.equal(getattr(one, name), getattr(other, name)) for name in names)
    return tensors and one.images == other.images and one.origins == other.origins


@settings(max_examples=30)
@given(
    data=st.data(),
    budget=st.integers(10, 300),
    open_sequences=st.integers(1, 6),
    shuffle=st.booleans(),
    epoch=st.integers(0, 1),
)
def test_stopped_packing_goes_on_with_the_next_sequence(
    out: Path, *, data: st.DataObject, budget: int, open_sequences: int, shuffle: bool, epoch: int
) -> None:
    first = packed(out, budget, open_sequences, shuffle=shuffle)
    first.set_epoch(epoch)
    uninterrupted = list(first)
    stop = data.draw(st.integers(0, len(uninterrupted)))
    before = list(itertools.islice(first, stop))
    state = json.loads(json.dumps(first.state_dict()))
    second = packed(out, budget, open_sequences, shuffle=shuffle)
    second.load_state_dict(state)
    resumed = before + list(second)
    assert len(resumed) == len(uninterrupted)
    assert all(map(same, resumed, uninterrupted))


def test_ranks_and_workers_together_pack_every_document_once(out: Path) -> None:
    origins = [
        origin
        for rank in range(2)
        for one in DataLoader(packed(out, rank=rank, world_size=2, shuffle=True), batch_size=None, num_workers=2)
        for origin in one.origins
    ]
    assert len(set(origins)) == len(origins)
    assert {origin.key for origin in origins} == {document.key for document in DocumentDataset(out)}


def test_a_state_of_another_budget_is_refused(out: Path) -> None:
    with pytest.raises(UsageError, match=r"budget, open_sequences = \[90, 4\], but here they are \[91, 4\]"):
        packed(out, 91).load_state_dict(packed(out, 90).state_dict())


def test_a_state_of_another_tokenizer_is_refused(out: Path) -> None:
    first = packed(out)
    next(iter(first))
    other = packed(out, layout=TokenLayout(letters, IMAGE, 6))
    other.load_state_dict(first.state_dict())
    with pytest.raises(UsageError, match="has other tokens than when the state was saved"):
        next(iter(other))


@pytest.mark.parametrize(("arguments", "message"), [({"budget": 1}, "budget is 1"), ({"open_sequences": 0}, "is 0")])
def test_arguments_that_make_no_sense_are_refused(out: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        packed(out, **arguments)
