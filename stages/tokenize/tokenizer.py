"""What turns pictures into discrete codes and back, and which there are by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.config import Auto
from stages.base import StageSetupError
from stages.models.device import Device
from stages.tokenize.fitted import FITTED, fitted_codebook

MAX_SIDE = 256
"""Default of most pixels of a picture's longer side as it is encoded (our choice): 144 codes of 16 x 16 pixels for a
frame of 16:9."""

RAW_PATCHES = ("patches", "raw", "raw-patches", "fuyu", "eve")
"""Names under which raw patches might be asked for, which no model makes into codes."""

Picture = NDArray[np.uint8]
"""Shape (height, width, 3), RGB."""

Codes = NDArray[np.uint16]
"""Shape (rows, columns), from the top left."""


class ImageTokenizer(Protocol):
    """Turns pictures into codes and codes into pictures.

    Attributes:
        name: As in the config.
        codebook_size: Codes are 0 to `codebook_size` - 1; at most 65,536.
        patch: Pixels of the side of the square that a code stands for.
    """

    name: str
    codebook_size: int
    patch: int

    def size(self, width: int, height: int) -> tuple[int, int]:
        """The width and height in pixels that a picture is resized to before it is encoded, multiples of `patch`.

        `decode` gives pictures of this size.
        """

    def encode(self, pictures: Sequence[Picture]) -> list[Codes]:
        """The codes of pictures of any sizes, each resized to its `size` first; a code for each `patch` of it."""

    def decode(self, codes: Sequence[Codes]) -> list[Picture]:
        """The pictures that codes stand for, rows * `patch` pixels high and columns * `patch` wide."""


def load_tokenizer(
    model: str,
    device: Device = "cpu",
    *,
    max_side: int = MAX_SIDE,
    batch: Auto | int = "auto",
    threads: int | None = None,
) -> ImageTokenizer:
    """A tokenizer, loaded.

    Args:
        model: ``fitted-16``, ``fitted-8`` or ``fitted-4``, a codebook of this repository with squares of so many
            pixels; or a folder or a repository of the hub: see `stages.tokenize.vq_models`.
        device: Device of a model; the fitted codebooks need none.
        max_side: Most pixels of a picture's longer side as it is encoded; smaller pictures are not enlarged.
        batch: Pictures per forward pass of a model; the fitted codebooks need none.
        threads: CPU threads of a model; None leaves torch's.

    Raises:
        StageSetupError: There is no such tokenizer, or it cannot be loaded.
    """
    if model in FITTED:
        return fitted_codebook(model, max_side)
    if model.lower() in RAW_PATCHES:
        raise StageSetupError(f"{model!r}: raw patches have no codes; name a codebook such as fitted-16")
    from stages.tokenize.vq_models import VqTokenizer

    return VqTokenizer(model, device, max_side, batch, threads)
