"""The image-text model: any model that open_clip loads, by name or from a folder."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch
    from PIL import Image

Embeddings = npt.NDArray[np.float32]
"""Shape (n, dimensions), rows of unit length."""

Precision = Literal["auto", "fp32", "bf16"]

BAR_LEVEL = 32
"""Brightness, of 255, up to which a border is a black bar (MERLOT Reserve's video_utils)."""

MIN_PICTURE = 0.25
"""Share of a frame that is left at least when bars are cut: an upright video in a wide frame fills a third (our
choice; MERLOT Reserve cuts a fifth at most)."""


@dataclass(frozen=True)
class ModelSpec:
    """Which model, and how it runs.

    Attributes:
        name: open_clip's name of an architecture, or ``local-dir:`` with a folder.
        pretrained: open_clip's tag of the weights, or a file; empty for a folder, which holds its own.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``auto`` is bf16 on a GPU that has it, fp32 elsewhere.
        threads: CPU threads; fixed, so that sums come out the same wherever the stage runs.
        batch: Frames or texts per forward pass.
    """

    name: str
    pretrained: str
    device: str
    precision: Precision
    threads: int
    batch: int


class ImageTextModel:
    """A loaded model that turns JPEGs and texts into embeddings of one space."""

    def __init__(self, spec: ModelSpec) -> None:
        import open_clip
        import torch

        torch.set_num_threads(spec.threads)
        self._batch = spec.batch
        self._device = torch.device(_device(spec.device))
        self._bf16 = spec.precision == "bf16" or (
            spec.precision == "auto" and self._device.type == "cuda" and torch.cuda.is_bf16_supported()
        )
        model, _, preprocess = open_clip.create_model_and_transforms(
            spec.name, pretrained=spec.pretrained or None, device=self._device, weights_only=True
        )
        # Convolutions read channels-last memory several times faster on CPUs and on tensor cores; others do not mind.
        self._model = model.eval().to(memory_format=torch.channels_last)
        self._preprocess: Any = preprocess
        self._tokenizer: Any = open_clip.get_tokenizer(spec.name)
        self._turn = (
            Lock()
        )  # a worker may have two parts in hand: pictures of one are decoded while the other is encoded
        self._tokenizing = Lock()  # Hugging Face's tokenizers refuse a second thread

    def encode_jpegs(self, jpegs: Sequence[bytes]) -> Embeddings:
        """Embeddings of JPEGs, shape (n, dimensions)."""
        import torch

        batches = []
        for start in range(0, len(jpegs), self._batch):
            pixels = torch.stack([self._pixels(jpeg) for jpeg in jpegs[start : start + self._batch]])
            pixels = pixels.contiguous(memory_format=torch.channels_last)
            batches.append(self._unit(self._forward(self._model.encode_image, pixels)))
        return np.concatenate(batches)

    def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        """Embeddings of texts, shape (n, dimensions).

        A text over the model's context length is split at words; its embedding is the direction of its pieces' mean.
        """
        with self._tokenizing:
            pieces = [(number, piece) for number, text in enumerate(texts) for piece in self._pieces(text)]
        owner = np.array([number for number, _ in pieces])
        batches = []
        for start in range(0, len(pieces), self._batch):
            with self._tokenizing:
                tokens = self._tokenizer([piece for _, piece in pieces[start : start + self._batch]])
            batches.append(self._unit(self._forward(self._model.encode_text, tokens)))
        embeddings = np.concatenate(batches)
        sums = np.zeros((len(texts), embeddings.shape[1]), dtype=np.float32)
        np.add.at(sums, owner, embeddings)
        return np.asarray(sums / np.linalg.norm(sums, axis=1, keepdims=True), dtype=np.float32)

    def _pixels(self, jpeg: bytes) -> torch.Tensor:
        from PIL import Image

        tensor: torch.Tensor = self._preprocess(without_bars(Image.open(io.BytesIO(jpeg)).convert("RGB")))
        return tensor

    def _forward(self, encode: Any, batch: torch.Tensor) -> torch.Tensor:
        import torch

        with self._turn, torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            output: torch.Tensor = encode(batch.to(self._device, non_blocking=True))
        return output

    @staticmethod
    def _unit(output: torch.Tensor) -> Embeddings:
        array = output.float().cpu().numpy()
        return np.asarray(array / np.linalg.norm(array, axis=1, keepdims=True), dtype=np.float32)

    def _pieces(self, text: str) -> list[str]:
        """Split a text in halves until each fits the context; between words where it has any."""
        if self._tokens(text) <= self._tokenizer.context_length or len(text) == 1:
            return [text]
        words = text.split()
        if len(words) > 1:
            half = len(words) // 2
            return [*self._pieces(" ".join(words[:half])), *self._pieces(" ".join(words[half:]))]
        half = len(text) // 2
        return [*self._pieces(text[:half]), *self._pieces(text[half:])]

    def _tokens(self, text: str) -> int:
        """Length of a text in tokens, special ones included, before any cutting."""
        hugging_face = getattr(self._tokenizer, "tokenizer", None)
        if hugging_face is not None:
            return len(hugging_face(text, truncation=False, verbose=False)["input_ids"])
        return len(self._tokenizer.encode(text)) + 2


def without_bars(picture: Image.Image) -> Image.Image:
    """Cut the black bars off a letterboxed frame; a picture that is dark all over stays whole."""
    box = picture.convert("L").point([255 * (level > BAR_LEVEL) for level in range(256)]).getbbox()
    if box is None or (box[2] - box[0]) * (box[3] - box[1]) < MIN_PICTURE * picture.width * picture.height:
        return picture
    return picture.crop(box)


def _device(wanted: str) -> str:
    import torch

    if wanted != "auto":
        return wanted
    return "cuda" if torch.cuda.is_available() else "cpu"
