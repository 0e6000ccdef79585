"""Frames as large as a budget of a model's tokens allows, and no larger."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from schemas.rows import FramesRow
from stages.sample.sides import LEAST_SIDE, longest_side, scaled
from stages.sample.stage import SampleConfig, SampleFrames
from storyloom.format.image_tokens import MODELS, image_model
from tests.stages.real_media import NARRATED, context, made, run


def frames(media: Path, max_side: int | str) -> FramesRow:
    stage = SampleFrames(SampleConfig(max_side=max_side), context())
    stage.setup()
    row = run(stage, media)
    assert isinstance(row, FramesRow)
    return row


@pytest.mark.parametrize("shape", ["1280:720", "720:1280"])
@pytest.mark.parametrize("model", ["qwen3-vl", "qwen2.5-vl"])
def test_frames_have_the_largest_size_that_the_budget_allows(tmp_path: Path, shape: str, model: str) -> None:
    width, height = map(int, shape.split(":"))
    video = made(tmp_path / "video.mp4", "-t", "5", "-i", NARRATED, "-an", "-vf", f"scale={shape},setsar=1")
    row = frames(video, f"for:{model}@256")
    assert row.live
    assert row.frames
    for jpeg in row.jpegs:
        with Image.open(io.BytesIO(jpeg)) as image:
            shown = image.size
        assert shown == scaled(width, height, max(shown))
        assert image_model(model).tokens(*shown) <= 256
        assert image_model(model).tokens(*scaled(width, height, max(shown) + 1)) > 256


def test_a_budget_that_only_a_square_exceeds_is_taken() -> None:
    assert image_model("idefics3").tokens(LEAST_SIDE, LEAST_SIDE) > 2500
    SampleConfig(max_side="for:idefics3@2500")
    assert longest_side(640, 360, "for:idefics3@2500") == 640


def test_a_video_whose_smallest_picture_takes_more_is_named(tmp_path: Path) -> None:
    wide = made(tmp_path / "wide.mp4", "-t", "2", "-i", NARRATED, "-an", "-vf", "scale=640:360,setsar=1")
    error = frames(wide, "for:internvl@256").error
    assert error is not None
    assert error.code == "token_budget"
    assert "640x360 pixels takes more even where its longer side is 16: raise the budget" in error.message


@given(
    width=st.integers(1, 3000),
    height=st.integers(1, 3000),
    model=st.sampled_from(["qwen3-vl", "qwen2.5-vl", "fuyu", "pixtral", "emu3.5"]),
    budget=st.integers(64, 2000),
)
@settings(max_examples=60, deadline=None)
def test_no_larger_side_than_the_one_found_is_within_the_budget(
    width: int, height: int, model: str, budget: int
) -> None:
    ratio = max(width, height) / min(width, height)
    if ratio > 100:
        return
    side = longest_side(width, height, f"for:{model}@{budget}")
    tokens = image_model(model).tokens
    larger = range(LEAST_SIDE if side is None else int(side) + 1, max(width, height) + 1)
    assert all(tokens(*scaled(width, height, one)) > budget for one in larger)
    if side is not None:
        assert side <= max(width, height)
        assert tokens(*scaled(width, height, side)) <= budget


@pytest.mark.parametrize("shape", [(4000, 1), (1, 4000)])
@pytest.mark.parametrize("model", MODELS)
def test_a_line_of_pixels_is_kept_at_a_size_that_the_model_takes(model: str, shape: tuple[int, int]) -> None:
    side = longest_side(*shape, f"for:{model}@5000")
    assert side is not None
    assert 0 < image_model(model).tokens(*scaled(*shape, side)) <= 5000


def test_a_line_of_pixels_fits_a_small_budget_of_fuyu_and_none_of_internvl() -> None:
    assert longest_side(4000, 1, "for:fuyu@64") == 63 * 30  # 63 patches and a row's end
    assert longest_side(4000, 1, "for:internvl@256") is None


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("for:qwen3-vll@256", "did you mean 'qwen3-vl'"),
        ("for:emu3@256", "emu3 takes at least 4,112 tokens for a picture of 16 pixels; 256 are fewer"),
        ("for:qwen3-vl", "is neither a number of pixels nor for:MODEL@TOKENS"),
        ("for:qwen3-vl@0", "is neither a number of pixels nor for:MODEL@TOKENS"),
        (8, "greater than or equal to 16"),
    ],
)
def test_a_budget_that_cannot_be_is_refused_with_the_reason(wanted: int | str, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        SampleConfig(max_side=wanted)


def test_pixels_stay_what_they_were() -> None:
    assert longest_side(1280, 720, 640) == 640
    assert longest_side(320, 240, 640) == 320
