"""The config's models in the formats of the peers."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from stages.models.demo import DEMO, photo_sentence_folder, whisper_folder
from stages.score.stage import ScoreConfig
from stages.transcribe.settings import TranscribeConfig
from storyloom.errors import UsageError

Array = npt.NDArray[Any]

CTRANSLATE2_TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
"""Numbers of element types in a CTranslate2 file, from its `types.h`."""

CTRANSLATE2_FORMAT = 6

AUDIO_CONTEXT = 1500
"""Positions of Whisper's encoder: 30 s of audio."""

MODULES = (
    (r"^(encoder|decoder)/(conv\d)$", r"\1.\2", ()),
    (r"^encoder/layer_norm$", "encoder.ln_post", ()),
    (r"^decoder/layer_norm$", "decoder.ln", ()),
    (r"^decoder/embeddings$", "decoder.token_embedding", ()),
    (r"^(\w+)/layer_(\d+)/self_attention/layer_norm$", r"\1.blocks.\2.attn_ln", ()),
    (r"^(\w+)/layer_(\d+)/self_attention/linear_0$", r"\1.blocks.\2.attn", ("query", "key", "value")),
    (r"^(\w+)/layer_(\d+)/self_attention/linear_1$", r"\1.blocks.\2.attn.out", ()),
    (r"^(\w+)/layer_(\d+)/attention/layer_norm$", r"\1.blocks.\2.cross_attn_ln", ()),
    (r"^(\w+)/layer_(\d+)/attention/linear_0$", r"\1.blocks.\2.cross_attn.query", ()),
    (r"^(\w+)/layer_(\d+)/attention/linear_1$", r"\1.blocks.\2.cross_attn", ("key", "value")),
    (r"^(\w+)/layer_(\d+)/attention/linear_2$", r"\1.blocks.\2.cross_attn.out", ()),
    (r"^(\w+)/layer_(\d+)/ffn/layer_norm$", r"\1.blocks.\2.mlp_ln", ()),
    (r"^(\w+)/layer_(\d+)/ffn/linear_0$", r"\1.blocks.\2.mlp.0", ()),
    (r"^(\w+)/layer_(\d+)/ffn/linear_1$", r"\1.blocks.\2.mlp.2", ()),
)
"""A module's name with CTranslate2, with openai-whisper, and the modules that CTranslate2 stacked into it."""

PARAMETERS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}

CLIP_CONTEXT = 77
"""Most tokens of a text in every CLIP of OpenAI."""


@dataclass(frozen=True)
class Weights:
    """The locations of the models for peers.

    Attributes:
        whisper: A checkpoint of openai-whisper; the same numbers that faster-whisper has.
        open_clip: open_clip's name of the image-text model, or ``local-dir:`` with a folder.
        pretrained: open_clip's tag or file of its weights; empty for a folder.
        clip: A folder with a Hugging Face CLIP of random weights, see `write_clip`.
    """

    whisper: Path
    open_clip: str
    pretrained: str
    clip: Path


def write_weights(transcribe: TranscribeConfig, score: ScoreConfig, folder: Path) -> Weights:
    """Write the models into a folder; existing ones are kept.

    Raises:
        UsageError: The config's Whisper model is not a local folder, so it cannot be converted.
    """
    source = whisper_folder() if transcribe.model == DEMO else Path(transcribe.model).expanduser()
    if not (source / "model.bin").is_file():
        raise UsageError(f"transcribe.model {transcribe.model!r} is no folder with a model.bin, which the peers need")
    folder.mkdir(parents=True, exist_ok=True)
    name = "english.en.pt" if transcribe.model == DEMO else "model.pt"
    whisper, clip = folder / name, folder / "clip"
    if not whisper.exists():
        save_whisper(source / "model.bin", whisper)
    if not (clip / "config.json").exists():
        write_clip(clip)
    demo = f"local-dir:{photo_sentence_folder()}" if score.model == DEMO else score.model
    return Weights(whisper, demo, score.pretrained, clip)


def save_whisper(source: Path, target: Path) -> None:
    """Write CTranslate2's ``model.bin`` of a Whisper model as a checkpoint of openai-whisper."""
    import torch

    with source.open("rb") as file:
        variables = dict(read_ctranslate2(file))
    checkpoint = openai_checkpoint(variables)
    state = {name: torch.from_numpy(np.array(array)) for name, array in checkpoint["model_state_dict"].items()}
    draft = target.with_suffix(".draft")
    torch.save({"dims": checkpoint["dims"], "model_state_dict": state}, draft)
    draft.rename(target)


