"""score: similarity of the candidate pairs, and of unrelated pairs as the null distribution."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator, model_validator

from schemas.config import OPERATIONAL, Auto, StageConfig
from schemas.row import Row
from schemas.rows import WORD_COLUMNS, AlignedRow, FramesRow, Pair, ScoresRow
from stages.base import Context, Input, Stage, StageSetupError, Video
from stages.models.demo import DEMO
from stages.models.device import Device, no_device, resolved_torch_device
from stages.models.loading import loading
from stages.models.names import nearest
from stages.score.image_text import ImageTextModel
from stages.score.towers import Embeddings, ModelSpec, Precision
from stages.score.weights import libraries, no_weights, weights_revision
from stages.timing import Timings

REACH = 3
"""Sentences on either side of a boundary that represent its topic (our choice)."""

BATCHES_TOGETHER = 4
"""Batches that frames of short videos fill together before they are encoded (our choice)."""


@dataclass(frozen=True)
class Embedded:
    """Embeddings of some videos: frames by video key, and every text so far."""

    frames: dict[str, Embeddings]
    texts: dict[str, npt.NDArray[np.float32]]

    def of(self, texts: Iterable[str]) -> Embeddings:
        """The embeddings of texts, shape (n, dimensions)."""
        return np.stack([self.texts[text] for text in texts])


class ScoreConfig(StageConfig):
    """Settings of the image-text model.

    Attributes:
        model: open_clip's name, e.g. ``ViT-B-32``, or ``local-dir:`` with a folder (the extra `open-clip`); or
            ``demo``, the small model of the extra `demo`, which ONNX Runtime runs on the CPU in fp32.
        pretrained: open_clip's tag of the weights, e.g. ``laion2b_s34b_b79k``, or a file.
        precision: ``auto`` is bf16 on a GPU that supports it, fp32 elsewhere; set one when your workers differ.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads of the model; part of the fingerprint, since sums depend on it in the last digits.
        batch: Frames per forward pass; ``auto`` is 8 on a CPU, 256 on a GPU. For texts, four times as many.
    """

    model: str = DEMO
    pretrained: str = ""
    precision: Auto | Precision = "auto"
    device: Annotated[Literal["auto", "cpu", "cuda"], OPERATIONAL] = "auto"
    threads: Annotated[int, Field(ge=1, le=1024)] = 2
    batch: Auto | Annotated[int, Field(ge=1, le=65_536)] = "auto"

    @field_validator("model")
    @classmethod
    def _demo_is_spelt_right(cls, model: str) -> str:
        if model != DEMO and (hint := nearest(model, [DEMO])):
            raise ValueError(f"there is no model {model!r}{hint}")
        return model

    @model_validator(mode="after")
    def _demo_runs_on_the_cpu(self) -> Self:
        if self.model == DEMO and (self.device == "cuda" or self.precision == "bf16"):
            raise ValueError("model 'demo' runs on the CPU in fp32: leave device and precision, or name another model")
        return self

    @property
    def uses_gpu(self) -> bool:
        return self.device != "cpu" and self.model != DEMO

    @property
    def packages(self) -> tuple[str, ...]:
        return () if self.model == DEMO else ("open_clip", "torch")

    @property
    def for_trying(self) -> tuple[str, ...]:
        return ("model",) if self.model == DEMO else ()


def image_text_revision(config: ScoreConfig) -> str:
    """The weights, device, precision and libraries of the image-text model: nothing is loaded.

    Raises:
        StageSetupError: The model is unknown.
    """
    weights = weights_revision(config.model, config.pretrained)
    return f"{weights}; {_device(config)}/{_precision(config)}; {libraries(config.model)}"


def image_text_model(config: ScoreConfig, timings: Timings) -> tuple[ImageTextModel, str]:
    """The image-text model, loaded, and the revision of its weights.

    Raises:
        StageSetupError: It cannot be loaded, or changed meanwhile.
    """
    weights = weights_revision(config.model, config.pretrained)
    with loading(f"score.model {config.model!r}"):
        spec = ModelSpec(
            config.model, config.pretrained, _device(config), _precision(config), config.threads, config.batch
        )
        model = ImageTextModel(spec, timings)
    if weights_revision(config.model, config.pretrained) != weights:
        raise StageSetupError(f"score.model {config.model!r} changed on the hub while it was loaded; run again")
    return model, weights


def _device(config: ScoreConfig) -> Device:
    return "cpu" if config.model == DEMO else resolved_torch_device(config.device)


def _precision(config: ScoreConfig) -> Precision:
    if config.precision != "auto":
        return config.precision
    if _device(config) == "cpu":
        return "fp32"
    import torch

    return "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "fp32"


class Score(Stage[ScoreConfig, ScoresRow]):
    """Encodes each frame and each text of a part once, and compares the pairs of `align`."""

    name = "score"
    version = 2
    reads = (Input("align", without=WORD_COLUMNS), Input("sample"))
    row = ScoresRow
    Config = ScoreConfig

    def __init__(self, config: ScoreConfig, context: Context) -> None:
        super().__init__(config, context)
        self._model: ImageTextModel | None = None
        self._weights = ""

    def revision(self) -> str:
        return image_text_revision(self.config)

    def missing(self, urls: Collection[str]) -> list[str]:
        del urls
        return no_device("score.device", self.config.device, torch=True) + no_weights(self.config.model)

    def setup(self) -> None:
        self._model, self._weights = image_text_model(self.config, self.timings)

    def process(self, videos: Iterable[Video]) -> Iterator[Row]:
        """Encode the frames of several short videos together, so that batches are full; compare video by video."""
        assert self._model is not None, "setup() comes first"
        texts: dict[str, npt.NDArray[np.float32]] = {}
        for group in _groups(videos, BATCHES_TOGETHER * self._model.batch):
            embedded = self._embedded(group, texts)
            for video in group:
                yield self.guarded(video, partial(self._compared, embedded))

    def one(self, video: Video) -> ScoresRow:
        return self._compared(self._embedded([video], {}), video)

    def _embedded(self, videos: Sequence[Video], texts: dict[str, npt.NDArray[np.float32]]) -> Embedded:
        """The embeddings for `_compared`; new texts are added to `texts`."""
        assert self._model is not None, "setup() comes first"
        comparable = [video for video in videos if _comparable(video)]
        if not comparable:
            return Embedded({}, texts)
        jpegs = [video[FramesRow].jpegs for video in comparable]
        ends = np.cumsum([len(of_one) for of_one in jpegs])[:-1]
        asked = (sentence.text for video in comparable for sentence in video[AlignedRow].sentences)
        foreign = (text for video in comparable for text in video[AlignedRow].null_texts)
        new = sorted({*asked, *foreign} - texts.keys())
        frames, of_new = self._model.encode([jpeg for of_one in jpegs for jpeg in of_one], new)
        texts.update(zip(new, of_new, strict=True))
        return Embedded(
            {video.key: part for video, part in zip(comparable, np.split(frames, ends), strict=True)}, texts
        )

    def _compared(self, embedded: Embedded, video: Video) -> ScoresRow:
        aligned = video[AlignedRow]
        row = ScoresRow(video=video.key, model=self.config.model, revision=self._weights, warnings=aligned.warnings)
        if not _comparable(video):
            return row
        frames = embedded.frames[video.key]
        sentences = embedded.of(sentence.text for sentence in aligned.sentences)
        null_similarity = _similarity(frames, sentences, aligned.null_pairs)
        if aligned.null_text_pairs:
            null_similarity += _similarity(frames, embedded.of(aligned.null_texts), aligned.null_text_pairs)
        return row.model_copy(
            update={
                "similarity": _similarity(frames, sentences, aligned.pairs),
                "null_similarity": null_similarity,
                "continuity": continuity(sentences),
            }
        )


def _comparable(video: Video) -> bool:
    return bool(video[FramesRow].jpegs and video[AlignedRow].sentences)


def _groups(videos: Iterable[Video], frames: int) -> Iterator[list[Video]]:
    """Group videos in their order until a group has at least `frames` frames."""
    group: list[Video] = []
    waiting = 0
    for video in videos:
        group.append(video)
        waiting += len(video[FramesRow].jpegs)
        if waiting >= frames:
            yield group
            group, waiting = [], 0
    if group:
        yield group


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
