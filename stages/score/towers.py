"""The interface of image-text models: what a library has to do for `ImageTextModel`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from schemas.config import Auto
from stages.models.device import Device

if TYPE_CHECKING:
    from PIL import Image

Embeddings = npt.NDArray[np.float32]
"""Shape (n, dimensions)."""

Pixels = npt.NDArray[np.uint8]
"""Pictures of the model's input size, shape (n, height, width, 3)."""

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class ModelSpec:
    """A model and its settings.

    Attributes:
        name: open_clip's name of an architecture, ``local-dir:`` with a folder, or ``demo``.
        pretrained: open_clip's tag of the weights, or a file; empty for a folder, which holds its own.
        device: ``cpu`` or ``cuda``.
        precision: Precision of the matrix products.
        threads: CPU threads of the model; fixed, so that sums are the same wherever the stage runs. The same number
            of further threads decodes pictures.
        batch: Frames per forward pass; ``auto`` goes by the device.
    """

    name: str
    pretrained: str
    device: Device
    precision: Precision
    threads: int
    batch: int | Auto


class Towers(Protocol):
    """A loaded model. Only `fitted` is called by several threads at once.

    Attributes:
        size: Longer side of its input, in pixels.
        context_length: Most tokens of a text, special ones included.
    """

    size: int
    context_length: int

    def fitted(self, picture: Image.Image) -> Image.Image:
        """An RGB picture, resized and cropped by the model's preprocessing."""

    def length(self, text: str) -> int:
        """Length of a text in tokens, special ones included, before any cutting."""

    def tokens(self, texts: Sequence[str]) -> Any:
        """Texts as `encode_texts` takes them."""

    def pictures(self, pixels: Pixels) -> Any:
        """Pictures as `encode_pictures` takes them."""

    def encode_texts(self, tokens: Any) -> Any:
        """An output for `embeddings`; it may still be under way on a device."""

    def encode_pictures(self, pictures: Any) -> Any:
        """An output for `embeddings`; it may still be under way on a device."""

    def embeddings(self, outputs: Sequence[Any]) -> Embeddings:
        """The rows of several outputs, of any length. This is the only point that waits for a device."""
