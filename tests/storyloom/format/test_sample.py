"""The model of KEY.json: what it accepts, how it is written, and that it refuses every breach of the format."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from storyloom.format.sample import ADDED, FormatError, Sample, TimedWord, added, frames_first, refusal

KEY = "0123456789abcdef0123-0000"


def values(**changes: Any) -> dict[str, Any]:
    """A valid document, with changes."""
    example: dict[str, Any] = {
        "schema": "storyloom/2",
        "sample_id": KEY,
        "texts": [None, "so here we…", None, "then…"],
        "images": [f"{KEY}.000.jpg", None, f"{KEY}.001.jpg", None],
        "image_time": [0.0, 2.0],
        "image_width": [640, 640],
        "image_height": [360, 360],
        "image_text_index": [0, 1],
        "image_clip_score": [0.31, 0.27],
        "image_shift": [0.0, -1.5],
        "image_caption": ["", ""],
        "image_fused": ["", ""],
        "image_fuse_status": ["off", "off"],
        "text_start": [0.0, 2.0],
        "text_end": [1.5, 3.5],
        "text_source": ["asr", "asr"],
        "text_words": [0, 0],
        "words": [],
        "word_start": [],
        "word_end": [],
        "video_id": "v",
        "video_url": "https://example.org/v.mp4",
        "title": "",
        "doc_start": 0.0,
        "doc_end": 4.0,
        "language": "en",
        "license": "",
        "extra": "{}",
        "channel": "",
        "upload_date": "",
        "chapters": [],
        "chapter_start": [],
        "lag": 0.0,
        "lag_confidence": 0.0,
        "video_start": 0.0,
    }
    return example | changes


def rule(changed: dict[str, Any], **context: Any) -> str:
    """The rule that is broken."""
    with pytest.raises(ValidationError) as refused:
        Sample.model_validate(changed, context=context or None)
    return refusal("some-key", refused.value).rule


def test_the_documented_example_is_accepted() -> None:
    sample = Sample.model_validate(values(), context={"max_images": 2})
    assert sample.spoken == ["so here we…", "then…"]
    assert sample.pictures == [f"{KEY}.000.jpg", f"{KEY}.001.jpg"]


@pytest.mark.parametrize("name", ["title", "license", "video_url", "video_id", "language", "channel"])
def test_a_name_is_no_book(name: str) -> None:
    assert rule(values(**{name: "x" * 16_385})) == "string_too_long"


def test_the_bytes_are_sorted_compact_utf8_with_every_time_a_float() -> None:
    content = Sample.model_validate(values()).to_json_bytes()
    assert content.startswith(
        b'{"channel":"","chapter_start":[],"chapters":[],"doc_end":4.0,"doc_start":0.0,"extra":"{}",'
    )
    assert b'"image_clip_score":[0.31,0.27],"image_fuse_status":["off","off"],"image_fused":["",""]' in content
    assert "so here we…".encode() in content
    assert list(json.loads(content)) == sorted(values())


def test_what_was_written_reads_back_the_same() -> None:
    sample = Sample.model_validate(values())
    assert Sample.model_validate_json(sample.to_json_bytes()) == sample


@pytest.mark.parametrize("name", sorted(values()))
def test_a_missing_key_is_refused(name: str) -> None:
    changed = values()
    del changed[name]
    assert rule(changed) == "missing"


def test_an_unknown_key_is_refused() -> None:
    assert rule(values(more=1)) == "extra_forbidden"


@pytest.mark.parametrize("name", ["title", "license", "language", "video_id", "doc_start", "image_time", "texts"])
def test_null_is_refused(name: str) -> None:
    assert rule(values(**{name: None})) in {"string_type", "not_a_float", "list_type"}


@pytest.mark.parametrize(
    "key", ["a.b", "Abc", "__a", "_a", "-a", ".a", "", "ä", "a" * 65, "0123456789abcdef0123-0000\n", "a b", "a/b"]
)
def test_a_key_that_readers_cut_or_drop_is_refused(key: str) -> None:
    images = [f"{key}.000.jpg", None, f"{key}.001.jpg", None]
    assert rule(values(sample_id=key, images=images)) == "key_pattern"


def test_a_key_of_64_characters_is_accepted() -> None:
    key = "a" * 64
    images = [f"{key}.000.jpg", None, f"{key}.001.jpg", None]
    assert Sample.model_validate(values(sample_id=key, images=images)).sample_id == key


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("doc_end", 4),
        ("doc_start", True),
        ("image_time", [0, 2.0]),
        ("image_shift", [0.0, -1]),
        ("text_end", ["1.5", 3.5]),
    ],
)
def test_a_time_or_score_that_is_no_float_is_refused(name: str, value: Any) -> None:
    assert rule(values(**{name: value})) == "not_a_float"


def test_an_integer_time_in_json_is_refused() -> None:
    content = json.dumps(values()).replace('"doc_end": 4.0', '"doc_end": 4')
    with pytest.raises(ValidationError, match="must be a float"):
        Sample.model_validate_json(content)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["image_clip_score", "image_shift", "text_end"])
def test_nan_and_infinity_are_refused(name: str, value: float) -> None:
    assert rule(values(**{name: [0.0, value]})) in {"finite_number", "greater_than_equal", "less_than_equal"}


@pytest.mark.parametrize(
    ("expected", "changes"),
    [
        ("parallel_lists", {"texts": [None, "a", None]}),
        ("one_of_pair", {"texts": ["b", "a", None, "c"]}),
        ("one_of_pair", {"texts": [None, None, None, "c"]}),
        ("no_image", {"images": [None, None], "texts": ["a", "b"]}),
        ("no_text", {"images": [f"{KEY}.000.jpg"], "texts": [None]}),
        ("no_text", {"images": [], "texts": []}),
        ("member_name", {"images": ["000.jpg", None, f"{KEY}.001.jpg", None]}),
        ("member_name", {"images": [f"{KEY}.000.jpg", None, f"{KEY}.002.jpg", None]}),
        ("member_name", {"images": [f"{KEY}.000.jpeg", None, f"{KEY}.001.jpg", None]}),
        ("one_value_each", {"image_width": [640]}),
        ("one_value_each", {"text_source": ["asr", "asr", "asr"]}),
        ("text_index", {"image_text_index": [0, 2]}),
        ("text_index", {"image_text_index": [-2, 0]}),
        ("int_type", {"image_text_index": [0.0, 1.0]}),
        ("greater_than_equal", {"image_height": [0, 360]}),
        ("greater_than_equal", {"image_time": [-1.0, 2.0]}),
        ("less_than_equal", {"image_clip_score": [0.3, 1.5]}),
        ("literal_error", {"schema": "storyloom/0"}),
        ("string_too_short", {"text_source": ["asr", ""]}),
        ("text_interval", {"text_end": [1.5, 1.0]}),
        ("time_order", {"image_time": [2.0, 0.0]}),
        ("time_order", {"text_start": [2.0, 1.0], "text_end": [3.0, 3.5]}),
        ("position_order", {"image_time": [0.0, 3.6]}),
        ("document_span", {"doc_end": 3.0}),
        ("document_span", {"doc_start": 1.0}),
    ],
)
def test_a_breach_of_the_structure_is_refused(expected: str, changes: dict[str, Any]) -> None:
    assert rule(values(**changes)) == expected


@pytest.mark.parametrize("token", ["<image>", "<video>", "<audio>", "<|endofchunk|>"])
def test_a_placeholder_of_a_training_loader_is_refused(token: str) -> None:
    assert rule(values(texts=[None, f"see {token} here", None, "then"])) == "placeholder"


@pytest.mark.parametrize("character", ["\x00", "\n", "\t", "\x7f", "\x9f"])
def test_a_control_character_is_refused(character: str) -> None:
    assert rule(values(texts=[None, f"a{character}b", None, "then"])) == "control_character"


def test_a_text_of_spaces_is_refused() -> None:
    assert rule(values(texts=[None, "  ", None, "then"])) == "blank_text"


def test_more_images_than_the_dataset_allows_are_refused() -> None:
    assert rule(values(), max_images=1) == "too_many_images"


def test_a_refusal_names_key_rule_and_value() -> None:
    with pytest.raises(ValidationError) as refused:
        Sample.model_validate(values(texts=[None, "a {brace} <image>", None, "then"]))
    error = refusal(KEY, refused.value)
    assert isinstance(error, FormatError)
    assert (error.key, error.rule) == (KEY, "placeholder")
    assert str(error) == (
        f"{KEY}: text 'a {{brace}} <image>' holds '<image>', which is no text to a trainer [placeholder]"
    )


def test_a_frame_stands_before_the_sentence_during_which_it_was_seen() -> None:
    assert frames_first([1.0], [(0.0, 2.0), (2.0, 3.0)]) == [True, False, False]


def test_a_frame_at_the_end_of_a_sentence_stands_after_it() -> None:
    assert frames_first([2.0], [(0.0, 2.0), (3.0, 4.0)]) == [False, True, False]


def test_a_frame_at_the_start_of_an_empty_sentence_comes_first() -> None:
    assert frames_first([2.0], [(2.0, 2.0)]) == [True, False]


def test_a_frame_stands_right_before_its_sentence_even_if_an_empty_one_starts_with_it() -> None:
    assert frames_first([0.1], [(0.0, 0.0), (0.0, 0.2)]) == [False, True, False]


def test_frames_between_sentences_stand_between_them() -> None:
    assert frames_first([2.5, 2.6, 5.0], [(0.0, 2.0), (3.0, 4.0)]) == [False, True, True, False, True]


TENTHS = st.integers(0, 300).map(lambda n: n / 10)


@given(
    st.lists(TENTHS, min_size=1, max_size=8).map(sorted),
    st.lists(st.tuples(TENTHS, TENTHS).map(lambda pair: (min(pair), max(pair))), min_size=1, max_size=8).map(sorted),
)
def test_a_frame_never_stands_after_a_sentence_that_holds_it_nor_before_one_that_ended(
    times: list[float], intervals: list[tuple[float, float]]
) -> None:
    order = frames_first(times, intervals)
    assert order.count(True) == len(times)
    assert order.count(False) == len(intervals)
    seen, said = 0, 0
    for is_image in order:
        if is_image:
            seen += 1
            continue
        start, end = intervals[said]
        assert all(not start <= time < end for time in times[seen:])
        assert all(time > start for time in times[seen:])
        begun = intervals[: said + 1]
        assert all(time <= start or any(s <= time < e for s, e in begun) for time in times[:seen])
        said += 1


def spoken(**changes: Any) -> dict[str, Any]:
    """Words with times, with changes."""
    timed = {"words": ["so", "here", "then…"], "word_start": [0.0, 0.5, 2.0], "word_end": [0.5, 1.5, 3.5]}
    return {**timed, "text_words": [2, 1], **changes}


def test_the_words_of_a_text_are_those_that_it_counts() -> None:
    sample = Sample.model_validate(values(**spoken()))
    first, second = [TimedWord("so", 0.0, 0.5), TimedWord("here", 0.5, 1.5)], [TimedWord("then…", 2.0, 3.5)]
    assert sample.words_of_texts() == [first, second]


def test_captions_and_fused_texts_are_accepted_with_their_statuses() -> None:
    shown = {"image_caption": ["a cup", ""], "image_fused": ["so here is a cup", ""]}
    sample = Sample.model_validate(values(**shown, image_fuse_status=["fused", "failed:no_answer"]))
    assert (sample.image_caption, sample.image_fused) == tuple(shown.values())


def version_1() -> dict[str, Any]:
    return {name: value for name, value in values(schema="storyloom/1").items() if name not in ADDED}


def test_a_document_of_version_1_is_read_with_empty_values_and_written_as_it_was() -> None:
    sample = Sample.model_validate(version_1())
    assert {name: getattr(sample, name) for name in ADDED} == added(images=2, texts=2)
    assert json.loads(sample.to_json_bytes()) == version_1()


def test_version_1_lets_tokens_through_that_version_2_refuses() -> None:
    texts = [None, "so <|im_end|>", None, "then"]
    assert Sample.model_validate(version_1() | {"texts": texts}).spoken == ["so <|im_end|>", "then"]
    assert rule(values(texts=texts)) == "placeholder"


def test_a_document_of_version_1_has_no_key_of_version_2() -> None:
    assert rule(values(schema="storyloom/1")) == "unknown_key"


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({"extra": "[]"}, "extra"),
        ({"extra": ""}, "extra"),
        ({"extra": "[" * 100_000}, "extra"),
        ({"upload_date": "20240531"}, "upload_date"),
        ({"upload_date": "2024-02-30"}, "upload_date"),
        ({"chapters": ["Intro"]}, "chapters"),
        ({"chapters": ["b", "a"], "chapter_start": [2.0, 1.0]}, "chapters"),
        ({"video_start": -1.0}, "greater_than_equal"),
        ({"lag": 1}, "not_a_float"),
        ({"lag_confidence": 1.5}, "less_than_equal"),
        ({"schema": "storyloom/3"}, "literal_error"),
        ({"image_caption": ["a cup"]}, "one_value_each"),
        ({"image_caption": ["see <image>", ""]}, "placeholder"),
        ({"image_caption": ["a\ncup", ""]}, "control_character"),
        ({"image_caption": [" ", ""]}, "blank_text"),
        ({"image_fused": ["a cup", ""]}, "fuse_status"),
        ({"image_fuse_status": ["fused", "off"]}, "fuse_status"),
        ({"image_fuse_status": ["kept:", "off"]}, "fuse_status"),
        ({"image_fuse_status": ["kept:Short", "off"]}, "fuse_status"),
        ({"image_fuse_status": ["off\n", "off"]}, "fuse_status"),
        ({"image_fused": ["</s>", ""], "image_fuse_status": ["fused", "off"]}, "placeholder"),
        (spoken(word_end=[0.5, 1.5]), "word_count"),
        (spoken(text_words=[2, 0]), "word_count"),
        (spoken(text_words=[4, -1]), "greater_than_equal"),
        (spoken(word_start=[0.5, 0.0, 2.0], word_end=[0.5, 1.5, 3.0]), "time_order"),
        (spoken(word_end=[0.5, 0.5, 3.0], word_start=[0.0, 0.6, 2.0]), "word_interval"),
        (spoken(word_end=[0.5, 1.6, 3.0]), "word_interval"),
        (spoken(text_words=[1, 2]), "word_interval"),
        (spoken(words=["so", "", "then"]), "blank_text"),
        (spoken(words=["<im", "age>", "then"]), "placeholder"),
        (spoken(words=["<|im", "end|>", "then"]), "placeholder"),
    ],
)
def test_a_wrong_value_of_the_keys_of_version_2_is_refused(changes: dict[str, Any], broken: str) -> None:
    assert rule(values(**changes)) == broken
