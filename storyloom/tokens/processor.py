"""A model's processor in a local folder, asked by transformers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storyloom.errors import UsageError
from storyloom.format.image_tokens import UnfitImage, is_image_model

AROUND = 0
"""A processor's own count has the special tokens around an image, or leaves them out, as the model's makers chose."""


@dataclass(frozen=True)
class ProcessorCost:
    """What images cost by a processor of transformers, loaded from a folder.

    Attributes:
        name: The folder's name.
        processor: It has `_get_num_multimodal_tokens`.
    """

    name: str
    processor: Any = field(repr=False)
    around: int = AROUND

    @property
    def convention(self) -> str:
        """What is counted, in words."""
        return "placeholder tokens, as the processor counts them"

    @property
    def source(self) -> str:
        """Where the rule comes from."""
        return f"transformers' `{type(self.processor).__name__}` from the folder"

    def tokens(self, width: int, height: int) -> int:
        """Tokens of an image of so many pixels.

        Raises:
            UnfitImage: The processor refuses it, or counts no token.
            UsageError: The processor's settings make no sense.
        """
        try:
            found = self.processor._get_num_multimodal_tokens(image_sizes=[[height, width]])  # noqa: SLF001 - vLLM's way
        except ValueError as reason:
            raise UnfitImage(f"a picture of {width}x{height}: {reason}") from None
        except Exception as reason:  # noqa: BLE001 - settings such as patches of no pixels end in any
            raise UsageError(
                f"the processor in {self.name} cannot count a picture of {width}x{height}: {reason}"
            ) from None
        tokens = int(found["num_image_tokens"][0])
        if tokens < 1:
            raise UnfitImage(f"a picture of {width}x{height}: the processor counts no token")
        return tokens


def is_folder(name: str) -> bool:
    """Whether a model's name is that of a folder on this machine, and of no model of the table: ``./fuyu`` is one."""
    return not is_image_model(name) and Path(name).expanduser().is_dir()


def processor_cost(folder: str) -> ProcessorCost:
    """The processor in a folder; nothing is fetched, and no code of the folder is run.

    Raises:
        UsageError: There is none that can be loaded, or it cannot count an image's tokens.
        ModuleNotFoundError: transformers is not installed.
    """
    import transformers

    loader: Any = transformers.AutoProcessor
    path = Path(folder).expanduser().resolve()
    try:
        processor = loader.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except Exception as reason:  # noqa: BLE001 - a damaged file ends in whatever the library stumbles over
        raise UsageError(f"{folder} holds no processor that transformers can load: {reason}") from None
    if not hasattr(processor, "_get_num_multimodal_tokens"):
        raise UsageError(f"{type(processor).__name__} in {folder} cannot tell how many tokens an image takes")
    return ProcessorCost(path.name, processor)
