"""The ingredients of score's fingerprint."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest
from huggingface_hub import constants
from pydantic import ValidationError

from stages.base import StageSetupError
from stages.models.demo import photo_sentence_folder, photo_sentence_revision
from stages.score.stage import Score, ScoreConfig
from stages.score.weights import libraries, weights_revision
from tests.stages.models.test_hub import COMMIT, OTHER, put
from tests.stages.rows import CONTEXT


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def test_the_revision_of_the_demo_names_its_weights_and_the_library_that_runs_it() -> None:
    revision = Score(ScoreConfig(), CONTEXT).revision()
    assert revision.startswith(f"{photo_sentence_revision()}; cpu/fp32; onnxruntime {version('onnxruntime')}, ")
    assert "torch" not in revision


def test_the_revision_names_weights_device_precision_and_the_libraries_of_the_model() -> None:
    folder = f"local-dir:{photo_sentence_folder()}"
    revision = Score(ScoreConfig(model=folder, device="cpu"), CONTEXT).revision()
    assert revision.startswith("sha256:")
    assert "; cpu/fp32; " in revision
    for package in ("open-clip-torch", "torch", "torchvision", "pillow", "timm", "transformers"):
        assert f"{package} {version(package)}" in revision


def test_another_precision_is_another_revision() -> None:
    folder = f"local-dir:{photo_sentence_folder()}"
    configs = [ScoreConfig(model=folder, device="cpu", precision=name) for name in ("fp32", "bf16")]
    assert len({Score(config, CONTEXT).revision() for config in configs}) == 2


@pytest.mark.parametrize("setting", [{"device": "cuda"}, {"precision": "bf16"}])
def test_the_demo_is_refused_where_it_does_not_run(setting: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="model 'demo' runs on the CPU in fp32"):
        ScoreConfig.model_validate(setting)


def test_the_demo_takes_no_share_of_a_gpu() -> None:
    assert (ScoreConfig().uses_gpu, ScoreConfig(model="ViT-B-32").uses_gpu) == (False, True)


def test_a_folder_is_its_content(tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": {"vision_cfg": {}, "text_cfg": {}}}))
    one = weights_revision(f"local-dir:{tmp_path}", "")
    (tmp_path / "weights.bin").write_bytes(b"other")
    assert weights_revision(f"local-dir:{tmp_path}", "") != one
    assert "timm" not in libraries(f"local-dir:{tmp_path}")


def test_a_tag_is_the_commit_of_its_repository(cache: Path) -> None:
    put(cache, "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", COMMIT)
    expected = f"ViT-B-32/laion2b_s34b_b79k, laion/CLIP-ViT-B-32-laion2B-s34B-b79K@{COMMIT}"
    assert weights_revision("ViT-B-32", "laion2b_s34b_b79k") == expected
    assert "transformers" not in libraries("ViT-B-32")


def test_a_repository_is_its_commit(cache: Path) -> None:
    put(cache, "timm/ViT-SO400M-14-SigLIP", OTHER)
    assert weights_revision("hf-hub:timm/ViT-SO400M-14-SigLIP", "") == f"timm/ViT-SO400M-14-SigLIP@{OTHER}"


def test_the_tokenizer_of_a_repository_of_its_own_counts_too(cache: Path) -> None:
    put(cache, "laion/CLIP-ViT-H-14-frozen-xlm-roberta-large-laion5B-s13B-b90k", COMMIT)
    put(cache, "xlm-roberta-large", OTHER)
    revision = weights_revision("xlm-roberta-large-ViT-H-14", "frozen_laion5b_s13b_b90k")
    assert revision.endswith(f"@{COMMIT}, xlm-roberta-large@{OTHER}")


@pytest.mark.usefixtures("cache")
def test_weights_that_are_not_cached_say_how_to_get_them() -> None:
    with pytest.raises(StageSetupError, match="hf download laion/CLIP"):
        weights_revision("ViT-B-32", "laion2b_s34b_b79k")


def test_a_model_without_weights_is_refused() -> None:
    with pytest.raises(StageSetupError, match=r"score\.pretrained '' is no file and none of open_clip's tags"):
        weights_revision("ViT-B-32", "")
