"""Small codebooks that this repository fits on photos: product quantisation of square patches.

A patch's colours are projected onto a few fixed directions. The first of these are compared with one sub-codebook and
the others with a second one; both indices make the code. The directions are orthogonal, so the nearest entries of both
are the nearest of all products.

Everything is a whole number, and every sum is below 2^53, so that float64 holds it exactly: pictures of the same pixels
have the same codes on every machine, whatever library multiplies and in whatever order it adds.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.tokenize.sizes import encoded_size, resized

FITTED = {"fitted-16": 16, "fitted-8": 8, "fitted-4": 4}
"""Pixels of a patch's side, by the codebook's name."""

CODEBOOKS = Path(__file__).with_name("codebooks")

GREY = 128
"""What is taken off each colour: the middle of 0 to 255."""

DIRECTION_BITS = 14
"""Directions, of length 1, are stored as multiples of 2^-14 (our choice: int16 holds them)."""

FEATURE_BITS = 2
"""Entries are stored as multiples of 1/4 (our choice: int16 holds the largest feature of a patch of 16 x 16 pixels,
128 * sqrt(768))."""


@dataclass(frozen=True)
class Codebook:
    """The numbers of a fitted codebook.

    Attributes:
        directions: int16, shape (features, patch * patch * 3), each of length 2^14.
        entries: The two sub-codebooks, int16, shapes (entries, first features) and (entries, other features), in
            quarters.
    """

    directions: NDArray[np.int16]
    entries: tuple[NDArray[np.int16], NDArray[np.int16]]

    @classmethod
    def read(cls, file: Path) -> Codebook:
        """The codebook in a file of numpy's, without pickles."""
        with np.load(file, allow_pickle=False) as found:
            return cls(found["directions"], (found["first"], found["second"]))

    def write(self, file: Path) -> None:
        """Write it, the same bytes for the same numbers."""
        with file.open("wb") as out:
            np.savez(out, directions=self.directions, first=self.entries[0], second=self.entries[1])


def patches_of(picture: NDArray[np.uint8], patch: int) -> NDArray[np.uint8]:
    """The patches of a picture whose sides are multiples of `patch`, row by row; (patches, patch * patch * 3)."""
    rows, columns = picture.shape[0] // patch, picture.shape[1] // patch
    squares = picture.reshape(rows, patch, columns, patch, 3).swapaxes(1, 2)
    return squares.reshape(rows * columns, patch * patch * 3)


def features_of(patches: NDArray[np.uint8], directions: NDArray[np.int16]) -> NDArray[np.float64]:
    """Whole numbers, in quarters of a colour's step; shape (patches, features)."""
    products = (patches.astype(np.float64) - GREY) @ directions.T.astype(np.float64)
    rounded: NDArray[np.float64] = np.rint(products / 2 ** (DIRECTION_BITS - FEATURE_BITS))
    return rounded


def nearest_entries(features: NDArray[np.float64], entries: NDArray[np.int16]) -> NDArray[np.int64]:
    """For each row, the first of the entries that are nearest; shape (patches,)."""
    exact = entries.astype(np.float64)
    distances = (exact**2).sum(1) - 2 * features @ exact.T
    nearest: NDArray[np.int64] = distances.argmin(1)
    return nearest


class FittedTokenizer:
    """A fitted codebook as an `ImageTokenizer`; numpy and Pillow are all that it needs.

    Args:
        name: Its name.
        patch: Pixels of a patch's side.
        codebook: Its numbers.
        max_side: Most pixels of a picture's longer side as it is encoded.
    """

    def __init__(self, name: str, patch: int, codebook: Codebook, max_side: int) -> None:
        self.name, self.patch = name, patch
        self._codebook, self._max_side = codebook, max_side
        first, second = codebook.entries
        self.codebook_size = len(first) * len(second)
        directions, split = codebook.directions.astype(np.float64), first.shape[1]
        self._pixels = (
            (first @ directions[:split]).astype(np.int32),
            (second @ directions[split:]).astype(np.int32),
        )

    def size(self, width: int, height: int) -> tuple[int, int]:
        return encoded_size(width, height, self.patch, self._max_side)

    def encode(self, pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint16]]:
        return [self._encoded(picture) for picture in pictures]

    def decode(self, codes: Sequence[NDArray[np.uint16]]) -> list[NDArray[np.uint8]]:
        return [self._decoded(one) for one in codes]

    def _encoded(self, picture: NDArray[np.uint8]) -> NDArray[np.uint16]:
        size = self.size(picture.shape[1], picture.shape[0])
        features = features_of(patches_of(resized(picture, size), self.patch), self._codebook.directions)
        first, second = self._codebook.entries
        codes = nearest_entries(features[:, : first.shape[1]], first) * len(second)
        codes += nearest_entries(features[:, first.shape[1] :], second)
        return codes.astype(np.uint16).reshape(size[1] // self.patch, size[0] // self.patch)

    def _decoded(self, codes: NDArray[np.uint16]) -> NDArray[np.uint8]:
        first, second = self._pixels
        exact = first[codes // len(second)] + second[codes % len(second)]
        bits = DIRECTION_BITS + FEATURE_BITS
        colours = np.clip(((exact + 2 ** (bits - 1)) >> bits) + GREY, 0, 255).astype(np.uint8)
        rows, columns = codes.shape
        squares = colours.reshape(rows, columns, self.patch, self.patch, 3).swapaxes(1, 2)
        picture: NDArray[np.uint8] = squares.reshape(rows * self.patch, columns * self.patch, 3)
        return picture


@functools.cache
def _numbers(name: str) -> Codebook:
    return Codebook.read(CODEBOOKS / f"{name}.npz")


def fitted_codebook(name: str, max_side: int) -> FittedTokenizer:
    """One of `FITTED`."""
    return FittedTokenizer(name, FITTED[name], _numbers(name), max_side)


@functools.cache
def fitted_revision(name: str) -> str:
    """The name of one of `FITTED`, and 16 digits of its file's hash."""
    return f"{name} sha256:{hashlib.sha256((CODEBOOKS / f'{name}.npz').read_bytes()).hexdigest()[:16]}"
