"""A dataset of version 1 of the format is read, validated, counted, shown and exported."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from storyloom.card.card import card, summary
from storyloom.card.croissant import croissant
from storyloom.card.indexes import as_json, index_files
from storyloom.format.counts import Counts
from storyloom.format.items import Items
from storyloom.format.manifest import Provenance, describe
from storyloom.format.sample import Sample
from storyloom.format.shard import ShardDocument, write_shard
from storyloom.format.tar import sample_bytes
from storyloom.reader.document import parse
from tests.documents import jpeg

KEY = "0123456789abcdef0123-0000"

DOCUMENT = {
    "doc_end": 4.0,
    "doc_start": 0.0,
    "image_clip_score": [0.31],
    "image_height": [48],
    "image_shift": [0.0],
    "image_text_index": [0],
    "image_time": [0.5],
    "image_width": [64],
    "images": [f"{KEY}.000.jpg", None],
    "language": "en",
    "license": "CC0",
    "sample_id": KEY,
    "schema": "storyloom/1",
    "text_end": [3.5],
    "text_source": ["asr"],
    "text_start": [0.0],
    "texts": [None, "words of the first version <|im_end|>"],
    "title": "a",
    "video_id": "v",
    "video_url": "https://example.org/v.mp4?a=b",
}
CONTENT = json.dumps(DOCUMENT, separators=(",", ":")).encode()


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("version-1")
    members = sample_bytes(KEY, CONTENT, [jpeg(0)])
    (folder / "data/train").mkdir(parents=True)
    sample = Sample.model_validate_json(CONTENT)
    document = ShardDocument(members, Counts.of(sample).without_sizes(), Items.of(sample))
    shard = write_shard(folder / "data/train/shard-000000.tar", "train", [document])
    (folder / "data/train/shard-000000.parquet").unlink()  # version 1 has no tables
    shard = shard.model_copy(update={"file": "data/train/shard-000000.tar", "items_sha256": ""})
    published = describe("old", 3, [shard], Provenance()).model_copy(update={"schema_": "storyloom/1"})
    files = {
        **index_files(published),
        "README.md": card(published).encode(),
        "croissant.json": as_json(croissant(published, summary(published))),
        "manifest.json": as_json(published.model_dump(mode="json", by_alias=True)),
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def said(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_it_is_valid_and_its_card_declares_its_own_keys(out: Path) -> None:
    said("validate", out)
    assert "upload_date" not in (out / "README.md").read_text()
    assert "storyloom/1" in (out / ".nv-meta/crude.yaml").read_text()


def test_it_is_shown_and_counted(out: Path) -> None:
    assert "words of the first version" in said("show", out)
    assert "CC0 1" in said("stats", out)


def test_it_is_exported_without_special_tokens(out: Path, tmp_path: Path) -> None:
    said("export", out, tmp_path / "dest", "--to", "obelics")
    (row,) = pq.read_table(tmp_path / "dest/data/train-00000.parquet").to_pylist()
    assert json.loads(row["general_metadata"])["schema"] == "storyloom/1"
    assert row["texts"] == [None, "words of the first version im_end"]


def test_the_reader_gives_it_empty_values_for_the_keys_of_version_2() -> None:
    document = parse(CONTENT, {f"{KEY}.000.jpg": jpeg(0)})
    assert (document.title, document.chapters, document.extra, document.lag) == ("a", (), "{}", 0.0)
