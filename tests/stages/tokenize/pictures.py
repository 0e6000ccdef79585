"""Pictures for the tests of tokenizers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image

PHOTOS = Path(skimage.__file__).with_name("data")
"""What the wheel of scikit-image brings: photos that the codebooks were not fitted on."""


def photo(name: str, width: int = 256, height: int = 144) -> NDArray[np.uint8]:
    return np.asarray(Image.open(PHOTOS / name).convert("RGB").resize((width, height)))


def noise(seed: int, width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def psnr(wanted: NDArray[np.uint8], found: NDArray[np.uint8]) -> float:
    """In dB."""
    return float(10 * np.log10(255**2 / ((wanted.astype(np.float64) - found) ** 2).mean()))
