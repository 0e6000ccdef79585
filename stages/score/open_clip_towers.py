"""Image-text models by open_clip: any that it loads, by name or from a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.models.loading import never_run_model_code
from stages.score.model_config import check_hub_config, folder_config
from stages.score.towers import Embeddings, ModelSpec, Pixels
from stages.score.weights import HUB, LOCAL

if TYPE_CHECKING:
    import torch
    from PIL import Image


class OpenClipTowers:
    """See `Towers`."""

    def __init__(self, spec: ModelSpec) -> None:
        import open_clip
        import torch

        never_run_model_code()
        if spec.name.startswith(LOCAL):
            folder_config(Path(spec.name.removeprefix(LOCAL)))
        elif spec.name.startswith(HUB):
            check_hub_config(spec.name.removeprefix(HUB))
        torch.set_num_threads(spec.threads)
        self._device = torch.device(spec.device)
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
        self.size = max(size if isinstance(size, tuple) else (size,))
        self._tokenizer: Any = open_clip.get_tokenizer(spec.name)
        self.context_length: int = self._tokenizer.context_length

    def fitted(self, picture: Image.Image) -> Image.Image:
        for transform in self._geometry:
            picture = transform(picture)
        return picture

    def length(self, text: str) -> int:
        hugging_face = getattr(self._tokenizer, "tokenizer", None)
        if hugging_face is not None:
            return len(hugging_face(text, truncation=False, verbose=False)["input_ids"])
        return len(self._tokenizer.encode(text)) + 2

    def tokens(self, texts: Sequence[str]) -> torch.Tensor:
        tokens: torch.Tensor = self._tokenizer(list(texts))
        return tokens

    def pictures(self, pixels: Pixels) -> torch.Tensor:
        import torch

        tensor = torch.from_numpy(pixels)
        return (tensor.pin_memory() if self._device.type == "cuda" else tensor).permute(0, 3, 1, 2)

    def encode_texts(self, tokens: torch.Tensor) -> torch.Tensor:
        return self._forward(self._model.encode_text, tokens)

    def encode_pictures(self, pictures: torch.Tensor) -> torch.Tensor:
        return self._forward(self._encode_pixels, pictures)

    def _encode_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        embeddings: torch.Tensor = self._model.encode_image(pixels.float().mul_(self._scale).add_(self._offset))
        return embeddings

    def _forward(self, encode: Callable[[torch.Tensor], torch.Tensor], batch: torch.Tensor) -> torch.Tensor:
        import torch

        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            return encode(batch.to(self._device, non_blocking=True))

    def embeddings(self, outputs: Sequence[torch.Tensor]) -> Embeddings:
        import torch

        return np.asarray(torch.cat(list(outputs)).float().cpu().numpy(), dtype=np.float32)
