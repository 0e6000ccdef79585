"""Back ends of transformers: tiny random models of the real classes, saved to a folder and loaded by the real path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from stages.base import StageSetupError
from stages.tokenize.tokenizer import ImageTokenizer, load_tokenizer
from stages.tokenize.vq_models import vq_revision
from storyloom.errors import UsageError
from tests.stages.tokenize.pictures import noise, photo

FAMILIES = ("emu3", "chameleon", "janus")


def tiny(family: str, codes: int = 64) -> Any:
    """A small random VQ model."""
    import torch
    from transformers.models.chameleon import ChameleonVQVAEConfig
    from transformers.models.chameleon.modeling_chameleon import ChameleonVQVAE
    from transformers.models.emu3 import Emu3VQVAEConfig
    from transformers.models.emu3.modeling_emu3 import Emu3VQVAE
    from transformers.models.janus import JanusVQVAEConfig
    from transformers.models.janus.modeling_janus import JanusVQVAE

    torch.manual_seed(3)
    sizes: dict[str, Any] = {"base_channels": 32, "channel_multiplier": [1, 1, 2], "num_res_blocks": 1, "embed_dim": 8}
    if family == "emu3":
        return Emu3VQVAE(
            Emu3VQVAEConfig(**sizes, codebook_size=codes, latent_channels=8, hidden_size=64, attn_resolutions=[2])
        )
    sizes |= {"num_embeddings": codes, "latent_channels": 8, "resolution": 32}
    if family == "chameleon":
        return ChameleonVQVAE(ChameleonVQVAEConfig(**sizes))
    return JanusVQVAE(JanusVQVAEConfig(**sizes, num_patches=8))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    parent = tmp_path_factory.mktemp("models")
    for family in FAMILIES:
        tiny(family).save_pretrained(parent / family)
    return {family: parent / family for family in FAMILIES}


def loaded(folder: Path, **options: Any) -> ImageTokenizer:
    return load_tokenizer(str(folder), "cpu", threads=2, **options)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_code_for_each_patch_whatever_else_is_in_the_batch(folders: dict[str, Path], family: str) -> None:
    shown = [photo("coffee.png", 24, 16), photo("coffee.png", 16, 16), photo("rocket.jpg", 24, 16)]
    pictures = [noise(0, 24, 16), *shown, noise(1, 24, 16)]
    one, many = loaded(folders[family], batch=1), loaded(folders[family], batch=4)
    assert one.codebook_size == 64
    assert one.patch == 4
    codes = one.encode(pictures)
    assert [found.shape for found in codes] == [(4, 6), (4, 6), (4, 4), (4, 6), (4, 6)]
    assert all(found.dtype == np.uint16 and found.max() < 64 for found in codes)
    assert len(np.unique(np.concatenate([found.ravel() for found in codes]))) > 1
    assert [found.tolist() for found in many.encode(pictures)] == [found.tolist() for found in codes]


@pytest.mark.parametrize("family", ["emu3", "janus"])
def test_codes_decode_to_the_size_that_was_encoded(folders: dict[str, Path], family: str) -> None:
    tokenizer = loaded(folders[family], max_side=16)
    codes = tokenizer.encode([photo("coffee.png", 320, 180), noise(1)])
    decoded = tokenizer.decode(codes)
    assert [found.shape for found in decoded] == [(8, 16, 3), (12, 16, 3)]
    assert decoded[0].dtype == np.uint8
    assert decoded[0].std() > 0
    other = tokenizer.decode([np.roll(codes[0], 3)])
    assert not np.array_equal(other[0], decoded[0])


def test_janus_decodes_squares_as_transformers_do(folders: dict[str, Path]) -> None:
    import torch
    from transformers.models.janus.modeling_janus import JanusVQVAE

    codes = np.random.default_rng(0).integers(0, 64, (8, 8), dtype=np.uint16)
    model: Any = JanusVQVAE.from_pretrained(folders["janus"])
    with torch.inference_mode():
        wanted = model.decode(torch.from_numpy(codes.astype(np.int64)).reshape(1, -1))[0].permute(1, 2, 0)
    (found,) = loaded(folders["janus"]).decode([codes])
    assert np.array_equal(found, ((wanted * 0.5 + 0.5) * 255).round().clamp(0, 255).byte().numpy())


def test_chameleon_has_no_decoder_and_says_so(folders: dict[str, Path]) -> None:
    tokenizer = loaded(folders["chameleon"])
    with pytest.raises(UsageError, match="ChameleonVQVAE has no decoder"):
        tokenizer.decode(tokenizer.encode([noise(0)]))


def whole_model(folder: Path, target: Path, *, leave_out: int = 0) -> Path:
    """A checkpoint of all of Chameleon with this VQ model in it, as the hub has it; nothing else is looked at."""
    target.mkdir()
    tensors = {f"model.vqmodel.{name}": tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    kept = dict(sorted(tensors.items())[leave_out:])
    save_file(kept | {"model.norm.weight": np.ones(4, np.float32)}, target / "model.safetensors", {"format": "pt"})
    vq = json.loads((folder / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({"model_type": "chameleon", "vq_config": vq}))
    return target


def test_a_vq_model_is_found_in_its_whole_model(folders: dict[str, Path], tmp_path: Path) -> None:
    inside, alone = whole_model(folders["chameleon"], tmp_path / "whole"), folders["chameleon"]
    picture = photo("coffee.png", 64, 48)
    assert loaded(inside).encode([picture])[0].tolist() == loaded(alone).encode([picture])[0].tolist()


def test_a_checkpoint_that_lacks_weights_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    lacking = whole_model(folders["chameleon"], tmp_path / "whole", leave_out=3)
    with pytest.raises(StageSetupError, match="lacks 3 weights of ChameleonVQVAE"):
        loaded(lacking)


def test_pickled_weights_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    import torch

    (tmp_path / "config.json").write_bytes((folders["janus"] / "config.json").read_bytes())
    torch.save(tiny("janus").state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(StageSetupError, match=r"tokenize\.model .* cannot be loaded"):
        loaded(tmp_path)


def test_colours_are_taken_as_the_folder_says(folders: dict[str, Path], tmp_path: Path) -> None:
    for file in folders["janus"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    said = {"rescale_factor": 1 / 255, "image_mean": [0.0, 0.0, 0.0], "image_std": [1.0, 1.0, 1.0]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    codes = np.random.default_rng(0).integers(0, 64, (8, 8), dtype=np.uint16)
    plain, other = (loaded(folder).decode([codes])[0].astype(int) for folder in (folders["janus"], tmp_path))
    inside = (plain > 128) & (plain < 255)
    assert inside.any()
    assert np.abs(other[inside] - (plain[inside] * 2 - 255)).max() <= 1


@pytest.mark.parametrize(
    ("flag", "same"),
    [
        ("do_normalize", {"rescale_factor": 1 / 255, "image_mean": [0.0] * 3, "image_std": [1.0] * 3}),
        ("do_rescale", {"rescale_factor": 1.0, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}),
    ],
)
def test_what_a_preprocessor_says_that_it_leaves_out_is_left_out(
    folders: dict[str, Path], tmp_path: Path, flag: str, same: dict[str, Any]
) -> None:
    stated = {"rescale_factor": 1 / 255, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, flag: False}
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    codes = []
    for name, said in (("flag", stated), ("same", same), ("without", {**stated, flag: True})):
        (tmp_path / name).mkdir()
        for file in folders["janus"].iterdir():
            (tmp_path / name / file.name).write_bytes(file.read_bytes())
        (tmp_path / name / "preprocessor_config.json").write_text(json.dumps(said))
        codes.append(loaded(tmp_path / name).encode([picture])[0])
    assert np.array_equal(codes[0], codes[1])
    assert not np.array_equal(codes[0], codes[2])


def test_more_codes_than_uint16_counts_are_refused(tmp_path: Path) -> None:
    tiny("emu3", codes=70_000).save_pretrained(tmp_path)
    with pytest.raises(StageSetupError, match="has 70000 codes, over the 65536"):
        loaded(tmp_path)


def test_another_kind_of_model_is_refused_with_those_that_are_taken(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(StageSetupError, match="is a 'vit', which is none of Emu3VQVAE, ChameleonVQVAE, JanusVQVAE"):
        loaded(tmp_path)


def test_what_is_neither_a_folder_nor_in_the_hub_s_cache_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(StageSetupError, match="no-body/no-model is not in the cache"):
        load_tokenizer("no-body/no-model")


def test_the_revision_names_the_class_and_follows_the_weights(folders: dict[str, Path], tmp_path: Path) -> None:
    before = vq_revision(str(folders["emu3"]))
    assert before.startswith("Emu3VQVAE; sha256:")
    for file in folders["emu3"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert vq_revision(str(tmp_path)) == before
    tensors = load_file(tmp_path / "model.safetensors")
    save_file(tensors | {"quant_conv.conv.bias": tensors["quant_conv.conv.bias"] + 1}, tmp_path / "model.safetensors")
    assert vq_revision(str(tmp_path)) != before
