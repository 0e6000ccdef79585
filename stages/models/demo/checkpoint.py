"""Tensors of a checkpoint that torch saved before its version 1.6, read without torch and without running its pickles.

The layout is that of `_legacy_save` in torch/serialization.py: pickles of a magic number, a version, the machine, the
tensors and the list of storages; then each storage as its length and its bytes.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

MAGIC = 0x1950A86A20F9469CFC6C

HEADER = 3
"""Pickles before the tensors."""

DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Place:
    """A tensor before its storage is read; `first` and `strides` count elements."""

    storage: str
    first: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def of(self, content: bytes, dtype: np.dtype[Any]) -> Array:
        """The tensor, copied out of its storage's bytes in the order of its axes."""
        size = dtype.itemsize
        strides = tuple(size * stride for stride in self.strides)
        return np.ndarray(self.shape, dtype, content, size * self.first, strides).copy("C")


def read_checkpoint(file: BinaryIO) -> dict[str, Array]:
    """The tensors of a state dict by name.

    Raises:
        UnpicklingError: It is no such file, or it names anything but tensors.
        TypeError, ValueError: A tensor reaches over its storage.
    """
    header = [_Unpickler(file).load() for _ in range(HEADER)]
    if header[0] != MAGIC:
        raise pickle.UnpicklingError("no checkpoint in torch's old layout")
    unpickler = _Unpickler(file)
    places: Mapping[str, _Place] = unpickler.load()
    storages = {}
    for name in _Unpickler(file).load():
        length = int.from_bytes(file.read(8), "little")
        storages[name] = file.read(length * unpickler.dtypes[name].itemsize)
    return {name: at.of(storages[at.storage], unpickler.dtypes[at.storage]) for name, at in places.items()}


class _Unpickler(pickle.Unpickler):
    """Knows dictionaries, numbers, texts and tensors; every other name is refused."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.dtypes: dict[str, np.dtype[Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _placed
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a tensor")

    def persistent_load(self, pid: Any) -> str:
        _, dtype, name, *_ = pid
        self.dtypes[name] = dtype
        return str(name)


def _placed(storage: str, first: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> _Place:
    """Stands in for torch's function of the same arguments."""
    return _Place(storage, first, shape, strides)
