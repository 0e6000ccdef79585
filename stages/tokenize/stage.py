"""tokenize: discrete visual tokens of the frames of documents."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, field_validator

from schemas.config import OPERATIONAL, Auto, StageConfig
from schemas.row import Row
from schemas.rows import CodesRow, DocumentFrame, DocumentsRow, FrameCodes, FramesRow
from stages.base import Context, Input, Stage, StageSetupError, Video
from stages.models.device import Device, no_device, resolved_torch_device
from stages.models.names import nearest
from stages.models.revision import library_versions
from stages.tokenize.fitted import FITTED, fitted_revision
from stages.tokenize.sizes import resized
from stages.tokenize.tokenizer import MAX_SIDE, RAW_PATCHES, Codes, ImageTokenizer, load_tokenizer
from storyloom.format.codes import MOST_SIDE, codes_bytes

TOGETHER = 256
"""Frames that are decoded and encoded together, of short videos several (our choice)."""

LIBRARIES = ("numpy", "pillow")
"""Packages whose versions may change the codes of a fitted codebook: Pillow decodes and resizes."""

OF_MODELS = (*LIBRARIES, "torch", "transformers")
"""Those of a model of transformers."""


class TokenizeConfig(StageConfig):
    """Settings of the visual tokens.

    Attributes:
        enabled: Whether the shards hold discrete codes of each image, too.
        model: ``fitted-16``, ``fitted-8`` or ``fitted-4``, a small codebook of ours over squares of so many pixels; or
            a folder or a repository of the Hugging Face hub with an `Emu3VQVAE`, `ChameleonVQVAE` or `JanusVQVAE` of
            transformers, alone or in its whole model (the extra `transformers`).
        device: ``auto``, ``cpu`` or ``cuda``, of a model; bf16 on a GPU that has it, fp32 elsewhere.
        threads: CPU threads of a model; part of the fingerprint, since sums depend on it in the last digits.
        batch: Frames of one size per forward pass of a model; ``auto`` is 1 on a CPU, so that no frame's codes depend
            on another's, 16 on a GPU (our choice).
        max_side: Most pixels of a frame's longer side as it is encoded (our choice: with 16 pixels to a code 144 codes
            for a frame of 16:9). Frames are not enlarged.
    """

    enabled: bool = False
    model: Annotated[str, Field(min_length=1)] = "fitted-16"
    device: Annotated[Literal["auto", "cpu", "cuda"], OPERATIONAL] = "auto"
    threads: Annotated[int, Field(ge=1, le=1024)] = 2
    batch: Auto | Annotated[int, Field(ge=1, le=65_536)] = "auto"
    max_side: Annotated[int, Field(ge=16, le=MOST_SIDE * 4)] = MAX_SIDE

    @field_validator("model")
    @classmethod
    def _is_discrete(cls, model: str) -> str:
        if model.lower() in RAW_PATCHES:
            raise ValueError(
                f"{model!r}: raw patches, as Fuyu and EVE read them, have no codes to store: a trainer cuts them out of"
                " the images in the shards; leave tokenize.enabled false, or name a codebook such as fitted-16"
            )
        if model not in FITTED and "/" not in model and (hint := nearest(model, FITTED)):
            raise ValueError(f"there is no codebook {model!r}{hint}")
        return model

    @property
    def uses_gpu(self) -> bool:
        return self.device != "cpu" and self.model not in FITTED

    @property
    def packages(self) -> tuple[str, ...]:
        return () if self.model in FITTED else ("torch", "transformers")

    @property
    def for_trying(self) -> tuple[str, ...]:
        return ("model",) if self.model in FITTED else ()


def _device(config: TokenizeConfig) -> Device:
    return "cpu" if config.model in FITTED else resolved_torch_device(config.device)


class Tokenize(Stage[TokenizeConfig, CodesRow]):
    """Encodes each frame of the documents once, several videos' frames together."""

    name = "tokenize"
    version = 1
    reads = (Input("filter"), Input("sample"))
    row = CodesRow
    Config = TokenizeConfig

    def __init__(self, config: TokenizeConfig, context: Context) -> None:
        super().__init__(config, context)
        self._tokenizer: ImageTokenizer | None = None

    def revision(self) -> str:
        if self.config.model in FITTED:
            return f"{fitted_revision(self.config.model)}; {library_versions(*LIBRARIES)}"
        from stages.tokenize.vq_models import precision, vq_revision

        device = _device(self.config)
        return f"{vq_revision(self.config.model)}; {device}/{precision(device)}; {library_versions(*OF_MODELS)}"

    def missing(self, urls: Collection[str]) -> list[str]:
        del urls
        return [] if self.config.model in FITTED else no_device("tokenize.device", self.config.device, torch=True)

    def setup(self) -> None:
        config = self.config
        self._tokenizer = load_tokenizer(
            config.model, _device(config), max_side=config.max_side, batch=config.batch, threads=config.threads
        )
        if config.max_side // self._tokenizer.patch > MOST_SIDE:
            raise StageSetupError(f"tokenize.max_side {config.max_side} makes over {MOST_SIDE} rows: lower it")

    def process(self, videos: Iterable[Video]) -> Iterator[Row]:
        """Encode the frames of several short videos together, so that batches are full."""
        for group in _groups(videos):
            codes = self._codes(group)
            for video in group:
                yield self.guarded(video, partial(_row, codes))

    def one(self, video: Video) -> CodesRow:
        return _row(self._codes([video]), video)

    def _codes(self, videos: Sequence[Video]) -> dict[tuple[str, int], Codes]:
        """The codes of the frames of the videos' documents, by video and frame."""
        assert self._tokenizer is not None, "setup() comes first"
        wanted = [(video.key, frame.frame) for video in videos for frame in _kept(video)]
        jpegs = (video[FramesRow].jpegs[frame.frame] for video in videos for frame in _kept(video))
        found: list[Codes] = []
        while some := list(islice(jpegs, TOGETHER)):
            with self.timings.on("decode"):
                pictures = [self._picture(jpeg) for jpeg in some]
            with self.timings.on("model"):
                found += self._tokenizer.encode(pictures)
        return dict(zip(wanted, found, strict=True))

    def _picture(self, jpeg: bytes) -> NDArray[np.uint8]:
        """A decoded frame in the size in which it is encoded: many large ones would fill the memory."""
        assert self._tokenizer is not None, "setup() comes first"
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as image:
            size = self._tokenizer.size(image.width, image.height)
            return resized(np.asarray(image.convert("RGB")), size)


