"""Documents as tokens, cut to a budget."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storyloom.errors import UsageError
from storyloom.format.image_tokens import image_model
from storyloom.reader import Document, Frame, PatchTokens, Text, TokenLayout
from storyloom.reader.pieces import Piece, pieces

IMAGE = 1_000


def letters(text: str) -> list[int]:
    return list(text.encode())


def frame(time: float, width: int = 64) -> Frame:
    return Frame(time=time, jpeg=b"jpeg", width=width, height=48, similarity=0.3, shift=0.0, text=0)


def text(start: float, words: str) -> Text:
    return Text(start=start, end=start + 1.0, text=words, source="asr")


def document(*items: Frame | Text) -> Document:
    return Document("k-0", items, "v", "url", "", "en", "", 0.0, 99.0, "{}", "", "", (), 0.0, 0.0, 0.0)


def layout(**changes: Any) -> TokenLayout:
    values: dict[str, Any] = {"tokenize": letters, "image_token": IMAGE, "image_tokens": 4} | changes
    return TokenLayout(**values)


def kinds(piece: Piece) -> str:
    """``F`` for a frame, else the text's tokens as letters."""
    return " ".join("F" if isinstance(one.item, Frame) else bytes(one.ids.tolist()).decode() for one in piece.items)


ITEMS = st.lists(
    st.builds(frame, st.floats(0, 90), st.integers(1, 64))
    | st.builds(text, st.floats(0, 90), st.text("ab", max_size=40)),
    min_size=1,
    max_size=12,
)
LAYOUTS = st.builds(
    layout,
    image_tokens=st.integers(1, 6) | st.just(lambda width, _: 1 + width // 16),
    image_start=st.sampled_from([(), (7,)]),
    image_end=st.sampled_from([(), (8,)]),
    document_end=st.sampled_from([(), (9,), (9, 9)]),
)


@given(ITEMS, LAYOUTS, st.integers(10, 60))
def test_pieces_fit_the_budget_and_hold_everything_in_order(
    items: list[Frame | Text], how: TokenLayout, budget: int
) -> None:
    whole = document(*items)
    cut = pieces(whole, how, budget)
    assert all(0 <= piece.size <= budget for piece in cut)
    assert [piece.origin.piece for piece in cut] == list(range(len(cut)))
    assert [piece.origin.last for piece in cut] == [False] * (len(cut) - 1) + [True]
    parts = [one for piece in cut for one in piece.items]
    frames = [one.item for one in parts if isinstance(one.item, Frame)]
    assert frames == whole.frames  # none twice, so none cut
    ids = [number for one in parts for number in one.ids.tolist()]
    uncut = pieces(whole, how, 10_000)
    assert ids == [number for one in uncut[0].items for number in one.ids.tolist()]
    order = [id(one.item) for one in parts]
    assert list(dict.fromkeys(order)) == list(dict.fromkeys(id(item) for item in items))


@given(ITEMS, st.integers(10, 60))
def test_a_document_that_fits_is_one_piece(items: list[Frame | Text], budget: int) -> None:
    (whole,) = pieces(document(*items), layout(), 10_000)
    assert len(pieces(document(*items), layout(), max(budget, whole.size))) == 1


def test_a_cut_comes_before_a_frame_rather_than_between_it_and_its_text() -> None:
    whole = document(frame(0.0), text(0.0, "aaaa"), frame(2.0), text(2.0, "bbbb"))
    assert [kinds(piece) for piece in pieces(whole, layout(), 14)] == ["F aaaa", "F bbbb"]


def test_frames_that_do_not_fit_beside_their_text_are_parted_from_it() -> None:
    whole = document(frame(0.0), frame(1.0), text(0.0, "aaaa"))
    assert [kinds(piece) for piece in pieces(whole, layout(), 8)] == ["F F", "aaaa"]


def test_a_text_longer_than_the_budget_is_cut_and_its_parts_keep_its_times() -> None:
    cut = pieces(document(frame(0.0), text(3.0, "abcdefghij")), layout(), 5)
    assert [kinds(piece) for piece in cut] == ["F", "abcde", "fghij"]
    assert {(one.item.start, one.item.end) for piece in cut[1:] for one in piece.items} == {(3.0, 4.0)}  # type: ignore[union-attr]


def test_images_have_their_start_and_end_and_a_document_its_end() -> None:
    how = layout(image_start=[1, 2], image_end=[3], document_end=[9])
    (piece,) = pieces(document(frame(0.0), text(0.0, "a")), how, 20)
    assert piece.items[0].ids.tolist() == [1, 2, IMAGE, IMAGE, IMAGE, IMAGE, 3]
    assert piece.size == 7 + 1 + 1


def test_an_image_that_does_not_fit_is_named_with_its_size() -> None:
    with pytest.raises(UsageError, match="k-0: an image of 64x48 pixels has 4 tokens, but the budget leaves 3"):
        pieces(document(frame(0.0)), layout(), 3)


def test_a_text_that_makes_the_image_token_is_refused() -> None:
    with pytest.raises(UsageError, match="k-0: tokenize gave the image token 97 for 'a'"):
        pieces(document(text(0.0, "a")), layout(image_token=ord("a")), 30)


@pytest.mark.slow  # transformers takes long to import
@given(st.integers(16, 3000), st.integers(16, 3000), st.sampled_from([(28, 4, 1280), (16, 1, 1024), (32, 64, 256)]))
def test_patch_tokens_are_those_of_qwen2_vl(width: int, height: int, settings: tuple[int, int, int]) -> None:
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    side, least, most = settings
    rows, columns = smart_resize(height, width, side, least * side**2, most * side**2)
    assert PatchTokens(side, least, most)(width, height) == rows * columns // side**2


def test_emu3_5_has_1024_tokens_for_512_pixels_squared() -> None:
    assert PatchTokens(side=16, least=1, most=1024)(512, 512) == 1024
    assert PatchTokens(side=16, least=1, most=1024)(1920, 1080) <= 1024


@given(st.integers(28, 2000), st.floats(0.2, 5.0))
def test_patch_tokens_agree_with_the_table_of_models(width: int, aspect: float) -> None:
    height = max(28, round(width * aspect))
    assert PatchTokens()(width, height) == image_model("qwen2-vl").tokens(width, height)
