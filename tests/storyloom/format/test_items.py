"""The table beside each shard: what it says, and that a reader is safe from one that says something else."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stages.write.stage import WriteConfig, write_group
from storyloom.errors import UsageError
from storyloom.format import items
from storyloom.format.items import OPTIONS, ROWS, SCHEMA, Items, read_items, rows_of, tokenizer_of, write_items
from storyloom.format.manifest import finished_dataset
from storyloom.format.pages import pages
from storyloom.format.reader import ShardReader
from storyloom.format.stored import BadShard
from storyloom.format.tokenizer import TextTokenizer
from tests.documents import dataset, document, read_documents, video, videos


def row(number: int = 0) -> Items:
    return Items(f"key-{number:04d}", [True, False, True], [640, 360], [360, 640], [12], [3], [45, 80], [80, 45])


def written(rows: list[Items], tokenizer: str = "") -> bytes:
    file = io.BytesIO()
    write_items(file, rows, tokenizer)
    return file.getvalue()


def test_what_is_written_is_read_again() -> None:
    rows = [row(number) for number in range(ROWS + 1)]
    table = read_items(written(rows, "ab" * 32), len(rows))
    assert list(rows_of(table)) == rows
    assert tokenizer_of(table.schema.metadata) == "ab" * 32
    assert written(rows) == written(rows)


def test_each_document_of_a_shard_has_its_row_in_the_order_of_the_shard(tmp_path: Path) -> None:
    dataset(tmp_path, [videos(5), [video(f"other-{n}", document()) for n in range(6)]], WriteConfig(shard_bytes=20_000))
    reader = ShardReader(tmp_path / "out")
    shards = finished_dataset(tmp_path / "out").shards
    assert len(shards) > 1
    for shard in shards:
        samples = [one.sample() for one in reader.documents(shard)]
        assert list(rows_of(reader.items(shard))) == [Items.of(sample) for sample in samples]


def test_the_sizes_of_images_and_the_characters_of_texts_are_counted(tmp_path: Path) -> None:
    (shard,) = write_group([video("a", document(), document(1, frames=3))], tmp_path, WriteConfig(), 0)
    documents = read_documents(tmp_path).values()
    assert shard.nchars == sum(len(text) for one in documents for text in one["texts"] if text)
    assert sum(shard.image_sizes.values()) == shard.nimages == 5


def test_a_dataset_without_the_table_says_what_to_do(tmp_path: Path) -> None:
    dataset(tmp_path, [videos(2)], WriteConfig())
    (shard,) = finished_dataset(tmp_path / "out").shards
    (tmp_path / "out/data/train/shard-000000.parquet").unlink()
    with pytest.raises(BadShard, match=r"shard-000000\.parquet: is not there; .* Write it again with `storyloom run"):
        ShardReader(tmp_path / "out").items(shard)


def test_the_tables_of_two_shards_cannot_be_exchanged(tmp_path: Path) -> None:
    dataset(tmp_path, [videos(2)], WriteConfig(shard_bytes=1))
    first, second, *_ = finished_dataset(tmp_path / "out").shards
    tables = [(tmp_path / "out" / one.file).with_suffix(".parquet") for one in (first, second)]
    contents = [table.read_bytes() for table in reversed(tables)]
    for table, content in zip(tables, contents, strict=True):
        table.write_bytes(content)
    assert first.nsamples == second.nsamples
    with pytest.raises(BadShard, match=r"shard-000000\.parquet: it is another table than the one whose sha256"):
        ShardReader(tmp_path / "out").items(first)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1"])
def test_what_is_no_parquet_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be read as Parquet"):
        read_items(content, 1)


def test_a_table_of_other_columns_is_refused() -> None:
    file = io.BytesIO()
    pq.write_table(pa.table({"key": ["a"]}), file)
    with pytest.raises(ValueError, match="its columns are not key, is_image, "):
        read_items(file.getvalue(), 1)


def test_a_table_of_more_rows_than_documents_is_refused() -> None:
    with pytest.raises(ValueError, match="it has 2 rows, but manifest"):
        read_items(written([row(), row(1)]), 1)


def test_a_row_group_that_is_too_large_is_refused() -> None:
    file = io.BytesIO()
    pq.write_table(
        pa.Table.from_pylist([{name: [] for name in SCHEMA.names} | {"key": "a"}] * (ROWS + 1), SCHEMA), file
    )
    with pytest.raises(ValueError, match=f"row group 0 has {ROWS + 1} rows"):
        read_items(file.getvalue(), ROWS + 1)


def bomb(images: int) -> bytes:
    """A table whose one document has so many equal images: a few hundred bytes, whatever the number."""
    line: dict[str, Any] = {name: [] for name in SCHEMA.names} | {"key": "a", "image_width": [1] * images}
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([line], SCHEMA), file, **OPTIONS)
    return file.getvalue()


def denied(content: bytes, images: int) -> bytes:
    """The table with a footer that says that there is one image; a varint may have zeros at its end."""
    stated = b"".join(bytes([2 * images >> shift & 127 | 128]) for shift in (0, 7)) + bytes([2 * images >> 14])
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    return content[:footer] + content[footer:].replace(stated, b"\x82\x80\0")


@pytest.mark.parametrize("change", [lambda content: content, lambda content: denied(content, 100_000)])
def test_a_small_file_of_very_many_values_is_not_unpacked(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[bytes], bytes]
) -> None:
    content = change(bomb(100_000))
    assert len(content) < 5_000
    monkeypatch.setattr(items, "MOST_VALUES", 99_999)
    with pytest.raises(ValueError, match="it has more than 99999 values"):
        read_items(content, 1)


def test_a_footer_that_denies_its_values_is_believed_by_arrow() -> None:
    """Why pages are looked at: the footer alone does not bound what Arrow unpacks."""
    content = denied(bomb(100_000), 100_000)
    with pq.ParquetFile(pa.BufferReader(content)) as file:
        assert file.metadata.row_group(0).column(2).num_values == 1
        assert len(file.read()["image_width"][0]) == 100_000


ONE_VALUE = b"\x15\x02\x15\x00\x00"
"""Thrift's compact protocol: 1: one value, 2: encoding 0."""

