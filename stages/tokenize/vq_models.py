"""VQ models of transformers that turn pictures into codes: those of Emu3, Chameleon and Janus."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from schemas.config import Auto
from stages.base import StageSetupError
from stages.models.device import Device
from stages.models.hub import hub_commit
from stages.models.loading import loading, never_run_model_code
from stages.models.revision import content_revision
from stages.tokenize.sizes import encoded_size, resized
from storyloom.errors import UsageError
from storyloom.format.codes import MOST_CODES

CLASSES = {"emu3": "Emu3VQVAE", "chameleon": "ChameleonVQVAE", "janus": "JanusVQVAE"}
"""The class of transformers by the family that a config's `model_type` begins with."""

IN_WHOLE_MODEL = r"^(model\.)?vqmodel\."
"""How names of a VQ model's tensors begin in the checkpoint of the model that it is a part of."""

BATCH = {"cpu": 1, "cuda": 16}
"""Pictures of one size per forward pass (our choice): one on a CPU, so that no picture's codes depend on another's."""

PREPROCESSOR = "preprocessor_config.json"

PLAIN: dict[str, Any] = {"rescale_factor": 1 / 255, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
"""Colours from -1 to 1, where a folder does not say how its model takes them (our choice)."""

Precision = Literal["fp32", "bf16"]


def precision(device: Device) -> Precision:
    """bf16 on a GPU that has it, fp32 elsewhere."""
    if device == "cpu":
        return "fp32"
    import torch

    return "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "fp32"


def vq_revision(model: str) -> str:
    """The class of a model, and its weights by content or by its commit on the hub; no weights are loaded.

    Raises:
        StageSetupError: There is no such model, or it is none of `CLASSES`.
    """
    with loading(f"tokenize.model {model!r}"):
        name = _class(model, _config(model))
    known = content_revision(model) if _is_local(model) else f"{model}@{hub_commit(model)}"
    return f"{name}; {known}"


class VqTokenizer:
    """A VQ model as an `ImageTokenizer`.

    Args:
        model: A folder, or a repository of the hub; weights are read from safetensors alone.
        device: Where it runs.
        max_side: Most pixels of a picture's longer side as it is encoded.
        batch: Pictures of one size per forward pass.
        threads: CPU threads; None leaves torch's.

    Raises:
        StageSetupError: It cannot be loaded, lacks weights, or has over 65,536 codes.
    """

    def __init__(
        self, model: str, device: Device, max_side: int, batch: Auto | int = "auto", threads: int | None = None
    ) -> None:
        import torch

        if threads is not None:
            torch.set_num_threads(threads)
        self.name, self._max_side = model, max_side
        self._batch = BATCH[device] if batch == "auto" else batch
        self._turn = threading.Lock()  # a worker may process two parts at once; the model takes one batch at a time
        with loading(f"tokenize.model {model!r}"):
            config = _config(model)
            self._class = _class(model, config)
            self._network = _network(model, self._class, config).to(
                device, torch.bfloat16 if precision(device) == "bf16" else torch.float32
            )
            colours = _colours(_preprocessor(model))
            self._rescale = float(colours["rescale_factor"])
            self._mean, self._std = (
                torch.tensor(np.broadcast_to(colours[key], 3).tolist(), device=device).view(1, 3, 1, 1)
                for key in ("image_mean", "image_std")
            )
        vq = self._network.config
        self.codebook_size = int(vq.codebook_size if self._class == "Emu3VQVAE" else vq.num_embeddings)
        self.patch = 2 ** (len(vq.channel_multiplier) - 1)
        if self.codebook_size > MOST_CODES:
            raise StageSetupError(
                f"tokenize.model {model!r} has {self.codebook_size} codes, over the {MOST_CODES} that uint16 counts"
            )

    def size(self, width: int, height: int) -> tuple[int, int]:
        return encoded_size(width, height, self.patch, self._max_side)

    def encode(self, pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint16]]:
        sized = [resized(picture, self.size(picture.shape[1], picture.shape[0])) for picture in pictures]
        return self._by_shape(sized, self._encoded)

    def decode(self, codes: Sequence[NDArray[np.uint16]]) -> list[NDArray[np.uint8]]:
        """See `ImageTokenizer.decode`.

        Raises:
            UsageError: The model has no decoder, as transformers' `ChameleonVQVAE`.
        """
        if self._class == "ChameleonVQVAE":
            raise UsageError(f"{self.name} cannot decode codes: transformers' ChameleonVQVAE has no decoder")
        return self._by_shape(codes, self._decoded)

    def _by_shape(self, items: Sequence[Any], work: Any) -> list[Any]:
        """Work on batches of items of one shape; the results are in the order of the items."""
        import torch

        places: dict[tuple[int, ...], list[int]] = {}
        for place, item in enumerate(items):
            places.setdefault(item.shape[:2], []).append(place)
        found: dict[int, Any] = {}
        for some in places.values():
            for first in range(0, len(some), self._batch):
                batch = some[first : first + self._batch]
                with self._turn, torch.inference_mode():
                    found |= zip(batch, work(np.stack([items[place] for place in batch])), strict=True)
        return [found[place] for place in range(len(items))]

    def _encoded(self, pictures: NDArray[np.uint8]) -> NDArray[np.uint16]:
        import torch

        count, height, width, _ = pictures.shape
        pixels = torch.from_numpy(pictures).to(self._mean.device).permute(0, 3, 1, 2).float()
        pixels = ((pixels * self._rescale - self._mean) / self._std).to(self._network.dtype)
        sizes = {"image_sizes": torch.tensor([[height, width]] * count)} if self._class == "Emu3VQVAE" else {}
        tokens = self._network.encode(pixels, **sizes).image_tokens
        flat = torch.stack(tokens) if isinstance(tokens, list) else tokens
        grid = (count, height // self.patch, width // self.patch)
        codes: NDArray[np.uint16] = flat.reshape(grid).cpu().numpy().astype(np.uint16)
        return codes

    def _decoded(self, codes: NDArray[np.uint16]) -> NDArray[np.uint8]:
        import torch

        tokens = torch.from_numpy(codes.astype(np.int64)).to(self._mean.device)
        decode = self._network.decode if self._class == "Emu3VQVAE" else self._janus_decoded
        pixels = decode(tokens)
        colours = (pixels.float() * self._std + self._mean) / self._rescale
        pictures: NDArray[np.uint8] = colours.round().clamp(0, 255).permute(0, 2, 3, 1).byte().cpu().numpy()
        return pictures

    def _janus_decoded(self, tokens: Any) -> Any:
        """As `JanusVQVAE.decode`, which takes squares of one size alone."""
        from torch.nn.functional import normalize

        network = self._network
        entries = normalize(network.quantize.embedding(tokens), p=2, dim=-1).permute(0, 3, 1, 2).contiguous()
        return network.decoder(network.post_quant_conv(entries))


def _is_local(model: str) -> bool:
    return Path(model).expanduser().exists()


def _source(model: str) -> dict[str, Any]:
    """Where transformers find a model: a folder, or a repository at a commit."""
    if _is_local(model):
        return {"pretrained_model_name_or_path": str(Path(model).expanduser())}
    return {"pretrained_model_name_or_path": model, "revision": hub_commit(model)}


def _config(model: str) -> Any:
    """The config of a VQ model, or of the whole model."""
    import transformers as hf

    never_run_model_code()
    return hf.AutoConfig.from_pretrained(**_source(model), trust_remote_code=False)


def _class(model: str, config: Any) -> str:
    name = CLASSES.get(config.model_type.partition("_")[0])
    if name is None or config.model_type.partition("_")[2] not in ("", "vqgan"):
        known = ", ".join(CLASSES.values())
        raise StageSetupError(f"tokenize.model {model!r} is a {config.model_type!r}, which is none of {known}")
    return name


def _network(model: str, name: str, config: Any) -> Any:
    import transformers.models.chameleon.modeling_chameleon as chameleon
    import transformers.models.emu3.modeling_emu3 as emu3
    import transformers.models.janus.modeling_janus as janus

    kind: Any = {
        "Emu3VQVAE": emu3.Emu3VQVAE,
        "ChameleonVQVAE": chameleon.ChameleonVQVAE,
        "JanusVQVAE": janus.JanusVQVAE,
    }[name]
    part = {} if config.model_type.endswith("_vqgan") else {"key_mapping": {IN_WHOLE_MODEL: ""}}
    network, told = kind.from_pretrained(
        **_source(model),
        config=getattr(config, "vq_config", config),
        use_safetensors=True,
        output_loading_info=True,
        **part,
    )
    if missing := sorted(told["missing_keys"]):
        raise StageSetupError(f"tokenize.model {model!r} lacks {len(missing)} weights of {name}, first {missing[0]}")
    return network.eval()


def _colours(stated: dict[str, Any]) -> dict[str, Any]:
    """How a model takes colours, as `PLAIN` has it, by what its image processor states; a step may be left out."""
    rescaled = {"rescale_factor": 1.0} if stated.get("do_rescale") is False else {}
    normalized = {"image_mean": [0.0] * 3, "image_std": [1.0] * 3} if stated.get("do_normalize") is False else {}
    return PLAIN | {key: value for key, value in stated.items() if key in PLAIN} | rescaled | normalized


def _preprocessor(model: str) -> dict[str, Any]:
    """What the model's image processor does with colours; empty where there is none."""
    from transformers.utils.hub import cached_file

    source = _source(model)
    found = cached_file(
        source["pretrained_model_name_or_path"],
        PREPROCESSOR,
        revision=source.get("revision"),
        _raise_exceptions_for_missing_entries=False,
    )
    if found is None:
        return {}
    content = json.loads(Path(found).read_bytes())
    return content if isinstance(content, dict) else {}
