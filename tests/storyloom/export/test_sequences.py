"""OBELICS rows that torchtitan does not leave out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from pipeline.cli import app
from stages.write.stage import WriteConfig
from storyloom.errors import UsageError
from storyloom.export.names import FormatName
from storyloom.export.read import SourceDocument
from storyloom.export.run import export
from storyloom.export.sequences import Rows, SequenceRule, sequence_rule
from storyloom.format.sample import Sample
from tests.documents import complete, dataset, document, video

START, PAD, STOP, EOS = "\x01", "\x02", "\x03", "\x04"


def rule(length: int, image: int = 5) -> SequenceRule:
    """So many tokens for each image, and one for each byte."""
    return SequenceRule(
        length, lambda _width, _height: image + 2, lambda text: len(text.encode()), {"image_tokens": image}
    )


def of(texts: list[str | None]) -> SourceDocument:
    """A document with these texts by position; None for an image. The times are the positions."""
    images = [place for place, text in enumerate(texts) if text is None]
    spoken = [place for place, text in enumerate(texts) if text is not None]
    names = [f"k.{number:03d}.jpg" for number in range(len(images))]
    shown = iter(names)
    values: dict[str, Any] = {
        "sample_id": "k",
        "texts": texts,
        "images": [next(shown) if text is None else None for text in texts],
        "image_time": list(map(float, images)),
        "image_text_index": [n % len(spoken) if spoken else -1 for n in range(len(images))],
        "text_start": list(map(float, spoken)),
        "text_end": [place + 1.0 for place in spoken],
        "text_source": ["asr"] * len(spoken),
        "text_words": [1] * len(spoken),
        "words": [f"w{place}" for place in spoken],
        "word_start": list(map(float, spoken)),
        "word_end": [place + 1.0 for place in spoken],
    }
    rest = {name: [0] * len(images) for name in Sample.model_fields if name.startswith("image_")}
    return SourceDocument("shard", Sample.model_construct(**(rest | values)), b"{}", [b"jpeg"] * len(images))


def titan_tokens(texts: list[str | None], image: int) -> list[str]:
    """What torchtitan makes of a row, for a tokenizer of bytes."""
    return list(titan_text(texts, image).encode().decode("latin-1"))


def titan_text(texts: list[str | None], image: int) -> str:
    """The text that torchtitan makes of a row: `process_text_with_images`."""
    parts = [START + PAD * image + STOP if text is None else text for text in texts]
    return "".join(parts).strip() + EOS


TEXT = st.text("ab 面,", min_size=1, max_size=40).map(str.strip).filter(bool)
TEXTS = st.lists(st.none() | TEXT, min_size=1)


@given(TEXTS, st.integers(14, 60))
def test_no_row_is_longer_than_a_sequence_and_nothing_is_lost(texts: list[str | None], length: int) -> None:
    one = of(texts)
    rows = list(Rows(rule(length)).of([one]))
    assert all(len(titan_tokens(row.sample.texts, 5)) <= length for row in rows)
    assert [name for row in rows for name in row.sample.pictures] == one.sample.pictures
    said = "".join(text or "" for row in rows for text in row.sample.texts)
    assert "".join(said.split()) == "".join("".join(text or "" for text in texts).split())
    assert [len(row.jpegs) for row in rows] == [len(row.sample.pictures) for row in rows]


@given(TEXTS, st.integers(14, 60))
def test_each_row_s_columns_are_as_long_as_its_images_and_texts(texts: list[str | None], length: int) -> None:
    one = of(texts)
    rows = list(Rows(rule(length)).of([one]))
    for row in rows:
        sample = row.sample
        assert len(sample.image_time) == len(sample.pictures)
        assert {len(sample.text_start), len(sample.text_words)} == {len(sample.spoken)}
        assert sum(sample.text_words) == len(sample.words)
        for time, index in zip(sample.image_time, sample.image_text_index, strict=True):
            wanted = one.sample.image_text_index[one.sample.image_time.index(time)]
            assert index == -1 or sample.text_start[index] == one.sample.text_start[wanted]
    assert [word for row in rows for word in row.sample.words] == one.sample.words


def rows_of(texts: list[str | None], length: int, **changes: Any) -> list[list[str | None]]:
    return [row.sample.texts for row in Rows(rule(length, **changes)).of([of(texts)])]


def test_a_cut_comes_before_a_frame_and_not_between_a_frame_and_its_text() -> None:
    assert rows_of([None, "abcd", None, "efgh"], 22) == [[None, "abcd"], [None, "efgh"]]


def test_what_fits_a_row_stays_in_one_and_texts_side_by_side_get_a_space() -> None:
    assert rows_of([None, "ab", "cd", None, "ef"], 26) == [[None, "ab", " cd", None, "ef"]]


def test_a_text_that_alone_is_too_long_is_cut_at_words() -> None:
    assert rows_of([None, "one two three four"], 13) == [[None], ["one two"], ["three four"]]


def test_a_word_that_alone_is_too_long_is_cut_within() -> None:
    assert rows_of(["abcdefghijklmno"], 11) == [["abcdefgh"], ["ijklmno"]]


def test_an_image_that_alone_is_too_long_is_told() -> None:
    with pytest.raises(UsageError, match="takes 22 tokens with its markers, but --sequence-length 20 leaves 17"):
        rows_of([None, "a"], 20, image=20)


def test_a_length_without_room_for_a_letter_is_told() -> None:
    with pytest.raises(UsageError, match="--sequence-length 4 has no room"):
        rows_of(["面"], 4)


def test_without_a_tokenizer_a_text_counts_its_bytes_and_the_space_that_sentencepiece_puts_before_it() -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokens = ["▁", *(f"<0x{byte:02X}>" for byte in range(256))]
    made = Tokenizer(models.BPE({token: n for n, token in enumerate(tokens)}, [], byte_fallback=True))
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.ByteFallback()
    found = sequence_rule(9, 1, None, None)
    assert found
    assert found.text_tokens("é面") == len(made.encode("é面").ids) == 6
    assert found.text_tokens("") == 0


def test_a_text_behind_an_image_counts_as_it_is_split_there(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    parts = ["?", "▁", "a", "b", "▁a", "▁ab"]
    made = Tokenizer(models.BPE({part: n for n, part in enumerate(parts)}, [("▁", "a"), ("▁a", "b")], unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    made.add_special_tokens([PAD])
    made.save(str(tmp_path / "tokenizer.json"))
    found = sequence_rule(11, 1, None, tmp_path)
    assert found
    rows = [row.sample.texts for row in Rows(found).of([of([None, "ab", None, "ab"])])]
    tokens = [len(made.encode("".join(PAD * 3 if text is None else text for text in row)).ids) for row in rows]
    assert tokens == [5, 5]  # 3 of an image, and two letters without a space before them


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sequences")
    some = [complete(video(f"v{n}", document(0, frames=2 + 2 * n, texts=3))) for n in range(3)]
    dataset(folder, [some], WriteConfig(name="spoken"))
    return folder / "out"


def test_an_export_holds_rows_that_torchtitan_takes_and_says_what_was_cut(out: Path, tmp_path: Path) -> None:
    done = export(out, FormatName.OBELICS, tmp_path / "dest", sequences=rule(64, image=20))
    rows = pq.read_table(tmp_path / "dest/data/train-00000.parquet").to_pylist()
    assert all(len(titan_tokens(row["texts"], 20)) <= 64 for row in rows)
    assert all(
        (text is None) != (image is None)
        for row in rows
        for text, image in zip(row["texts"], row["images"], strict=True)
    )
    assert f"3 documents of train became {len(rows)} rows, so that none has over 64 tokens" in done.warnings
    general = [json.loads(row["general_metadata"]) for row in rows]
    for key in {one["sample_id"] for one in general}:
        parts = [one for one in general if one["sample_id"] == key]
        assert [one["row"] for one in parts] == list(range(parts[0]["rows"]))
    record = json.loads((tmp_path / "dest/export.json").read_text())
    assert (record["sequence_length"], record["image_tokens"]) == (64, 20)


def test_images_are_counted_as_a_model_does_and_texts_by_its_tokenizer(counter: Path) -> None:
    found = sequence_rule(4096, None, "qwen3-vl", counter)
    assert found
    assert found.image_tokens(640, 360) == 220 + 2
    assert found.text_tokens("abab") < len("abab")
    assert set(found.counted_by) == {"for", "tokenizer_sha256"}


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small tokenizer of bytes that joins letters, and which has torchtitan's markers as special tokens."""
    from tokenizers import AddedToken, ByteLevelBPETokenizer

    made = ByteLevelBPETokenizer()
    made.train_from_iterator(["abab ab aba bab, a b ab面 面b"] * 9, vocab_size=300, show_progress=False)
    made.add_special_tokens([AddedToken(one, special=True) for one in (START, PAD, STOP, EOS)])
    place = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made.save(str(place))
    return place


