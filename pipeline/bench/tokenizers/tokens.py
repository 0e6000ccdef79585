"""Pictures as tokens and back: raw patches, codes of a codebook; and as JPEGs, the classical bound."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.bench.tokenizers.frames import Picture
from stages.tokenize.tokenizer import ImageTokenizer

Tokens = NDArray[np.uint8] | NDArray[np.uint16]
"""A picture's tokens, shape (rows, columns), with a further axis where a token holds several numbers."""

Size = tuple[int, int]
"""Height and width in pixels."""

PATCHES = (16, 30, 32)
"""Sides of raw patches in pixels: a vision transformer's (16), Fuyu's (30), and twice the first."""

QUALITIES = (30, 60, 90)
"""Of the JPEGs, as Pillow counts them, 1 to 95 (our choice)."""

BITS_PER_SAMPLE = 8


class Tokenizer(Protocol):
    """Turns pictures into grids of tokens and back.

    Attributes:
        name: As the table calls it.
        discrete: Whether a token is one of a finite list, which a model can predict as it predicts words.
        bits_per_token: Bits that tell a token from all others.
        decodes: Whether it makes pictures of tokens; otherwise only what it costs is measured.
    """

    @property
    def name(self) -> str: ...

    @property
    def discrete(self) -> bool: ...

    @property
    def bits_per_token(self) -> float: ...

    @property
    def decodes(self) -> bool: ...

    def encode(self, pictures: Sequence[Picture]) -> list[Tokens]:
        """The tokens of each picture."""

    def decode(self, tokens: Sequence[Tokens], sizes: Sequence[Size]) -> list[Picture]:
        """The pictures of these tokens, of these sizes."""


@dataclass(frozen=True)
class RawPatches:
    """Patches of pixels as they are, which a model projects by itself: nothing is lost, and nothing is left out.

    Attributes:
        patch: Side of a patch in pixels. Pictures whose sides are no multiples of it are filled up at the right and at
            the bottom with their last pixels, as they cost whole patches there too.
    """

    patch: int
    discrete = False
    decodes = True

    @property
    def name(self) -> str:
        return f"patches-{self.patch}"

    @property
    def bits_per_token(self) -> float:
        return float(BITS_PER_SAMPLE * 3 * self.patch**2)

    def encode(self, pictures: Sequence[Picture]) -> list[Tokens]:
        return [self._patches(picture) for picture in pictures]

    def decode(self, tokens: Sequence[Tokens], sizes: Sequence[Size]) -> list[Picture]:
        return [self._picture(one, size) for one, size in zip(tokens, sizes, strict=True)]

    def _patches(self, picture: Picture) -> Tokens:
        rows, columns = (math.ceil(side / self.patch) for side in picture.shape[:2])
        missing = (rows * self.patch - picture.shape[0], columns * self.patch - picture.shape[1])
        filled = np.pad(picture, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
        squares = filled.reshape(rows, self.patch, columns, self.patch, 3).swapaxes(1, 2)
        return squares.reshape(rows, columns, -1)

    def _picture(self, tokens: Tokens, size: Size) -> Picture:
        rows, columns = tokens.shape[:2]
        squares = tokens.reshape(rows, columns, self.patch, self.patch, 3).swapaxes(1, 2)
        return np.ascontiguousarray(
            squares.reshape(rows * self.patch, columns * self.patch, 3)[: size[0], : size[1]], dtype=np.uint8
        )


@dataclass(frozen=True)
class Coded:
    """A tokenizer of the stage `tokenize`: a token is a code of its codebook.

    Attributes:
        tokenizer: The tokenizer. Where it works at another size than a picture's, what it decodes is resized back.
        flaw: Why it makes no pictures of codes; empty where it does.
    """

    tokenizer: ImageTokenizer
    flaw: str = ""
    discrete = True

    @property
    def name(self) -> str:
        return self.tokenizer.name

    @property
    def decodes(self) -> bool:
        return not self.flaw

    @property
    def bits_per_token(self) -> float:
        return math.log2(self.tokenizer.codebook_size)

    def encode(self, pictures: Sequence[Picture]) -> list[Tokens]:
        return list(self.tokenizer.encode(pictures))

    def decode(self, tokens: Sequence[Tokens], sizes: Sequence[Size]) -> list[Picture]:
        codes = [one.astype(np.uint16, copy=False) for one in tokens]
        return [_sized(picture, size) for picture, size in zip(self.tokenizer.decode(codes), sizes, strict=True)]


def _sized(picture: Picture, size: Size) -> Picture:
    from PIL import Image

    if picture.shape[:2] == size:
        return picture
    return np.asarray(Image.fromarray(picture).resize(size[::-1], Image.Resampling.BICUBIC))


def to_jpeg(picture: Picture, quality: int) -> bytes:
    """A picture as a JPEG as Pillow writes it: baseline, colours at half the resolution."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return file.getvalue()


def from_jpeg(jpeg: bytes) -> Picture:
    """The picture in a JPEG."""
    from PIL import Image

    with Image.open(io.BytesIO(jpeg)) as image:
        return np.asarray(image.convert("RGB"))
