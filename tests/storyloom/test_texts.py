"""Captions and fused texts beside the frames: in the readers and in exports, by one rule."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from stages.write.additions import Additions
from stages.write.stage import WriteConfig, split_of
from storyloom.errors import UsageError
from storyloom.export.names import FormatName
from storyloom.export.registry import FORMATS
from storyloom.export.run import export
from storyloom.export.texts import with_texts
from storyloom.format.manifest import finished_dataset
from storyloom.format.sample import Sample
from storyloom.reader import DocumentDataset, Documents, Frame, PackedDataset, TokenLayout
from tests.documents import complete, dataset, document, read_documents, video, videos, with_codes

CHOICES = ["text", "caption", "fused"]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents of two to four images; the first video has no captions and no fused texts in its only frame."""
    folder = tmp_path_factory.mktemp("texts")
    silent = with_codes(complete(video("silent", document(frames=1, texts=2))))
    others = [
        with_codes(complete(video(f"v{n}", document(0, frames=2 + n, texts=3), document(1, start=50.0))))
        for n in range(3)
    ]
    dataset(folder, [[silent, *others]], WriteConfig(name="told", max_images=5))
    return folder / "out"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    dataset(folder, [videos(2)], WriteConfig())
    return folder / "out"


def told(out: Path, choice: Any) -> dict[str, list[str | None]]:
    """By key the texts by position, as the rule gives them for the documents in the tars."""
    samples = (Sample.model_validate(values) for values in read_documents(out).values())
    return {sample.sample_id: with_texts(sample, choice).texts for sample in samples}


@pytest.mark.parametrize("choice", CHOICES)
def test_readers_give_the_texts_of_the_rule(out: Path, choice: Any) -> None:
    for documents in (Documents(out, texts=choice), DocumentDataset(out, texts=choice)):
        read = {one.key: [None if isinstance(item, Frame) else item.text for item in one.items] for one in documents}
        assert read == told(out, choice)


@pytest.mark.parametrize("choice", CHOICES)
def test_a_frame_s_text_is_among_the_document_s(out: Path, choice: Any) -> None:
    samples = {one.sample_id: one for one in map(Sample.model_validate, read_documents(out).values())}
    for one in Documents(out, texts=choice):
        wanted = with_texts(samples[one.key], choice)
        assert [frame.text for frame in one.frames] == wanted.image_text_index
        times = [(text.start, text.end, text.source) for text in one.texts]
        assert times == list(zip(wanted.text_start, wanted.text_end, wanted.text_source, strict=True))


def test_what_was_said_keeps_its_sound_and_words_and_what_was_made_has_none(out: Path) -> None:
    texts = [text for one in Documents(out, texts="fused") for text in one.texts]
    assert {text.source for text in texts} == {"asr", "fused"}
    assert all((text.sound != b"", text.words != ()) == (text.source == "asr",) * 2 for text in texts)


def test_packed_sequences_hold_the_captions(out: Path) -> None:
    seen: list[str] = []

    def tokenize(text: str) -> list[int]:
        seen.append(text)
        return [len(text)]

    layout = TokenLayout(tokenize, image_token=0, image_tokens=1)
    images = sum(
        len(sequence.images) for sequence in PackedDataset(DocumentDataset(out, texts="caption"), layout, budget=64)
    )
    assert sorted(seen) == sorted(text for texts in told(out, "caption").values() for text in texts if text)
    assert images == sum(texts.count(None) for texts in told(out, "text").values())


def test_a_state_is_of_its_texts(out: Path) -> None:
    state = DocumentDataset(out, texts="caption").state_dict()
    with pytest.raises(UsageError, match="texts = 'caption', but here it is 'text'"):
        DocumentDataset(out).load_state_dict(state)


def test_a_state_that_was_saved_before_there_was_a_choice_is_of_what_was_said(out: Path) -> None:
    state = DocumentDataset(out).state_dict()
    del state["source"]["texts"]
    DocumentDataset(out).load_state_dict(state)
    with pytest.raises(UsageError, match="texts = 'text', but here it is 'fused'"):
        DocumentDataset(out, texts="fused").load_state_dict(state)


