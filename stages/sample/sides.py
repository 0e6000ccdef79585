"""How large the pictures of frames become: by pixels of the longer side, or by a model's tokens."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator

from storyloom.errors import UsageError
from storyloom.format.image_tokens import ImageModel, UnfitImage, image_model

BUDGET = r"^for:[A-Za-z0-9._-]{1,64}@[1-9][0-9]{0,6}$"
"""How a budget is written: ``for:MODEL@TOKENS``."""

LEAST_SIDE, MOST_SIDE = 16, 16_384
"""Pixels of the longer side, at least and at most (our choice)."""

SHAPES = [shape for side in range(1, LEAST_SIDE + 1) for shape in ((side, LEAST_SIDE), (LEAST_SIDE, side))]
"""Width and height of pictures of `LEAST_SIDE`: some models take more tokens for a square than for a wide picture."""


def budget_of(text: str) -> tuple[ImageModel, int]:
    """The model and the tokens of a budget.

    Raises:
        ValueError: It is none, or the model is not known, or no picture of `LEAST_SIDE` takes so few of its tokens.
    """
    if not re.match(BUDGET, text):
        raise ValueError(f"{text!r} is neither a number of pixels nor for:MODEL@TOKENS, such as for:qwen3-vl@256")
    name, _, tokens = text.removeprefix("for:").rpartition("@")
    try:
        model = image_model(name)
    except UsageError as reason:
        raise ValueError(str(reason)) from None
    least = min(_tokens(model, *shape, LEAST_SIDE) for shape in SHAPES)
    if int(tokens) < least:
        raise ValueError(
            f"{model.name} takes at least {least:,} tokens for a picture of {LEAST_SIDE} pixels; {tokens} are fewer"
        )
    return model, int(tokens)


def longest_side(width: float, height: float, wanted: int | str) -> float | None:
    """Pixels of the longer side of a picture as it is kept; it is not enlarged.

    For a budget it is the largest one with which the picture's tokens do not exceed it.

    Args:
        width: Pixels of the picture as it is shown.
        height: Likewise.
        wanted: Most pixels, or a budget.

    Returns:
        None where a side of `LEAST_SIDE` takes more tokens than the budget has.
    """
    if isinstance(wanted, int):
        return min(max(width, height), wanted)
    model, tokens = _budget(wanted)
    return next((side for side in _sides(width, height) if _tokens(model, width, height, side) <= tokens), None)


def scaled(width: float, height: float, side: float) -> tuple[int, int]:
    """Width and height, in whole pixels, of a picture whose longer side becomes this one."""
    fit = side / max(width, height)
    return max(1, round(width * fit)), max(1, round(height * fit))


_budget = functools.cache(budget_of)


def _sides(width: float, height: float) -> Iterator[float]:
    """The sides that are tried: the picture's own, then whole pixels downwards."""
    own = max(width, height)
    if own <= MOST_SIDE:
        yield own
    yield from range(min(MOST_SIDE, math.ceil(own) - 1), LEAST_SIDE - 1, -1)


def _tokens(model: ImageModel, width: float, height: float, side: float) -> float:
    try:
        return model.tokens(*scaled(width, height, side))
    except UnfitImage:
        return math.inf
