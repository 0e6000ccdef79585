"""Token counts of a dataset's documents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storyloom.errors import BadDataset, UsageError
from storyloom.format.items import rows_of, write_items
from storyloom.format.layout import items_name
from storyloom.format.manifest import finished_dataset
from storyloom.format.reader import ShardReader
from storyloom.format.tokenizer import TextTokenizer
from storyloom.fs.folder import DataFolder
from storyloom.reader import DocumentDataset, Frame, PlannedDataset, TokenCounts, TokenLayout
from tests.documents import complete, dataset, videos, with_codes
from tests.storyloom.format.test_items import tokenizer
from tests.storyloom.reader.conftest import CONFIG
from tests.storyloom.reader.test_packing import LAYOUT, letters


def test_counts_are_those_of_every_item(out: Path) -> None:
    documents = DocumentDataset(out, rank=1, world_size=2, shuffle=True)
    counts = TokenCounts.measure(documents, LAYOUT)
    whole = list(DocumentDataset(out))
    assert len(counts) == len(whole)
    for number, one in enumerate(whole):
        sizes = [7 if isinstance(item, Frame) else len(letters(item.text)) for item in one.items]
        assert counts.of(number) == (sizes, [isinstance(item, Frame) for item in one.items])


def test_no_picture_is_read(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    as_it_is = DataFolder.read

    def noting(self: DataFolder, ranges: object) -> list[bytes | Exception]:
        found = as_it_is(self, ranges)  # type: ignore[arg-type]
        read.extend(len(one) for one in found if isinstance(one, bytes))
        return found

    monkeypatch.setattr("storyloom.format.reader.JSON_BYTES", 1024)
    monkeypatch.setattr(DataFolder, "read", noting)
    documents = DocumentDataset(out)
    read.clear()
    TokenCounts.measure(documents, LAYOUT)
    assert 0 < sum(read) < sum(path.stat().st_size for path in (out / "data" / "train").glob("*.tar")) / 2


def test_saved_counts_are_loaded_as_they_were(out: Path, tmp_path: Path) -> None:
    documents = DocumentDataset(out)
    counts = TokenCounts.measure(documents, LAYOUT)
    counts.save(tmp_path / "counts.npz")
    found = TokenCounts.load(tmp_path / "counts.npz", documents, LAYOUT)
    assert np.array_equal(found.sizes, counts.sizes)
    assert np.array_equal(found.is_image, counts.is_image)
    assert np.array_equal(found.ends, counts.ends)
    assert found.source == counts.source


def test_counts_of_other_documents_or_another_layout_are_refused(out: Path, tmp_path: Path) -> None:
    documents = DocumentDataset(out)
    TokenCounts.measure(documents, LAYOUT).save(tmp_path / "counts.npz")
    with pytest.raises(UsageError, match="token counts are of split 'train', but here it is 'val'"):
        TokenCounts.load(tmp_path / "counts.npz", DocumentDataset(out, "val"), LAYOUT)
    for other in (
        replace(LAYOUT, tokenize=lambda text: [1] * len(text)),
        replace(LAYOUT, image_tokens=6),
        replace(LAYOUT, image_ids=lambda _: [1]),
    ):
        with pytest.raises(UsageError, match="token counts are of layout"):
            TokenCounts.load(tmp_path / "counts.npz", documents, other)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 and so on", b"words"])
def test_a_file_without_counts_is_refused(out: Path, tmp_path: Path, content: bytes | None) -> None:
    place = tmp_path / "counts.npz"
    if content is not None:
        place.write_bytes(content)
    with pytest.raises(UsageError, match=r"counts\.npz"):
        TokenCounts.load(place, DocumentDataset(out), LAYOUT)


def test_a_damaged_file_of_counts_is_refused_or_read_as_it_was(out: Path, tmp_path: Path) -> None:
    documents = DocumentDataset(out)
    counts = TokenCounts.measure(documents, LAYOUT)
    counts.save(tmp_path / "counts.npz")
    whole = (tmp_path / "counts.npz").read_bytes()
    for place in range(0, len(whole), 7):
        damaged = whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :]
        (tmp_path / "counts.npz").write_bytes(damaged)
        try:
            found = TokenCounts.load(tmp_path / "counts.npz", documents, LAYOUT)
        except UsageError as refused:
            assert "counts.npz" in str(refused) or "token counts" in str(refused)  # noqa: PT017
        else:
            assert np.array_equal(found.sizes, counts.sizes)


def test_other_arrays_are_no_counts(out: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.arange(3))
    source = np.frombuffer(b"[1]", np.uint8)
    np.savez(tmp_path / "some.npz", sizes=np.arange(3), is_image=np.arange(3), ends=np.arange(3), source=source)
    for name in ("one.npy", "some.npz"):
        with pytest.raises(UsageError, match=f"{name} holds no token counts"):
            TokenCounts.load(tmp_path / name, DocumentDataset(out), LAYOUT)


@pytest.fixture(scope="module")
def with_tokens(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TokenLayout]:
    """A dataset whose tables have tokens of texts, and a layout with the same tokenizer."""
    folder = tmp_path_factory.mktemp("tokens")
    counting = tokenizer(folder)
    dataset(folder, [videos(8, frames=3, texts=2)], CONFIG, TextTokenizer(counting))

    from tokenizers import Tokenizer

    made = Tokenizer.from_file(str(counting / "tokenizer.json" if counting.is_dir() else counting))

    def words(text: str) -> list[int]:
        ids: list[int] = made.encode(text, add_special_tokens=False).ids
        return ids

    return folder / "out", TokenLayout(words, 300, lambda width, height: width * height // 256, (302,), (303,), (301,))


def test_stored_counts_are_those_that_are_measured(with_tokens: tuple[Path, TokenLayout]) -> None:
    out, layout = with_tokens
    documents = DocumentDataset(out)
    stored, measured = TokenCounts.stored(documents, layout), TokenCounts.measure(documents, layout)
    assert np.array_equal(stored.sizes, measured.sizes)
    assert np.array_equal(stored.is_image, measured.is_image)
    assert np.array_equal(stored.ends, measured.ends)
    assert stored.source == measured.source
    assert sum(len(one.origins) for one in PlannedDataset(documents, layout, budget=80, counts=stored)) == len(
        documents
    )


def test_stored_counts_of_another_tokenizer_are_refused(with_tokens: tuple[Path, TokenLayout]) -> None:
    out, layout = with_tokens
    with pytest.raises(UsageError, match=r"write\.tokenizer was another one"):
        TokenCounts.stored(DocumentDataset(out), replace(layout, tokenize=letters))


def test_a_dataset_without_tokens_or_codes_says_so(out: Path, with_tokens: tuple[Path, TokenLayout]) -> None:
    with pytest.raises(UsageError, match=r"no tokens of its texts: make it with write\.tokenizer"):
        TokenCounts.stored(DocumentDataset(out), LAYOUT)
    coded = replace(with_tokens[1], image_ids=lambda _: [1])
    with pytest.raises(UsageError, match="no codes of its images"):
        TokenCounts.stored(DocumentDataset(with_tokens[0]), coded)
    with pytest.raises(UsageError, match="no codes of its images"):
        TokenCounts.measure(DocumentDataset(out), coded)


@pytest.mark.parametrize("how", [{}, {"interleave": "word"}, {"texts": "caption"}])
def test_codes_are_counted_whatever_stands_beside_them(tmp_path: Path, how: dict[str, Any]) -> None:
    dataset(tmp_path, [[with_codes(complete(one)) for one in videos(6, frames=3, texts=2)]], CONFIG)
    layout = replace(LAYOUT, image_tokens=lambda columns, rows: 1 + rows * (columns + 1), image_ids=rows_of_codes)
    documents = DocumentDataset(tmp_path / "out", **how)
    counts = TokenCounts.measure(documents, layout)
    images = [one for packed in PlannedDataset(documents, layout, budget=90, counts=counts) for one in packed.images]
    assert len(images) == sum(len(one.frames) for one in documents)
    assert set(counts.sizes[counts.is_image].tolist()) == {2 + 1 + 3 * 5}


def test_a_table_with_fewer_images_than_its_shard_is_named_with_the_document(tmp_path: Path) -> None:
    dataset(tmp_path, [[with_codes(one) for one in videos(2, frames=3, texts=2)]], CONFIG)
    layout = replace(LAYOUT, image_tokens=lambda columns, rows: 1 + rows * (columns + 1), image_ids=rows_of_codes)
    published = finished_dataset(tmp_path / "out")
    shard = published.shards[0]
    first, *others = rows_of(ShardReader(tmp_path / "out").items(shard))
    fewer = replace(
        first,
        is_image=first.is_image[1:],
        image_width=first.image_width[1:],
        image_height=first.image_height[1:],
        code_rows=first.code_rows[1:],
        code_columns=first.code_columns[1:],
    )
    assert first.is_image[0]
    (tmp_path / "out" / items_name(shard.file)).unlink()
    with (tmp_path / "out" / items_name(shard.file)).open("wb") as file:
        sha256 = write_items(file, [fewer, *others])
    forged = (tmp_path / "out" / "manifest.json").read_text().replace(shard.items_sha256, sha256)
    (tmp_path / "out" / "manifest.json").unlink()
    (tmp_path / "out" / "manifest.json").write_text(forged)
    with pytest.raises(BadDataset, match=f"{first.key} has 3 images, but .* codes of 2"):
        TokenCounts.measure(DocumentDataset(tmp_path / "out"), layout)


def rows_of_codes(frame: Frame) -> list[int]:
    """A header, then the codes with an end after each row."""
    assert frame.codes is not None
    return [400, *(one for row in frame.codes.tolist() for one in (*(500 + code for code in row), 401))]