def read_ctranslate2(file: BinaryIO) -> Iterator[tuple[str, Array]]:
    """The variables of a CTranslate2 ``model.bin``, name by name.

    The layout is that of `ModelSpec._serialize` in ctranslate2/specs/model_spec.py.

    Raises:
        UsageError: The file is of another version of the format.
    """

    def number(kind: str) -> int:
        (found,) = struct.unpack(f"<{kind}", file.read(struct.calcsize(f"<{kind}")))
        return int(found)

    def text() -> str:
        return file.read(number("H")).rstrip(b"\0").decode()

    if (found := number("I")) != CTRANSLATE2_FORMAT:
        raise UsageError(f"the Whisper model is of CTranslate2's format {found}, not {CTRANSLATE2_FORMAT}")
    text(), number("I")  # the specification's name and revision
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        kind = CTRANSLATE2_TYPES[number("B")]
        yield name, np.frombuffer(file.read(number("I")), kind).reshape(shape)


def openai_checkpoint(variables: dict[str, Array]) -> dict[str, Any]:
    """The content of an openai-whisper checkpoint: its dimensions, and its arrays as float32."""
    state: dict[str, Array] = {}
    for name, array in variables.items():
        module, _, parameter = name.rpartition("/")
        for pattern, replacement, stacked in MODULES:
            if re.search(pattern, module) and parameter in PARAMETERS:
                target = re.sub(pattern, replacement, module)
                parts = np.split(array, len(stacked)) if stacked else [array]
                for part, suffix in zip(parts, [f".{one}" for one in stacked] or [""], strict=True):
                    state[f"{target}{suffix}.{PARAMETERS[parameter]}"] = part.astype(np.float32)
    state = {name: array for name, array in state.items() if not name.endswith(".key.bias")}  # Whisper has none
    positions = variables["decoder/position_encodings/encodings"]
    width = positions.shape[1]
    state["decoder.positional_embedding"] = positions.astype(np.float32)
    state["encoder.positional_embedding"] = _waves(AUDIO_CONTEXT, width)
    heads = int(variables["decoder/num_heads"])
    dims = {
        "n_mels": state["encoder.conv1.weight"].shape[1],
        "n_audio_ctx": AUDIO_CONTEXT,
        "n_audio_state": width,
        "n_audio_head": heads,
        "n_audio_layer": _layers(state, "encoder"),
        "n_vocab": state["decoder.token_embedding.weight"].shape[0],
        "n_text_ctx": positions.shape[0],
        "n_text_state": width,
        "n_text_head": heads,
        "n_text_layer": _layers(state, "decoder"),
    }
    return {"dims": dims, "model_state_dict": state}


def _layers(state: dict[str, Array], side: str) -> int:
    return len({name.split(".")[2] for name in state if name.startswith(f"{side}.blocks.")})


def _waves(length: int, channels: int) -> Array:
    """The encoder's fixed positions: sines and cosines of falling frequencies (Whisper, section 2.2)."""
    frequencies = 10_000.0 ** -np.linspace(0.0, 1.0, channels // 2)
    angles = np.outer(np.arange(length), frequencies)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def write_clip(folder: Path) -> None:
    """Write a Hugging Face CLIP of random weights, for peers that load nothing else; smaller than the demo's model.

    Its picture tower takes fewer multiplications than the demo's (33 million parameters in all, most of them the
    vocabulary's); its text tower has the shape of the demo's, MiniLM. So the comparison favours the peer.
    """
    import torch
    from open_clip.tokenizer import SimpleTokenizer
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    known = SimpleTokenizer()
    renamed = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {renamed.get(word, word): number for word, number in known.encoder.items()}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    merges = "\n".join(" ".join(pair) for pair in known.bpe_ranks)
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", encoding="utf-8")
    text: dict[str, Any] = {
        "max_position_embeddings": CLIP_CONTEXT,
        "hidden_size": 384,
        "intermediate_size": 1536,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
    }
    picture = {"hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 6, "num_attention_heads": 3}
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=picture, projection_dim=384))
    tokenizer: Any = CLIPTokenizer.from_pretrained(str(folder), model_max_length=CLIP_CONTEXT)
    processor: Any = CLIPProcessor(image_processor=CLIPImageProcessor(), tokenizer=tokenizer)  # type: ignore[no-untyped-call]
    processor.save_pretrained(folder)
    model.save_pretrained(folder)  # its config.json comes last and marks the folder as whole
