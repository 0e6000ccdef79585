"""Checkpoints of torch's old layout are read without torch, as tensors only."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.models.demo.checkpoint import read_checkpoint


def saved(state: object, **options: object) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=False, **options)  # type: ignore[arg-type]
    file.seek(0)
    return file


def test_tensors_are_what_torch_saved() -> None:
    grid = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    state = {"grid": grid, "turned": grid.permute(2, 0, 1), "part": grid[1, 1:, 2], "count": torch.tensor(7)}
    read = read_checkpoint(saved(state))
    assert {name: (array.dtype.name, array.shape) for name, array in read.items()} == {
        "grid": ("float32", (2, 3, 4)),
        "turned": ("float32", (4, 2, 3)),
        "part": ("float32", (2,)),
        "count": ("int64", ()),
    }
    for name, tensor in state.items():
        np.testing.assert_array_equal(read[name], tensor.numpy())


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, ("harm",)


def test_code_in_a_checkpoint_is_not_run() -> None:
    with pytest.raises(pickle.UnpicklingError, match="is no part of a tensor"):
        read_checkpoint(saved({"weight": Harmful()}))


def test_another_file_is_refused() -> None:
    with pytest.raises(pickle.UnpicklingError, match="no checkpoint"):
        read_checkpoint(io.BytesIO(pickle.dumps(1) * 3))


def test_a_tensor_beyond_its_storage_is_refused() -> None:
    content = saved({"weight": torch.zeros(1000)}).getvalue()
    with pytest.raises((TypeError, ValueError)):
        read_checkpoint(io.BytesIO(content[:-400]))
