"""Which texts stand beside the images of a document."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storyloom.export.texts import with_texts
from storyloom.format.sample import Sample
from storyloom.format.texts import Item, placed, text_numbers
from tests.storyloom.format.test_sample import KEY, spoken, values


def document(**changes: Any) -> Sample:
    """Three images and three texts; nothing is said at the last image, and the second text belongs to none."""
    example = values(
        texts=[None, "so", "um", None, "then", None],
        images=[f"{KEY}.000.jpg", None, None, f"{KEY}.001.jpg", None, f"{KEY}.002.jpg"],
        image_text_index=[0, 2, -1],
        **{f"image_{name}": [value] * 3 for name, value in (("width", 64), ("height", 48), ("shift", 0.0))},
        image_time=[0.0, 2.0, 3.9],
        image_clip_score=[0.3, 0.2, -1.0],
        image_caption=["a cup", "", "a cat"],
        image_fused=["", "then a dog", ""],
        image_fuse_status=["kept:unsure", "fused", "failed:no_answer"],
        text_start=[0.0, 1.5, 2.0],
        text_end=[1.5, 2.0, 3.5],
        text_source=["asr", "asr", "asr"],
        **spoken(
            words=["so", "um", "then"], text_words=[1, 1, 1], word_start=[0.0, 1.5, 2.0], word_end=[0.5, 2.0, 3.5]
        ),
    )
    return Sample.model_validate(example | changes)


def read(sample: Sample) -> list[str]:
    """A document's images by number, and its texts."""
    pairs = zip(sample.texts, sample.images, strict=True)
    return [text or (name or "").removesuffix(".jpg")[-1] for text, name in pairs]


def test_texts_are_the_document_as_it_is() -> None:
    assert with_texts(document(), "text") == document()


def test_captions_stand_after_their_images_and_nothing_said_is_left() -> None:
    sample = with_texts(document(), "caption")
    assert read(sample) == ["0", "a cup", "1", "2", "a cat"]
    assert sample.image_text_index == [0, -1, 1]
    assert (sample.text_start, sample.text_end, sample.text_source) == ([0.0, 3.9], [0.0, 3.9], ["caption"] * 2)
    assert (sample.words, sample.text_words) == ([], [0, 0])


def test_fused_texts_stand_after_their_images_and_what_was_kept_stays() -> None:
    sample = with_texts(document(), "fused")
    assert read(sample) == ["0", "so", "um", "1", "then a dog", "2"]
    assert sample.image_text_index == [0, 2, -1]
    assert (sample.text_start, sample.text_end) == ([0.0, 1.5, 2.0], [1.5, 2.0, 3.5])
    assert sample.text_source == ["asr", "asr", "fused"]
    assert (sample.words, sample.text_words) == (["so", "um"], [1, 1, 0])


def test_what_was_said_at_two_images_stands_once_after_the_first() -> None:
    sample = with_texts(
        document(image_text_index=[2, 2, -1], image_fused=["", "", ""], image_fuse_status=["off"] * 3), "fused"
    )
    assert read(sample) == ["0", "then", "so", "um", "1", "2"]
    assert sample.image_text_index == [0, 0, -1]


def test_what_was_said_is_left_out_where_another_image_s_fused_text_says_it() -> None:
    sample = with_texts(document(image_text_index=[2, 2, -1]), "fused")
    assert read(sample) == ["0", "so", "um", "1", "then a dog", "2"]
    assert sample.image_text_index == [-1, 2, -1]


CHOICES = st.sampled_from(["text", "caption", "fused"])


@st.composite
def documents(draw: st.DrawFn) -> tuple[list[bool], list[int], list[str], list[str]]:
    is_image = draw(st.lists(st.booleans(), min_size=1, max_size=12))
    images, texts = is_image.count(True), is_image.count(False)
    made = st.lists(st.sampled_from(["", "a cup"]), min_size=images, max_size=images)
    text_of = draw(st.lists(st.integers(-1, texts - 1), min_size=images, max_size=images))
    return is_image, text_of, draw(made), draw(made)


@given(CHOICES, documents())
def test_images_keep_their_order_and_no_text_stands_twice(choice: Any, given_: tuple[Any, ...]) -> None:
    is_image, text_of, captions, fused = given_
    items = list(placed(choice, is_image, text_of, captions, fused))
    assert [item for item in items if item.kind == "image"] == [Item("image", n) for n in range(len(text_of))]
    assert len(set(items)) == len(items)


@given(documents())
def test_everything_said_is_there_or_fused(given_: tuple[Any, ...]) -> None:
    is_image, text_of, captions, fused = given_
    items = list(placed("fused", is_image, text_of, captions, fused))
    there = {item.number for item in items if item.kind == "text"}
    told = {text for text, one in zip(text_of, fused, strict=True) if one}
    assert there == set(range(is_image.count(False))) - told


@given(CHOICES, documents())
def test_an_image_s_own_text_is_what_stands_after_it_or_what_was_said_at_it(
    choice: Any, given_: tuple[Any, ...]
) -> None:
    is_image, text_of, captions, fused = given_
    items = list(placed(choice, is_image, text_of, captions, fused))
    texts = [item for item in items if item.kind != "image"]
    for image, number in enumerate(text_numbers(items, text_of)):
        if number >= 0:
            assert texts[number] in (Item("text", text_of[image]), Item("caption", image), Item("fused", image))
        else:
            assert Item("text", text_of[image]) not in texts


@pytest.mark.parametrize("choice", ["caption", "fused"])
def test_an_image_without_such_a_text_stands_alone(choice: Any) -> None:
    items = placed(choice, [True, True], [-1, -1], ["", ""], ["", ""])
    assert list(items) == [Item("image", 0), Item("image", 1)]
