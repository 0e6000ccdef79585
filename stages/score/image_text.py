"""The image-text model: any model that open_clip loads, by name or from a folder."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from schemas.config import Auto
from stages.models.device import Device
from stages.models.loading import never_run_model_code
from stages.score.model_config import check_hub_config, folder_config
from stages.score.weights import HUB, LOCAL
from stages.timing import Timings

if TYPE_CHECKING:
    from concurrent.futures import Future

    import torch
    from PIL import Image

Embeddings = npt.NDArray[np.float32]
"""Shape (n, dimensions), rows of unit length."""

Precision = Literal["fp32", "bf16"]

ON_CPU, ON_GPU = 8, 256
"""Default frames per forward pass: a CPU's caches hold the layers of a few pictures (docs/speed.md has the times of
other sizes); a GPU needs many."""

TEXTS_PER_FRAME = 4
"""Texts per frame in a batch: texts are smaller (docs/speed.md has the times)."""

BAR_LEVEL = 32
"""Brightness, 0 to 255, up to which a border is a black bar (MERLOT Reserve's video_utils)."""

MIN_PICTURE = 0.25
"""Least share of a frame that remains when bars are cut: an upright video in a wide frame fills a third (our choice;
MERLOT Reserve cuts at most a fifth)."""

FINER = 2
"""A large JPEG is decoded at a fraction of its size that is still at least this many times the model's input size, for
cutting bars and for resizing with the usual filter (our choice)."""

BATCHES_AHEAD = 2
"""Batches of pictures that are decoded ahead of the model (our choice)."""


@dataclass(frozen=True)
class ModelSpec:
    """A model and its settings.

    Attributes:
        name: open_clip's name of an architecture, or ``local-dir:`` with a folder.
        pretrained: open_clip's tag of the weights, or a file; empty for a folder, which holds its own.
        device: ``cpu`` or ``cuda``.
        precision: Precision of the matrix products.
        threads: CPU threads of the model; fixed, so that sums are the same wherever the stage runs. The same number
            of further threads decodes pictures.
        batch: Frames per forward pass; ``auto`` is `ON_CPU` or `ON_GPU`.
    """

    name: str
    pretrained: str
    device: Device
    precision: Precision
    threads: int
    batch: int | Auto


class ImageTextModel:
    """A loaded model that turns JPEGs and texts into embeddings of one space.

    Args:
        spec: The model and its settings.
        timings: Collects the seconds of the model, and of waiting for decoded pictures.

    Attributes:
        batch: Frames per forward pass; for texts `TEXTS_PER_FRAME` times as many.
    """

    def __init__(self, spec: ModelSpec, timings: Timings) -> None:
        import open_clip
        import torch

        never_run_model_code()
        if spec.name.startswith(LOCAL):
            folder_config(Path(spec.name.removeprefix(LOCAL)))
        elif spec.name.startswith(HUB):
            check_hub_config(spec.name.removeprefix(HUB))
        torch.set_num_threads(spec.threads)
        self._threads = spec.threads
        self._device = torch.device(spec.device)
        by_device = ON_GPU if self._device.type == "cuda" else ON_CPU
        self.batch = by_device if spec.batch == "auto" else spec.batch
        self._bf16 = spec.precision == "bf16"
        model, _, preprocess = open_clip.create_model_and_transforms(
            spec.name,
            pretrained=spec.pretrained or None,
            device=self._device,
            weights_only=True,
            require_pretrained=True,
        )
        # Convolutions are several times faster on channels-last memory on CPUs and tensor cores.
        self._model = model.eval().to(memory_format=torch.channels_last)
        *self._geometry, _, normalize = preprocess.transforms  # the last two make floats: faster on batches
        mean, deviation = (torch.tensor(values, device=self._device) for values in (normalize.mean, normalize.std))
        self._scale = (1 / (255 * deviation)).view(1, 3, 1, 1)
        self._offset = (-mean / deviation).view(1, 3, 1, 1)
        size = self._model.visual.image_size
        self._draft = FINER * max(size if isinstance(size, tuple) else (size,))
        self._tokenizer: Any = open_clip.get_tokenizer(spec.name)
        self._timings = timings
        self._turn = Lock()  # a worker may process two parts at once; the model takes one at a time
        self._tokenizing = Lock()  # Hugging Face's tokenizers are not thread-safe

    def encode(self, jpegs: Sequence[bytes], texts: Sequence[str]) -> tuple[Embeddings, Embeddings]:
        """Embeddings of JPEGs and of texts, shapes (n, dimensions). Pictures are decoded while the model works."""
        with ThreadPoolExecutor(self._threads) as pool:
            pictures = self._decoded(jpegs, pool)
            of_texts = self.encode_texts(texts)
            return self._unit([self._forward(self._encode_pixels, pixels) for pixels in pictures]), of_texts

    def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        """Embeddings of texts, shape (n, dimensions).

        A text over the model's context length is split at words; its embedding is the normalized mean of its pieces'.
        """
        if not texts:
            return np.zeros((0, 0), dtype=np.float32)
        with self._tokenizing:
            pieces = [(number, piece) for number, text in enumerate(texts) for piece in self._pieces(text)]
        owner = np.array([number for number, _ in pieces])
        batches = []
        together = TEXTS_PER_FRAME * self.batch
        for start in range(0, len(pieces), together):
            with self._tokenizing:
                tokens = self._tokenizer([piece for _, piece in pieces[start : start + together]])
            batches.append(self._forward(self._model.encode_text, tokens))
        embeddings = self._unit(batches)
        sums = np.zeros((len(texts), embeddings.shape[1]), dtype=np.float32)
        np.add.at(sums, owner, embeddings)
        return np.asarray(sums / np.linalg.norm(sums, axis=1, keepdims=True), dtype=np.float32)

    def _decoded(self, jpegs: Sequence[bytes], pool: ThreadPoolExecutor) -> Iterator[torch.Tensor]:
        """The pixels of JPEGs by batch; uint8, shape (n, 3, height, width), channels last. Decoding starts at once."""
        import torch

        def ready(pictures: list[Future[npt.NDArray[np.uint8]]]) -> torch.Tensor:
            with self._timings.on("decode"):
                pixels = torch.from_numpy(np.stack([picture.result() for picture in pictures]))
            return (pixels.pin_memory() if self._device.type == "cuda" else pixels).permute(0, 3, 1, 2)

        batches = (jpegs[start : start + self.batch] for start in range(0, len(jpegs), self.batch))
        begun = ([pool.submit(self._pixels, jpeg) for jpeg in batch] for batch in batches)
        ahead = deque(islice(begun, BATCHES_AHEAD))

        def in_turn() -> Iterator[torch.Tensor]:
            while ahead:
                ahead.extend(islice(begun, 1))
                yield ready(ahead.popleft())

        return in_turn()

    def _pixels(self, jpeg: bytes) -> npt.NDArray[np.uint8]:
        """A JPEG, resized and cropped by the model's preprocessing, shape (height, width, 3)."""
        from PIL import Image

        try:
            with Image.open(io.BytesIO(jpeg)) as image:
                image.draft("RGB", (self._draft, self._draft))
                picture: Any = without_bars(image.convert("RGB"))
        except OSError as reason:  # the bytes are in memory, so the picture is at fault, not the disk
            raise ValueError(f"a frame cannot be decoded: {reason}") from reason
        for transform in self._geometry:
            picture = transform(picture)
        return np.asarray(picture)

    def _encode_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        embeddings: torch.Tensor = self._model.encode_image(pixels.float().mul_(self._scale).add_(self._offset))
        return embeddings

    def _forward(self, encode: Any, batch: torch.Tensor) -> torch.Tensor:
        import torch

        with (
            self._turn,
            self._timings.on("model"),
            torch.inference_mode(),
            torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16),
        ):
            output: torch.Tensor = encode(batch.to(self._device, non_blocking=True))
        return output

    def _unit(self, outputs: Sequence[torch.Tensor]) -> Embeddings:
        """The rows of several outputs at unit length. This is the only point that waits for a GPU."""
        import torch

        with self._timings.on("model"):
            array = torch.cat(list(outputs)).float().cpu().numpy()
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
    """Cut the black bars off a letterboxed frame; a picture that is dark everywhere is kept whole."""
    box = picture.convert("L").point([255 * (level > BAR_LEVEL) for level in range(256)]).getbbox()
    if box is None or (box[2] - box[0]) * (box[3] - box[1]) < MIN_PICTURE * picture.width * picture.height:
        return picture
    return picture.crop(box)
