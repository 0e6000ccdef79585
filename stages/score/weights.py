"""Revisions of the image-text model's weights and libraries, for the fingerprint."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from stages.base import StageSetupError
from stages.models.demo import DEMO, photo_sentence_revision
from stages.models.hub import hub_commit
from stages.models.names import nearest
from stages.models.revision import content_revision, library_versions
from stages.score.model_config import folder_config

LIBRARIES = ("open-clip-torch", "torch", "torchvision", "pillow", "numpy")
"""Packages whose versions may change the embeddings of every model of open_clip's."""

OF_DEMO = ("onnxruntime", "tokenizers", "ftfy", "pillow", "numpy")
"""Those of the demo's model."""

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")
"""Endings of files with weights that open_clip looks for in a folder."""

LOCAL, HUB = "local-dir:", "hf-hub:"
"""open_clip's prefixes of a folder, and of a repository of the Hugging Face hub."""


def weights_revision(model: str, pretrained: str) -> str:
    """The weights by content: a hash where they are local, a commit where they lie on the hub.

    Args:
        model: As in `ScoreConfig`.
        pretrained: As in `ScoreConfig`.

    Raises:
        StageSetupError: The name is unknown, or the hub cannot be reached.
    """
    if model == DEMO:
        return photo_sentence_revision()
    if model.startswith(LOCAL):
        _config(model)  # first: what is no model's folder may be a whole disk
        return content_revision(model.removeprefix(LOCAL))
    if model.startswith(HUB):
        repository = model.removeprefix(HUB)
        return f"{repository}@{hub_commit(repository)}"
    if pretrained and Path(pretrained).expanduser().exists():
        weights = content_revision(pretrained)
    else:
        weights = _tagged(model, pretrained)
    tokenizer = _config(model).get("text_cfg", {}).get("hf_tokenizer_name", "")
    return f"{model}/{weights}" + (f", {tokenizer}@{hub_commit(tokenizer)}" if tokenizer else "")


def no_weights(model: str) -> list[str]:
    """That a model's folder holds no weights; empty when it does, and for a model that is no folder."""
    folder = Path(model.removeprefix(LOCAL))
    if not model.startswith(LOCAL) or not folder.is_dir():
        return []
    if any(file.suffix in WEIGHTS for file in folder.iterdir()):
        return []
    return [f"score.model {model!r} holds no weights (a file that ends with {', '.join(WEIGHTS)}): copy them there"]


def libraries(model: str) -> str:
    """The versions of the packages that run a model."""
    if model == DEMO:
        return library_versions(*OF_DEMO)
    config = _config(model)
    timm = config is _UNKNOWN or "timm_model_name" in config.get("vision_cfg", {})
    transformers = config is _UNKNOWN or bool(
        {"hf_model_name", "hf_tokenizer_name"} & config.get("text_cfg", {}).keys()
    )
    return library_versions(*LIBRARIES, *["timm"] * timm, *["transformers"] * transformers)


_UNKNOWN: dict[str, Any] = {}
"""Stands for the config of a model on the hub, which is not read."""


def _config(model: str) -> dict[str, Any]:
    """open_clip's config of a model."""
    if model.startswith(HUB):
        return _UNKNOWN
    if model.startswith(LOCAL):
        try:
            return folder_config(Path(model.removeprefix(LOCAL)))
        except (OSError, ValueError) as reason:
            raise StageSetupError(f"score.model {model!r} is no folder of open_clip's: {reason}") from reason
    return _named_config(model)


@functools.cache
def _named_config(model: str) -> dict[str, Any]:
    import open_clip

    config: dict[str, Any] | None = open_clip.get_model_config(model)
    if config is None:
        raise StageSetupError(
            f"score.model {model!r} cannot be loaded: open_clip has no model of that name"
            f"{nearest(model, open_clip.list_models())}"
        )
    return config


@functools.cache
def _pretrained_config(model: str, pretrained: str) -> dict[str, Any]:
    import open_clip

    config: dict[str, Any] = open_clip.get_pretrained_cfg(model, pretrained)
    return config


def _tagged(model: str, pretrained: str) -> str:
    """The weights of open_clip's tag; their URL contains a hash or a version."""
    _named_config(model)
    config = _pretrained_config(model, pretrained)
    if not config:
        import open_clip

        tags = open_clip.list_pretrained_tags_by_model(model)
        raise StageSetupError(
            f"score.pretrained {pretrained!r} is no file and none of open_clip's tags for {model}"
            f"{nearest(pretrained, tags) or '; they are ' + (', '.join(tags) or 'none: name a file')}"
        )
    if config.get("hf_hub"):
        repository = config["hf_hub"].rpartition("/")[0]  # a file name may follow
        return f"{pretrained}, {repository}@{hub_commit(repository)}"
    return f"{pretrained}, {config['url']}"
