"""Frames among the words: in the readers and in exports, by one rule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from stages.write.stage import WriteConfig
from storyloom.errors import UsageError
from storyloom.export.interleave import with_frames_among_words
from storyloom.export.names import FormatName
from storyloom.export.run import export
from storyloom.format.interleave import SILENCE, Interleaving
from storyloom.format.manifest import finished_dataset
from storyloom.format.sample import Sample
from storyloom.reader import DocumentDataset, Documents, Frame
from tests.documents import complete, dataset, document, read_documents, video, videos

MODES = [Interleaving(), Interleaving("word"), Interleaving("stream"), Interleaving("stream", 2.0)]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents of two to four images, with word times; a frame appears during the second word of each sentence."""
    folder = tmp_path_factory.mktemp("interleaved")
    some = [complete(video(f"v{n}", document(0, frames=2 + n, texts=3), document(1, start=50.0))) for n in range(3)]
    dataset(folder, [some], WriteConfig(name="spoken", max_images=5))
    return folder / "out"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    dataset(folder, [videos(2)], WriteConfig())
    return folder / "out"


def samples(out: Path, how: Interleaving) -> dict[str, Sample]:
    """The documents in the tars, as the rule arranges them."""
    found = (Sample.model_validate(values) for values in read_documents(out).values())
    return {sample.sample_id: with_frames_among_words(sample, how) for sample in found}


def test_the_manifest_counts_the_words_with_times(out: Path, plain: Path) -> None:
    words = sum(len(values["words"]) for values in read_documents(out).values())
    assert sum(shard.timed_words for shard in finished_dataset(out).shards) == words > 0
    assert not any(shard.timed_words for shard in finished_dataset(plain).shards)


@pytest.mark.parametrize("how", MODES, ids=str)
def test_readers_give_the_order_of_the_rule(out: Path, how: Interleaving) -> None:
    wanted = {key: (sample.texts, sample.image_text_index) for key, sample in samples(out, how).items()}
    for documents in (
        Documents(out, interleave=how.mode, fps=how.fps),
        DocumentDataset(out, interleave=how.mode, fps=how.fps),
    ):
        read = {
            one.key: (
                [None if isinstance(item, Frame) else item.text for item in one.items],
                [frame.text for frame in one.frames],
            )
            for one in documents
        }
        assert read == wanted


@pytest.mark.parametrize("how", MODES, ids=str)
def test_texts_have_the_times_and_the_words_of_the_rule(out: Path, how: Interleaving) -> None:
    wanted = samples(out, how)
    for one in Documents(out, interleave=how.mode, fps=how.fps):
        sample = wanted[one.key]
        assert [(text.start, text.end, text.source) for text in one.texts] == list(
            zip(sample.text_start, sample.text_end, sample.text_source, strict=True)
        )
        assert [list(text.words) for text in one.texts] == sample.words_of_texts()


def test_a_document_with_its_frames_at_the_words_keeps_every_rule_of_the_format(out: Path) -> None:
    for sample in samples(out, Interleaving("word")).values():
        assert Sample.model_validate(sample.model_dump(by_alias=True)) == sample


def test_a_document_can_be_arranged_after_it_was_read(out: Path) -> None:
    read = Documents(out)[0]
    assert read.interleaved("word") == Documents(out, interleave="word")[0] != read
    assert read.interleaved("sentence") is read
    with pytest.raises(UsageError, match="interleave is 'words'"):
        read.interleaved("words")  # type: ignore[arg-type]


def test_a_part_of_a_sentence_has_no_sound_and_a_whole_one_keeps_it(out: Path) -> None:
    stored = {text.text: text.sound for one in Documents(out) for text in one.texts}
    assert all(stored.values())
    texts = [text for one in Documents(out, interleave="word") for text in one.texts]
    assert all(stored.get(text.text, b"") == text.sound for text in texts)
    assert {text.sound == b"" for text in texts} == {True, False}


def test_a_silence_belongs_to_no_frame(out: Path) -> None:
    for one in Documents(out, interleave="stream", fps=2.0):
        assert all(one.texts[frame.text].text != SILENCE for frame in one.frames if frame.text >= 0)
        assert all((text.source == "silence") == (text.text == SILENCE) for text in one.texts)


def test_a_state_is_of_its_mode(out: Path) -> None:
    state = DocumentDataset(out, interleave="stream", fps=2.0).state_dict()
    with pytest.raises(UsageError, match="interleave = 'stream at 2 fps', but here it is 'stream at 1 fps'"):
        DocumentDataset(out, interleave="stream").load_state_dict(state)


def test_a_state_that_was_saved_before_there_were_modes_is_of_whole_sentences(out: Path) -> None:
    state = DocumentDataset(out).state_dict()
    del state["source"]["interleave"]
    DocumentDataset(out).load_state_dict(state)
    with pytest.raises(UsageError, match="interleave = 'sentence', but here it is 'word'"):
        DocumentDataset(out, interleave="word").load_state_dict(state)


@pytest.mark.parametrize("how", MODES, ids=str)
def test_an_export_has_the_order_of_the_rule(out: Path, tmp_path: Path, how: Interleaving) -> None:
    fps = how.fps if how.mode == "stream" else None
    export(out, FormatName.OBELICS, tmp_path / "dest", interleave=how.mode, fps=fps)
    rows = pq.read_table(tmp_path / "dest/data/train-00000.parquet").to_pylist()
    wanted = {key: sample.texts for key, sample in samples(out, how).items()}
    assert {json.loads(row["general_metadata"])["sample_id"]: row["texts"] for row in rows} == wanted
    record = json.loads((tmp_path / "dest/export.json").read_text())
    assert (record["interleave"], record.get("fps")) == (how.mode, fps)


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def test_the_command_takes_a_mode(out: Path, tmp_path: Path) -> None:
    done = run(out, tmp_path / "dest", "--to", "ms-swift", "--interleave", "stream", "--fps", "2")
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "dest/export.json").read_text())["fps"] == 2.0


def test_intervals_without_a_stream_are_refused(out: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--fps is about --interleave stream"):
        export(out, FormatName.MMC4, tmp_path / "dest", interleave="word", fps=2.0)


def test_no_intervals_a_second_are_refused(out: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="fps is 0, but must be 1 or 2"):
        export(out, FormatName.MMC4, tmp_path / "dest", interleave="stream", fps=0.0)


@pytest.mark.parametrize("mode", ["word", "stream"])
def test_a_dataset_without_word_times_says_how_to_get_them(plain: Path, tmp_path: Path, mode: Any) -> None:
    for read in (Documents, DocumentDataset):
        with pytest.raises(UsageError, match=r"write\.words: true"):
            read(plain, interleave=mode)
    with pytest.raises(UsageError, match=r"write\.words: true"):
        export(plain, FormatName.MMC4, tmp_path / "dest", interleave=mode)
