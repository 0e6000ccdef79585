"""Special tokens of trainers: which are found, that none is left, and that ordinary text stays as it is."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storyloom.format.tokens import BARRED, SQUARED, neutralised, special_token

TOKENS = [
    *(
        "<image>",
        "<IMAGE>",
        "<video/>",
        "<image />",
        "<audio>",
        "<img>",
        "</img>",
        "<image_placeholder>",
        "<s>",
        "</s>",
    ),
    *("<|endofchunk|>", "<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>", "<|im_start|>"),
    *("<|im_end|>", "<|endoftext|>", "<|image|>", "<|begin_of_text|>", "<|image_1|>", "<|reserved_special_token_0|>"),
    *("<IMG_CONTEXT>", "<fake_token_around_image>", "<global-img>", "<row_1_col_2>", "<start_of_image>", "<pad>"),
    *("<image_soft_token>", "<end_of_turn>", "<image-placeholder>", "<im_patch>", "<begin_of_image>", "<loc0001>"),
    *(
        "<｜begin▁of▁sentence｜>",
        "＜ｉｍａｇｅ＞",
        "<im\u200bage>",
        "<\u2060image\ufeff>",
        "<i\ufe0fmage>",
        "<|im_\u00adend|>",
    ),
    *(f"[{name}]" for name in SQUARED),
    *(f"|{name}|" for name in BARRED),
    *("[/INST]", "<<SYS>>", "<</SYS>>"),
]


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_loses_its_marks_and_keeps_its_name(token: str) -> None:
    assert special_token(f"see {token} here") == token
    left = neutralised(f"see {token} here")
    assert special_token(left) == ""
    assert not set(left) & set("<>[]|＜＞｜")
    assert left.startswith("see ")
    assert left.endswith(" here")


@pytest.mark.parametrize(
    "text",
    [
        *("a < b and c > d", "<b>bold</b> <i>", "x <s y", "[music] [audio] [Applause]", "5 < s > 3", "a|b|c"),
        *(
            "<3",
            "->",
            "<unknown person>",
            "if (a[0] | b)",
            "<imagine>",
            "image video </a>",
            "c'est l'été — 東京",
            "<||>",
        ),
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert neutralised(text) == text


PIECES = st.sampled_from([*TOKENS, *"<>[]|/", "im", "age", "s", "|im_end|", "IMG", "\u200b", "＜", " ", "é"])


@given(st.lists(PIECES, max_size=12).map("".join))
def test_no_token_is_left_whatever_they_are_made_of(text: str) -> None:
    once = neutralised(text)
    assert special_token(once) == ""
    assert neutralised(once) == once


@given(st.text(st.characters(exclude_characters="<[|＜﹤［｜"), max_size=60))
def test_text_without_an_opening_mark_is_never_changed(text: str) -> None:
    assert neutralised(text) == text


@pytest.mark.parametrize("unit", ["<", "<|", "[", "|", "<im", "<|x|>|>", "é<"])
def test_a_text_of_marks_takes_no_time(unit: str) -> None:
    began = time.process_time()
    neutralised(unit * 10_000 + "image" + ">" * 10_000)
    assert time.process_time() - began < 5.0
