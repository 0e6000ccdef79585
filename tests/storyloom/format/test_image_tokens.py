"""The table of models' tokens per picture: known values, and transformers' own processors over random sizes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from storyloom.errors import UsageError
from storyloom.format.image_tokens import ALIASES, MODELS, UnfitImage, image_model, image_models

transformers: Any = pytest.importorskip("transformers")

SIZES = ((640, 360), (1280, 720), (1920, 1080))

KNOWN = {
    "qwen2.5-vl": (299, 1196, 1222),
    "qwen3-vl": (220, 880, 2040),
    "emu3": (4176, 14490, 16416),
    "emu3.5": (902, 3645, 8228),
    "fuyu": (276, 1056, 2340),
    "internvl": (768, 2304, 2304),
}


@pytest.mark.parametrize("name", KNOWN)
def test_the_known_values_of_three_sizes_are_met(name: str) -> None:
    assert tuple(image_model(name).tokens(*size) for size in SIZES) == KNOWN[name]


def _tokenizer(**tokens: str) -> Any:
    from tokenizers import Tokenizer, models

    # Idefics' own tokenizer has a token for two line breaks, which ends a picture's last row.
    vocabulary = {"[UNK]": 0, "\n\n": 1} | {token: number for number, token in enumerate(tokens.values(), 2)}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, extra_special_tokens=tokens)


def _qwen(kind: str, **of_images: Any) -> Any:
    images = transformers.Qwen2VLImageProcessor(**of_images)
    videos = transformers.Qwen3VLVideoProcessor() if kind == "Qwen3VL" else transformers.Qwen2VLVideoProcessor()
    tokens = _tokenizer(image_token="<|image_pad|>", video_token="<|video_pad|>")
    return getattr(transformers, f"{kind}Processor")(images, tokens, videos)


def _named(*names: str) -> Any:
    return _tokenizer(**{name: f"<{name}>" for name in names})


def _internvl() -> Any:
    images = transformers.GotOcr2ImageProcessor(size={"height": 448, "width": 448}, crop_to_patches=True)
    made = _named("start_image_token", "end_image_token", "context_image_token", "video_token")
    return transformers.InternVLProcessor(images, made, transformers.InternVLVideoProcessor())


def _llava() -> Any:
    size = {"height": 336, "width": 336}
    images = transformers.CLIPImageProcessor(size={"shortest_edge": 336}, crop_size=size)
    return transformers.LlavaProcessor(
        images, _named("image_token"), patch_size=14, vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )  # fmt: skip


def _emu3() -> Any:
    made = _named("image_token", "boi_token", "eoi_token", "image_wrapper_token", "eof_token")
    return transformers.Emu3Processor(transformers.Emu3ImageProcessor(), made)


def _pixtral() -> Any:
    made = _tokenizer(image_token="[IMG]", image_break="[IMG_BREAK]", image_end="[IMG_END]")
    return transformers.PixtralProcessor(transformers.PixtralImageProcessor(), made)


PROCESSORS: dict[str, Callable[[], Any]] = {
    "qwen2-vl": lambda: _qwen("Qwen2VL"),
    "qwen2.5-vl": lambda: _qwen("Qwen2_5_VL"),
    "qwen3-vl": lambda: _qwen("Qwen3VL", patch_size=16, size={"shortest_edge": 65_536, "longest_edge": 16_777_216}),
    "emu3": _emu3,
    "fuyu": lambda: transformers.FuyuProcessor(
        transformers.FuyuImageProcessor(), _tokenizer(image_token="|SPEAKER|", newline="|NEWLINE|")
    ),
    "internvl": _internvl,
    "llava-1.5": _llava,
    "pixtral": _pixtral,
    "gemma3": lambda: transformers.Gemma3Processor(
        transformers.Gemma3ImageProcessor(), _named("image_token", "boi_token", "eoi_token")
    ),
    "idefics3": lambda: transformers.Idefics3Processor(transformers.Idefics3ImageProcessor(), _named("image_token")),
    "chameleon": lambda: transformers.ChameleonProcessor(
        transformers.ChameleonImageProcessor(), _named("image_token", "boi_token", "eoi_token")
    ),
}
"""The models' processors, made here from their classes' defaults; transformers' two others have no count of a size."""


