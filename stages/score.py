"""score: similarity of the candidate pairs, and of unrelated pairs as the null distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from schemas.config import OPERATIONAL, StageConfig
from schemas.rows import AlignedRow, FramesRow, Pair, ScoresRow
from stages.base import Context, Input, Stage, StageSetupError, Video
from stages.demo_models import DEMO, DemoModelMissing, photo_sentence_folder, photo_sentence_revision
from stages.image_text import Embeddings, ImageTextModel, ModelSpec, Precision
from stages.revision import content_revision

REACH = 3
"""Sentences on either side of a boundary that say what the talk is about there (our choice)."""


class ScoreConfig(StageConfig):
    """The image-text model.

    Attributes:
        model: open_clip's name, e.g. ``ViT-B-32``; ``local-dir:`` with a folder; or ``demo``, the small model of the
            `demo` extra.
        pretrained: open_clip's tag of the weights, e.g. ``laion2b_s34b_b79k``, or a file.
        precision: ``auto`` is bf16 on a GPU that has it, fp32 elsewhere; name one when your workers differ.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads of the model; part of the output, since sums depend on it in the last digits.
        batch: Frames or texts per forward pass.
    """

    model: str = DEMO
    pretrained: str = ""
    precision: Precision = "auto"
    device: Annotated[Literal["auto", "cpu", "cuda"], OPERATIONAL] = "auto"
    threads: Annotated[int, Field(ge=1)] = 2
    batch: Annotated[int, Field(ge=1)] = 32

    @property
    def uses_gpu(self) -> bool:
        return self.device != "cpu"


class Score(Stage[ScoreConfig, ScoresRow]):
    """Encodes a video's frames and sentences once, and compares them where `align` says so."""

    name = "score"
    version = 1
    reads = (Input("align"), Input("sample"))
    row = ScoresRow
    Config = ScoreConfig

    def __init__(self, config: ScoreConfig, context: Context) -> None:
        super().__init__(config, context)
        self._model: ImageTextModel | None = None

    def revision(self) -> str:
        name, pretrained = self.config.model, self.config.pretrained
        if name == DEMO:
            return photo_sentence_revision()
        if name.startswith("local-dir:"):
            return content_revision(name.removeprefix("local-dir:"))
        return f"{name}/{content_revision(pretrained)}"

    def setup(self) -> None:
        config = self.config
        try:
            name = f"local-dir:{photo_sentence_folder()}" if config.model == DEMO else config.model
            self._model = ImageTextModel(
                ModelSpec(name, config.pretrained, config.device, config.precision, config.threads, config.batch)
            )
        except (DemoModelMissing, OSError, RuntimeError, ValueError) as reason:
            said = str(reason).partition(" Available:")[0]  # open_clip goes on with the names of all its models
            raise StageSetupError(f"score.model {config.model!r} cannot be loaded: {said}") from reason

    def one(self, video: Video) -> ScoresRow:
        assert self._model is not None, "setup() comes first"
        aligned = video[AlignedRow]
        row = ScoresRow(video=video.key, model=self.config.model, revision=self.revision(), warnings=aligned.warnings)
        if not video[FramesRow].jpegs or not aligned.sentences:
            return row
        frames = self._model.encode_jpegs(video[FramesRow].jpegs)
        texts, text_of_sentence = np.unique([sentence.text for sentence in aligned.sentences], return_inverse=True)
        sentences = self._model.encode_texts(texts.tolist())[text_of_sentence]
        return row.model_copy(
            update={
                "similarity": _similarity(frames, sentences, aligned.pairs),
                "null_similarity": _similarity(frames, sentences, aligned.null_pairs)
                + self._foreign_similarity(frames, aligned),
                "continuity": continuity(sentences),
            }
        )

    def _foreign_similarity(self, frames: Embeddings, aligned: AlignedRow) -> list[float]:
        assert self._model is not None
        if not aligned.null_text_pairs:
            return []
        return _similarity(frames, self._model.encode_texts(aligned.null_texts), aligned.null_text_pairs)


def continuity(sentences: Embeddings) -> list[float]:
    """Cosine similarity of the text before and after each boundary between sentences, up to `REACH` on either side."""
    sums = np.concatenate([np.zeros((1, sentences.shape[1])), np.cumsum(sentences, axis=0, dtype=np.float64)])
    boundary = np.arange(1, len(sentences))
    before = sums[boundary] - sums[np.maximum(0, boundary - REACH)]
    after = sums[np.minimum(len(sentences), boundary + REACH)] - sums[boundary]
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    cosine: list[float] = np.clip(np.einsum("nd,nd->n", before, after) / lengths, -1.0, 1.0).round(4).tolist()
    return cosine


def _similarity(frames: Embeddings, sentences: Embeddings, pairs: Sequence[Pair]) -> list[float]:
    """Cosine similarity of each pair, rounded to 4 decimals; never the whole frames-by-sentences matrix."""
    index = np.array([(pair.frame, pair.sentence) for pair in pairs], dtype=np.int64).reshape(-1, 2)
    cosine = np.einsum("nd,nd->n", frames[index[:, 0]], sentences[index[:, 1]])
    rounded: list[float] = np.clip(cosine.astype(np.float64), -1.0, 1.0).round(4).tolist()
    return rounded