@pytest.mark.parametrize("choice", CHOICES)
def test_an_export_has_the_texts_of_the_rule_and_the_shard_s_json_beside_them(
    out: Path, tmp_path: Path, choice: Any
) -> None:
    done = export(out, FormatName.OBELICS, tmp_path / "dest", texts=choice)
    rows = pq.read_table(tmp_path / "dest/data/train-00000.parquet").to_pylist()
    wanted = {key: texts for key, texts in told(out, choice).items() if any(texts)}
    assert {json.loads(row["general_metadata"])["sample_id"]: row["texts"] for row in rows} == wanted
    left_out = len(read_documents(out)) - len(wanted)
    assert left_out == (choice == "caption")
    assert [warning for warning in done.warnings if "left out" in warning] == (
        ["1 document of train left out: none of their images has a text with --texts caption"] if left_out else []
    )
    assert json.loads((tmp_path / "dest/export.json").read_text())["texts"] == choice


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training split with captions, and a validation split without."""
    folder = tmp_path_factory.mktemp("half")
    config = WriteConfig(val_share=0.5)
    told = [
        one._replace(additions=Additions(captions=complete(one).additions.captions))
        if split_of(one.manifest.video, 0.5) == "train"
        else one
        for one in videos(6)
    ]
    dataset(folder, [[with_codes(one) for one in told]], config)
    return folder / "out"


@pytest.mark.parametrize("name", [name for name in FormatName if not FORMATS[name].needs_words])
def test_a_split_in_which_no_document_has_a_caption_is_left_out(half: Path, tmp_path: Path, name: FormatName) -> None:
    splits = finished_dataset(half).splits
    assert splits["train"].captions
    assert not splits["val"].captions
    done = export(half, name, tmp_path / "dest", texts="caption")
    assert list(done.documents) == ["train"]
    assert f"{splits['val'].nsamples} documents of val left out" in done.warnings[-1]
    assert not [path for path in (tmp_path / "dest").rglob("*") if "validation" in path.name]
    assert "validation" not in (tmp_path / "dest/export.json").read_text()


def test_captions_that_only_the_manifest_has_are_told(plain: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(plain, tmp_path / "out")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["shards"][0]["captions"] = 1
    (copy / "manifest.json").unlink()
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match="no document with --texts caption"):
        export(copy, FormatName.MMC4, tmp_path / "dest", texts="caption")
    assert not (tmp_path / "dest").exists()


def test_every_format_takes_captions(out: Path, tmp_path: Path) -> None:
    for name in (name for name in FormatName if not FORMATS[name].needs_words):
        assert export(out, name, tmp_path / name.value, texts="caption").documents == {"train": 6}
    (line, *_) = (tmp_path / "ms-swift/train.jsonl").read_text().splitlines()
    row = json.loads(line)
    assert row["messages"][0]["content"].startswith("<image>")
    assert "so here we" not in row["messages"][0]["content"]
    assert "so here we" in row["metadata"]


@pytest.mark.parametrize("choice", ["caption", "fused"])
def test_a_dataset_without_such_texts_names_the_setting(plain: Path, tmp_path: Path, choice: Any) -> None:
    said = CliRunner().invoke(app, ["export", str(plain), str(tmp_path / "dest"), "--to", "mmc4", "--texts", choice])
    assert isinstance(said.exception, UsageError)
    assert "caption.enabled: true" in str(said.exception)
    for read in (Documents, DocumentDataset):
        with pytest.raises(UsageError, match=r"caption\.enabled: true"):
            read(plain, texts=choice)
    assert not (tmp_path / "dest").exists()


def test_texts_of_another_name_are_refused(out: Path) -> None:
    wrong: Any = "captions"
    with pytest.raises(UsageError, match="texts is 'captions', but must be one of text, caption, fused"):
        Documents(out, texts=wrong)


def test_the_manifest_counts_captions_and_statuses(out: Path, plain: Path) -> None:
    published = finished_dataset(out)
    documents = read_documents(out).values()
    assert sum(shard.captions for shard in published.shards) == sum(
        bool(one) for each in documents for one in each["image_caption"]
    )
    assert set(published.splits["train"].fuse_statuses) == {"fused", "kept:unsure", "failed:no_answer"}
    assert finished_dataset(plain).splits["train"].fuse_statuses == {}


def test_stats_count_captions_and_statuses_as_the_manifest_does(out: Path) -> None:
    total = finished_dataset(out).splits["train"]
    said = CliRunner().invoke(app, ["stats", str(out), "--json"]).output
    counted = json.loads(said)["total"]
    assert (counted["captions"], counted["fuse_statuses"]) == (total.captions, total.fuse_statuses)


def test_show_prints_captions_and_fused_texts_under_their_frames(out: Path) -> None:
    documents = read_documents(out)
    key = next(key for key, each in documents.items() if any(each["image_caption"]) and any(each["image_fused"]))
    said = CliRunner().invoke(app, ["show", str(out), key]).output
    lines = [line.strip() for line in said.splitlines() if line.strip().startswith(("shows", "fused"))]
    pairs = zip(documents[key]["image_caption"], documents[key]["image_fused"], strict=True)
    wanted = [
        f"{what}  “{told}”" for caption, fused in pairs for what, told in (("shows", caption), ("fused", fused)) if told
    ]
    assert lines == wanted