@given(TEXTS, st.integers(14, 40))
def test_no_row_is_longer_where_a_tokenizer_joins_letters(counter: Path, texts: list[str | None], length: int) -> None:
    from tokenizers import Tokenizer

    found = sequence_rule(length, 5, None, counter)
    assert found
    whole = Tokenizer.from_file(str(counter))
    for row in Rows(found).of([of(texts)]):
        assert len(whole.encode(titan_text(row.sample.texts, 5)).ids) <= length


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((None, 5, None, None), "count tokens of --sequence-length: give that, too"),
        ((64, None, None, None), "give --for MODEL or --image-tokens N"),
        ((64, 5, "qwen3-vl", None), "give --for MODEL or --image-tokens N"),
        ((64, None, "qwen33-vl", None), "no model 'qwen33-vl', did you mean 'qwen3-vl'"),
        ((64, 5, None, "nowhere/tokenizer.json"), "nowhere/tokenizer.json is not there"),
    ],
)
def test_options_that_make_no_rule_are_told(options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sequence_rule(*options)


def test_an_image_that_a_model_refuses_is_told() -> None:
    found = sequence_rule(64, None, "qwen3-vl", None)
    assert found
    with pytest.raises(UsageError, match="qwen3-vl takes no image of 4000x1 pixels"):
        found.image_tokens(4000, 1)


def test_the_command_counts_as_a_model_does(out: Path, tmp_path: Path) -> None:
    options = ["--to", "obelics", "--sequence-length", "256", "--for", "qwen3-vl"]
    done = CliRunner().invoke(app, ["export", str(out), str(tmp_path / "dest"), *options])
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "dest/export.json").read_text())
    assert (record["sequence_length"], record["for"]) == (256, "qwen3-vl")


def test_other_formats_take_no_length(out: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--sequence-length cuts rows of obelics"):
        export(out, FormatName.MMC4, tmp_path / "dest", sequences=rule(64))