@functools.cache
def processor(name: str) -> Any:
    return PROCESSORS[name]()


MARKED = {"internvl": 2, "chameleon": 2}
"""Models whose processors count the tokens around a picture, too."""


@pytest.mark.parametrize("name", PROCESSORS)
@settings(max_examples=40)
@given(width=st.integers(8, 4000), height=st.integers(8, 4000))
def test_the_table_says_what_transformers_processor_says(name: str, width: int, height: int) -> None:
    made, model = processor(name), image_model(name)
    try:
        (wanted,) = made._get_num_multimodal_tokens(image_sizes=[[height, width]])["num_image_tokens"]
    except ValueError:
        with pytest.raises(UnfitImage):
            model.tokens(width, height)
        return
    assert model.tokens(width, height) + MARKED.get(name, 0) == wanted
    assert MARKED.get(name, model.around) == model.around


@pytest.mark.parametrize("name", ["qwen2.5-vl", "qwen3-vl"])
@given(width=st.integers(30, 700), height=st.integers(30, 700))
@settings(max_examples=10)
def test_the_grid_is_the_one_that_qwens_processor_gives_with_the_pixels(name: str, width: int, height: int) -> None:
    import numpy as np

    made = processor(name).image_processor(np.zeros((height, width, 3), np.uint8), return_tensors="np")
    assert tuple(made["image_grid_thw"][0].tolist()) == image_model(name).grid(width, height)


def test_llava_onevision_and_janus_give_a_picture_the_tokens_that_their_processors_write() -> None:
    made = _tokenizer(image_token="<image>", video_token="<video>")
    onevision = transformers.LlavaOnevisionProcessor(
        transformers.LlavaOnevisionImageProcessor(), made, transformers.LlavaOnevisionVideoProcessor(),
        num_image_tokens=729, vision_feature_select_strategy="full",
    )  # fmt: skip
    text = onevision.replace_image_token({"batch_num_images": [2]}, 0)
    assert text.count("<image>") == image_model("llava-onevision").tokens(640, 360)
    made = _tokenizer(image_token="<image>", boi_token="<boi>", eoi_token="<eoi>")
    janus = transformers.JanusProcessor(transformers.JanusImageProcessor(), made)
    assert janus.num_image_tokens == image_model("janus").tokens(640, 360)


@pytest.mark.parametrize("name", MODELS)
@given(width=st.integers(1, 2000), height=st.integers(1, 2000))
@example(width=1921, height=1)
@example(width=1, height=1921)
@settings(max_examples=20)
def test_every_picture_takes_some_tokens_or_is_refused_by_name(name: str, width: int, height: int) -> None:
    model, refused = image_model(name), ""
    try:
        found = model.tokens(width, height)
    except UnfitImage as reason:
        found, refused = 0, str(reason)
    assert found > 0 or f"{width}x{height}" in refused


def test_a_misspelt_model_is_told_with_the_nearest_one_and_the_list() -> None:
    with pytest.raises(UsageError, match=r"no model 'qwen3-vll', did you mean 'qwen3-vl'\? known: qwen2-vl, .*janus"):
        image_model("qwen3-vll")


def test_models_are_taken_once_under_any_of_their_names() -> None:
    assert [one.name for one in image_models(["InternVL3", "internvl", "emu3"])] == ["internvl", "emu3"]
    assert len(image_models([])) == len(MODELS)
    assert set(ALIASES.values()) <= set(MODELS)


def test_the_page_lists_every_model_with_its_tokens_and_its_rule() -> None:
    page = (Path(__file__).parents[3] / "docs/tokens.md").read_text(encoding="utf-8")
    for model in MODELS.values():
        costs = " | ".join(f"{model.tokens(*size):,}" for size in SIZES)
        assert f"| `{model.name}` | {costs} | {model.around} | {model.convention} | {model.source} |" in page
