"""Checks of open_clip's config of a model: a stranger's may not name code, or files outside its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.base import StageSetupError

CONFIG_FILE = "open_clip_config.json"

MOST_BYTES = 2**20
"""Size of such a file (our choice: those of open_clip have 1 kB)."""

TOKENIZER_KEYS = frozenset({"clean", "strip_sep_token"})
"""What open_clip's own configs give to tokenizers; transformers takes others, with which it runs a model's code."""

TOP_KEYS = frozenset(
    {
        "embed_dim",
        "vision_cfg",
        "text_cfg",
        "multimodal_cfg",
        "quick_gelu",
        "custom_text",
        "init_logit_scale",
        "init_logit_bias",
        "nonscalar_logit_scale",
    }
)
"""The arguments of open_clip's models (its model.py)."""


def folder_config(folder: Path) -> dict[str, Any]:
    """The checked config of a model in a folder.

    Raises:
        ValueError: The file has no such config, or a key in it is refused.
        OSError: It cannot be read.
    """
    with (folder / CONFIG_FILE).open("rb") as file:
        text = file.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise ValueError(f"{CONFIG_FILE} is larger than {MOST_BYTES:,} bytes")
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError(f"{CONFIG_FILE} is nested too deep") from None
    if not isinstance(content, dict) or not isinstance(found := content.get("model_cfg", content), dict):
        raise ValueError(f"{CONFIG_FILE} holds no model_cfg")  # noqa: TRY004 - a value of the file
    check_model_config(found)
    text_tower, picture_tower = found["text_cfg"], found["vision_cfg"]
    name = text_tower.get("hf_model_name")
    if name is not None and not (isinstance(name, str) and Path(name).is_dir()):
        raise ValueError(f"text_cfg.hf_model_name {name!r} in {CONFIG_FILE} is no folder of this machine")
    if ":" in str(picture_tower.get("timm_model_name", "")):
        raise ValueError(f"vision_cfg.timm_model_name in {CONFIG_FILE} is no name of timm's own models")
    return found


def check_model_config(config: Mapping[str, Any]) -> None:
    """Check the keys of a model's config.

    Raises:
        ValueError: One is not known to be harmless.
    """
    for section in ("vision_cfg", "text_cfg"):
        if not isinstance(config.get(section), dict):
            raise ValueError(f"{CONFIG_FILE} has no {section}")  # noqa: TRY004 - a value of the file
    if unknown := config.keys() - TOP_KEYS:
        raise ValueError(f"{min(unknown)!r} in {CONFIG_FILE} is no key of a model of open_clip's")
    given = config["text_cfg"].get("tokenizer_kwargs") or {}
    refused = given.keys() - TOKENIZER_KEYS if isinstance(given, dict) else {"itself"}
    if refused:
        raise ValueError(
            f"text_cfg.tokenizer_kwargs in {CONFIG_FILE} may set {' and '.join(sorted(TOKENIZER_KEYS))} only,"
            f" not {min(refused)!r}: a model brings no code"
        )


def check_hub_config(repository: str) -> None:
    """Check the config of a model on the hub, or in its cache; one without a config has no keys to check.

    Raises:
        StageSetupError: One of its keys is refused.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        folder = Path(hf_hub_download(repository, CONFIG_FILE)).parent
        content = json.loads((folder / CONFIG_FILE).read_bytes())
        check_model_config(content["model_cfg"])
    except LocalEntryNotFoundError:  # the hub did not answer: nothing is known of its config
        raise
    except EntryNotFoundError:
        return
    except (KeyError, TypeError, ValueError, RecursionError) as reason:
        raise StageSetupError(f"score.model 'hf-hub:{repository}' cannot be loaded: {reason}") from reason
