"""What alignment survives: whether frames still match their own sentences better than others'."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline.bench.tokenizers.frames import Frame, Picture
from pipeline.bench.tokenizers.sparse import covered
from stages.score.image_text import ImageTextModel

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SHUFFLED = 4
"""Sentences of other frames that each frame is compared with, at most (our choice)."""

RESAMPLES = 2000
"""Bootstrap samples behind an interval (our choice)."""

PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True)
class Survival:
    """The image-text AUC of pictures, with 95 % intervals.

    Attributes:
        auc: Chance that a frame and its own sentence score above a frame and another one's; ties count half.
        low: End of its interval.
        high: End of its interval.
        change: Its difference from that of the pictures before tokenizing.
        change_low: End of the difference's interval.
        change_high: End of the difference's interval.
    """

    auc: float
    low: float
    high: float
    change: float
    change_low: float
    change_high: float


class Pairs:
    """Frames with their own sentence and with others', and their scores.

    Intervals are of a bootstrap over frames: a frame is drawn with all of its pairs, and the draws are the same for all
    pictures, so that differences from the originals are compared frame by frame.

    Args:
        frames: Those with a sentence, at least two different ones.
        model: The image-text model.
        seed: Of the choice of other sentences and of the draws.

    Attributes:
        texts: The number of a text, by frame and pair: its own first, then the others'; (frames, 1 + shuffled).
    """

    def __init__(self, frames: Sequence[Frame], model: ImageTextModel, seed: int = 0) -> None:
        self.frames = list(frames)
        self._model = model
        known = sorted({frame.sentence for frame in frames})
        own = np.array([known.index(frame.sentence) for frame in frames])
        rng = np.random.default_rng(seed)
        shuffled = min(SHUFFLED, len(known) - 1)
        others = [_others(text, len(known), shuffled, rng) for text in own]
        self.texts: IntArray = np.column_stack([own, np.stack(others)])
        self._sentences = model.encode_texts(known)
        self._draws = rng.multinomial(len(own), np.full(len(own), 1 / len(own)), RESAMPLES).astype(np.float64)
        self._originals = self._sampled(self.embeddings([frame.picture for frame in frames]))

    @cached_property
    def needs(self) -> tuple[FloatArray, FloatArray]:
        """Similarities of the frames with all texts, (frames, texts), and of each picture of `covered`.

        The latter has the shape (frames, cells, texts).
        """
        pictures = [frame.picture for frame in self.frames]
        return self.similarities(pictures), np.stack([self.similarities(covered(picture)) for picture in pictures])

    @property
    def each(self) -> list[tuple[int, int]]:
        """Frame and text of every pair, frame by frame, its own text first."""
        return [(frame, int(text)) for frame, texts in enumerate(self.texts) for text in texts]

    def embeddings(self, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        """Embeddings of pictures, (n, dimensions)."""
        return self._model.encode([_bmp(picture) for picture in pictures], [])[0]

    def similarities(self, pictures: Sequence[Picture]) -> FloatArray:
        """Similarity of each picture with each text, (n, texts)."""
        return (self.embeddings(pictures) @ self._sentences.T).astype(np.float64)

    def survival(self, pictures: Sequence[Picture]) -> Survival:
        """What is left of the alignment in other pictures of the same frames, one each."""
        return self._compared(self._sampled(self.embeddings(pictures)))

    def survival_of_pairs(self, pictures: Sequence[Picture]) -> Survival:
        """The same where every pair has a picture of its own, in the order of `each`."""
        owned = self.embeddings(pictures)
        scores = np.einsum("nd,nd->n", owned, self._sentences[self.texts.ravel()])
        return self._compared(self._auc(scores.reshape(self.texts.shape).astype(np.float64)))

    def _sampled(self, embeddings: NDArray[np.float32]) -> FloatArray:
        scores = embeddings @ self._sentences.T
        return self._auc(np.take_along_axis(scores, self.texts, axis=1).astype(np.float64))

    def _auc(self, scores: FloatArray) -> FloatArray:
        """The AUC of all frames, then of each draw of them."""
        matched, others = scores[:, 0], scores[:, 1:]
        above = (matched[:, None, None] > others).mean(2) + (matched[:, None, None] == others).mean(2) / 2
        drawn = np.einsum("dn,nm,dm->d", self._draws, above, self._draws, optimize=True) / len(scores) ** 2
        return np.concatenate([[above.mean()], drawn])

    def _compared(self, found: FloatArray) -> Survival:
        change = found - self._originals
        low, high = np.percentile(found[1:], PERCENTILES)
        change_low, change_high = np.percentile(change[1:], PERCENTILES)
        return Survival(*(float(one) for one in (found[0], low, high, change[0], change_low, change_high)))


def _others(own: int, known: int, count: int, rng: np.random.Generator) -> IntArray:
    """Numbers of other texts than its own, each once."""
    drawn = rng.choice(known - 1, count, replace=False)
    return np.asarray(drawn + (drawn >= own), dtype=np.int64)


def _bmp(picture: Picture) -> bytes:
    """A picture as the model takes it, without a loss and without the time that compression takes."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "BMP")
    return file.getvalue()
