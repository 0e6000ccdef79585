"""torchdata's StatefulDataLoader carries the state to and from workers."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from storyloom.errors import UsageError
from storyloom.reader import DocumentDataset, PackedDataset, PlannedDataset, TokenCounts, TokenLayout

torchdata = pytest.importorskip("torchdata.stateful_dataloader", reason="torchdata is in the group consumers")

pytestmark = [pytest.mark.consumers, pytest.mark.filterwarnings("ignore:This DataLoader will create")]


def letters(text: str) -> list[int]:
    return list(text.encode())


def loader(out: Path, workers: int, *, pack: bool, shuffle: bool = True, epoch: int = 0, **how: Any) -> Any:
    dataset: Any = DocumentDataset(out, shuffle=shuffle, window=9, rank=1, world_size=2)
    if pack:
        dataset = PackedDataset(dataset, TokenLayout(letters, 300, 5), budget=80, open_sequences=3)
    dataset.set_epoch(epoch)
    options = {"batch_size": None} | how
    return torchdata.StatefulDataLoader(dataset, num_workers=workers, **options)


def named(items: Any) -> list[Any]:
    """What identifies each of a loader's results."""
    return [
        (one.origins, one.tokens.tolist())
        if hasattr(one, "origins")
        else [d.key for d in one]
        if isinstance(one, list)
        else one.key
        for one in items
    ]


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("workers", [0, 1, 2])
@settings(max_examples=4)
@given(stop=st.integers(0, 30), shuffle=st.booleans(), epoch=st.integers(0, 2))
def test_a_stopped_run_goes_on_with_the_next_sample(
    out: Path, tmp_path_factory: Any, workers: int, *, pack: bool, stop: int, shuffle: bool, epoch: int
) -> None:
    uninterrupted = named(loader(out, workers, pack=pack, shuffle=shuffle, epoch=epoch))
    stop = min(stop, len(uninterrupted) - 1)
    first = loader(out, workers, pack=pack, shuffle=shuffle, epoch=epoch)
    before = named(itertools.islice(first, stop))
    file = tmp_path_factory.mktemp("state") / "state.pt"
    torch.save(first.state_dict(), file)
    second = loader(out, workers, pack=pack, shuffle=shuffle, epoch=epoch)
    second.load_state_dict(torch.load(file))
    assert before + named(second) == uninterrupted


def test_the_epoch_after_a_resumed_one_is_whole(out: Path) -> None:
    whole = named(loader(out, 2, pack=False, epoch=1))
    first = loader(out, 2, pack=False)
    list(itertools.islice(first, 5))
    second = loader(out, 2, pack=False)
    second.load_state_dict(first.state_dict())
    list(second)
    second.dataset.set_epoch(1)
    assert named(second) == whole


def test_batches_go_on_behind_the_last_one(out: Path) -> None:
    how: dict[str, Any] = {"batch_size": 3, "collate_fn": list}
    uninterrupted = named(loader(out, 2, pack=False, **how))
    first = loader(out, 2, pack=False, **how)
    before = named(itertools.islice(first, 3))
    second = loader(out, 2, pack=False, **how)
    second.load_state_dict(first.state_dict())
    assert before + named(second) == uninterrupted


def test_a_state_taken_behind_the_end_begins_the_next_epoch(out: Path) -> None:
    first = loader(out, 2, pack=True)
    list(first)
    second = loader(out, 2, pack=True, epoch=1)
    second.load_state_dict(first.state_dict())
    assert named(second) == named(loader(out, 2, pack=True, epoch=1))


def test_a_state_of_another_rank_is_refused_in_a_worker(out: Path) -> None:
    first = loader(out, 1, pack=False)
    next(iter(first))
    other = torchdata.StatefulDataLoader(DocumentDataset(out), batch_size=None, num_workers=1)
    other.load_state_dict(first.state_dict())
    with pytest.raises(UsageError, match="saved with shuffle = True, but here it is False"):
        next(iter(other))


def planned(out: Path, workers: int, rank: int = 0, world_size: int = 1) -> Any:
    documents, layout = (
        DocumentDataset(out, shuffle=True, rank=rank, world_size=world_size),
        TokenLayout(letters, 300, 5),
    )
    dataset = PlannedDataset(documents, layout, budget=80, counts=TokenCounts.measure(documents, layout))
    return torchdata.StatefulDataLoader(dataset, batch_size=None, num_workers=workers)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_planned_run_goes_on_with_the_next_sequence(out: Path, workers: int) -> None:
    uninterrupted = named(planned(out, 0))
    first = planned(out, workers)
    before = named(itertools.islice(first, 5))
    second = planned(out, workers)
    second.load_state_dict(first.state_dict())
    assert before + named(second) == uninterrupted


def test_a_planned_run_goes_on_with_other_numbers_of_ranks_and_workers(out: Path) -> None:
    uninterrupted = named(planned(out, 0))
    first = planned(out, 2)
    before = named(itertools.islice(first, 6))
    state = first.dataset.state_after(6)
    ranks = [planned(out, workers, rank, 2) for rank, workers in enumerate((0, 1))]
    for one in ranks:
        one.dataset.load_state_dict(state)
    after = [named(one) for one in ranks]
    found = before + [one for turn in zip(*after, strict=True) for one in turn]
    assert found[: len(uninterrupted)] == uninterrupted
    assert len(found) - len(uninterrupted) < 2


def test_a_planned_state_of_one_worker_is_refused_by_another_number_of_them(out: Path) -> None:
    first = planned(out, 2)
    list(itertools.islice(first, 6))
    ((_, worker), *_) = first.state_dict()["_snapshot"]["_worker_snapshots"].items()
    with pytest.raises(UsageError, match="save state_after"):
        planned(out, 0).dataset.load_state_dict(worker["dataset_state"])
