"""The size of a picture as it is encoded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def encoded_size(width: int, height: int, patch: int, max_side: int) -> tuple[int, int]:
    """The width and height of a picture as it is encoded, in pixels, multiples of `patch`.

    The longer side is at most `max_side`, and no side is enlarged but to the nearest multiple of `patch`; a picture is
    at least one patch high and wide.
    """
    scale = min(1.0, max_side / max(width, height))
    most = max(1, max_side // patch)
    columns, rows = (min(most, max(1, round(side * scale / patch))) for side in (width, height))
    return columns * patch, rows * patch


def resized(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture in another size, bicubic; the picture itself where it has the size.

    Args:
        picture: Shape (height, width, 3).
        size: Width and height.
    """
    if picture.shape[1::-1] == size:
        return picture
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