VERY_MANY = b"\x15\x80\x89\x7a\x35\x00\x00"
"""1: a million values, 4: encoding 0."""


def test_a_page_is_counted_by_the_header_of_its_type_alone() -> None:
    """Of a page of version 2 (type 3) Arrow believes the header of that version, whatever other one is there."""
    sizes = b"\x15\x06\x15\x00\x15\x00"
    honest = sizes + b"\x5c" + VERY_MANY + b"\x00"
    assert [page.values for page in pages(honest, 0, len(honest))] == [1_000_000]
    denied = sizes + b"\x2c" + ONE_VALUE + b"\x3c" + VERY_MANY + b"\x00"
    with pytest.raises(ValueError, match="no header of a page"):
        list(pages(denied, 0, len(denied)))


def test_one_key_does_not_stand_for_many() -> None:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([{name: [] for name in SCHEMA.names} | {"key": "a"}], SCHEMA), file)
    with pytest.raises(ValueError, match="key is encoded otherwise than storyloom writes it"):
        read_items(file.getvalue(), 1)


@given(place=st.integers(0, 10**6), byte=st.integers(0, 255))
@example(place=1004, byte=32)  # a histogram of another length in the footer: pyarrow 26 ended the process
@settings(max_examples=150)
def test_a_table_with_another_byte_is_read_or_refused(place: int, byte: int) -> None:
    content = bytearray(written([row(), row(1)]))
    content[place % len(content)] = byte
    with contextlib.suppress(ValueError):
        assert len(read_items(bytes(content), 2)) == 2


def tokenizer(folder: Path) -> Path:
    """A tokenizer of words, saved in a folder."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    made = Tokenizer(models.WordLevel({"[UNK]": 0, "[CLS]": 1}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 1)])
    made.save(str(folder / "tokenizer.json"))
    return folder


def test_texts_are_counted_by_the_tokenizer_without_special_tokens(tmp_path: Path) -> None:
    made = TextTokenizer(tokenizer(tmp_path))
    assert made.count(["one two three", "one"]) == [3, 1]


def test_a_tokenizer_that_has_no_token_for_a_word_is_named(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models

    Tokenizer(models.WordLevel({"one": 0}, unk_token="?")).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(UsageError, match=r"tokenizer\.json cannot split the texts: .*Missing"):
        TextTokenizer(tmp_path).count(["two"])


@pytest.mark.parametrize(
    ("part", "why"),
    [
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}}, "is no tokenizer that"),
        ({"pre_tokenizer": {"type": "FixedLength", "length": 0}}, "cannot split the texts: chunk size"),
    ],
)
def test_a_tokenizer_over_which_the_library_panics_is_named(tmp_path: Path, part: dict[str, Any], why: str) -> None:
    file = tokenizer(tmp_path) / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | part))
    with pytest.raises(UsageError, match=f"tokenizer.json {why}"):
        TextTokenizer(tmp_path).count(["two"])


def test_the_tokens_of_texts_reach_the_tables_of_merged_rests_and_the_manifest(tmp_path: Path) -> None:
    made = TextTokenizer(tokenizer(tmp_path))
    dataset(tmp_path, [videos(3), [video("other", document())]], WriteConfig(), made)
    (shard,) = finished_dataset(tmp_path / "out").shards
    table = ShardReader(tmp_path / "out").items(shard)
    documents = read_documents(tmp_path / "out/data/train")
    wanted = [[len(text.split()) for text in one["texts"] if text] for one in documents.values()]
    assert [list(one.text_tokens) for one in rows_of(table)] == wanted
    assert shard.ntokens == sum(map(sum, wanted)) > 0
    assert tokenizer_of(table.schema.metadata) == made.sha256
