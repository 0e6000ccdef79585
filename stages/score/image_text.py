"""Frames and texts as embeddings of one space, by whichever library: decoding, black bars, batches, long texts."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stages.models.demo import DEMO, photo_sentence_folder
from stages.score.towers import Embeddings, ModelSpec, Towers
from stages.timing import Timings

if TYPE_CHECKING:
    from concurrent.futures import Future

    from PIL import Image

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


class ImageTextModel:
    """A loaded model that turns JPEGs and texts into embeddings of one space.

    Args:
        spec: The model and its settings.
        timings: Collects the seconds of the model, and of waiting for decoded pictures.

    Attributes:
        batch: Frames per forward pass; for texts `TEXTS_PER_FRAME` times as many.
    """

    def __init__(self, spec: ModelSpec, timings: Timings) -> None:
        self._towers = load_towers(spec)
        self._threads = spec.threads
        by_device = ON_GPU if spec.device == "cuda" else ON_CPU
        self.batch = by_device if spec.batch == "auto" else spec.batch
        self._draft = FINER * self._towers.size
        self._timings = timings
        self._turn = Lock()  # a worker may process two parts at once; the model takes one at a time
        self._tokenizing = Lock()  # Hugging Face's tokenizers are not thread-safe

    def encode(self, jpegs: Sequence[bytes], texts: Sequence[str]) -> tuple[Embeddings, Embeddings]:
        """Embeddings of JPEGs and of texts, of unit length. Pictures are decoded while the model works."""
        with ThreadPoolExecutor(self._threads) as pool:
            pictures = self._decoded(jpegs, pool)
            of_texts = self.encode_texts(texts)
            return self._unit([self._forward(self._towers.encode_pictures, batch) for batch in pictures]), of_texts

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
                tokens = self._towers.tokens([piece for _, piece in pieces[start : start + together]])
            batches.append(self._forward(self._towers.encode_texts, tokens))
        embeddings = self._unit(batches)
        sums = np.zeros((len(texts), embeddings.shape[1]), dtype=np.float32)
        np.add.at(sums, owner, embeddings)
        return np.asarray(sums / np.linalg.norm(sums, axis=1, keepdims=True), dtype=np.float32)

    def _decoded(self, jpegs: Sequence[bytes], pool: ThreadPoolExecutor) -> Iterator[Any]:
        """JPEGs by batch, as the model takes them. Decoding starts at once."""

        def ready(pictures: list[Future[npt.NDArray[np.uint8]]]) -> Any:
            with self._timings.on("decode"):
                return self._towers.pictures(np.stack([picture.result() for picture in pictures]))

        batches = (jpegs[start : start + self.batch] for start in range(0, len(jpegs), self.batch))
        begun = ([pool.submit(self._pixels, jpeg) for jpeg in batch] for batch in batches)
        ahead = deque(islice(begun, BATCHES_AHEAD))

        def in_turn() -> Iterator[Any]:
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
                picture = without_bars(image.convert("RGB"))
        except OSError as reason:  # the bytes are in memory, so the picture is at fault, not the disk
            raise ValueError(f"a frame cannot be decoded: {reason}") from reason
        return np.asarray(self._towers.fitted(picture))

    def _forward(self, encode: Callable[[Any], Any], batch: Any) -> Any:
        with self._turn, self._timings.on("model"):
            return encode(batch)

    def _unit(self, outputs: Sequence[Any]) -> Embeddings:
        """The rows of several outputs at unit length. This is the only point that waits for a GPU."""
        with self._timings.on("model"):
            array = self._towers.embeddings(outputs)
        return np.asarray(array / np.linalg.norm(array, axis=1, keepdims=True), dtype=np.float32)

    def _pieces(self, text: str) -> list[str]:
        """Split a text in halves until each fits the context; between words where it has any."""
        if self._towers.length(text) <= self._towers.context_length or len(text) == 1:
            return [text]
        words = text.split()
        if len(words) > 1:
            half = len(words) // 2
            return [*self._pieces(" ".join(words[:half])), *self._pieces(" ".join(words[half:]))]
        half = len(text) // 2
        return [*self._pieces(text[:half]), *self._pieces(text[half:])]


def load_towers(spec: ModelSpec) -> Towers:
    """The model, loaded by the library that runs it; only that one is imported."""
    if spec.name == DEMO:
        from stages.score.onnx_towers import OnnxTowers

        return OnnxTowers(photo_sentence_folder(), spec.threads)
    from stages.score.open_clip_towers import OpenClipTowers

    return OpenClipTowers(spec)


def without_bars(picture: Image.Image) -> Image.Image:
    """Cut the black bars off a letterboxed frame; a picture that is dark everywhere is kept whole."""
    box = picture.convert("L").point([255 * (level > BAR_LEVEL) for level in range(256)]).getbbox()
    if box is None or (box[2] - box[0]) * (box[3] - box[1]) < MIN_PICTURE * picture.width * picture.height:
        return picture
    return picture.crop(box)