def _kept(video: Video) -> list[DocumentFrame]:
    """The frames of a video's documents, each once, in the order of the video's frames."""
    kept = {frame.frame: frame for document in video[DocumentsRow].documents for frame in document.frames}
    return [kept[number] for number in sorted(kept)]


def _groups(videos: Iterable[Video]) -> Iterator[list[Video]]:
    """Group videos in their order until a group has at least `TOGETHER` frames."""
    group: list[Video] = []
    waiting = 0
    for video in videos:
        group.append(video)
        waiting += len(_kept(video))
        if waiting >= TOGETHER:
            yield group
            group, waiting = [], 0
    if group:
        yield group


def _row(codes: Mapping[tuple[str, int], Codes], video: Video) -> CodesRow:
    documents, frames = video[DocumentsRow].documents, _kept(video)
    of_frames = [codes[video.key, frame.frame] for frame in frames]
    return CodesRow(
        video=video.key,
        warnings=video[DocumentsRow].warnings,
        documents=len(documents),
        sentences=sum(len(document.texts) for document in documents),
        frames=[
            FrameCodes(frame=frame.frame, time=frame.time, rows=one.shape[0], columns=one.shape[1])
            for frame, one in zip(frames, of_frames, strict=True)
        ],
        npy=[codes_bytes(one) for one in of_frames],
    )
