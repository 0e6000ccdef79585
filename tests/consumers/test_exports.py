"""Exports, loaded by the trainers' libraries, or by their loaders' own rules where a library is too heavy."""

import base64
import importlib.util
import io
import json
import os
import re
import struct
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from stages.write.stage import WriteConfig
from storyloom.export.names import FormatName
from storyloom.export.read import SourceDocument
from storyloom.export.registry import FORMATS
from storyloom.export.run import export
from tests.documents import complete, dataset, videos
from tests.storyloom.export.made import expected, made

pytestmark = pytest.mark.consumers

ROOT = Path(__file__).parents[2]
SPLITS = ["train", "validation"]
HAS_STREAMING = importlib.util.find_spec("streaming") is not None


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("dataset"))


@pytest.fixture(scope="module")
def exports(out: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every format, in a folder of its name; several files a split where the format bounds them."""
    folder = tmp_path_factory.mktemp("exports")
    for name, form in FORMATS.items():
        if form.needs_words or form.needs_codes:  # tests/storyloom/export/test_livecc.py, test_emu3.py
            continue
        export(out, name, folder / name.value, 40_000 if form.file_bytes else None)
    return folder


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("streaming", [True, False])
def test_datasets_loads_obelics_with_every_image_text_and_time(
    out: Path, exports: Path, split: str, *, streaming: bool, tmp_path: Path
) -> None:
    from datasets import Features, List, Value, load_dataset
    from datasets import Image as Picture

    loaded = load_dataset(str(exports / "obelics"), split=split, streaming=streaming, cache_dir=str(tmp_path))
    assert loaded.features == Features(
        images=List(Picture()), texts=List(Value("string")), metadata=Value("string"), general_metadata=Value("string")
    )
    wanted = expected(out, split)
    decoded = list(loaded)
    stored = list(loaded.cast_column("images", List(Picture(decode=False))))
    assert len(decoded) == len(stored) == len(wanted)
    for document, row, raw in zip(wanted, decoded, stored, strict=True):
        sample = document.sample
        assert row["texts"] == sample.texts
        assert [image and image["path"] for image in raw["images"]] == sample.images
        assert [image["bytes"] for image in raw["images"] if image] == document.jpegs
        assert [image.size for image in row["images"] if image] == [(64, 48)] * len(document.jpegs)
        known = json.loads(row["metadata"])
        assert [each["time"] for each in known if "image" in each] == sample.image_time
        assert [each["shift"] for each in known if "image" in each] == sample.image_shift
        assert [each["clip_score"] for each in known if "image" in each] == sample.image_clip_score
        assert [(each["start"], each["end"]) for each in known if "start" in each] == list(
            zip(sample.text_start, sample.text_end, strict=True)
        )
        general = json.loads(row["general_metadata"])
        assert (general["sample_id"], general["url"]) == (sample.sample_id, sample.video_url)
        assert (general["doc_end"], general["language"]) == (sample.doc_end, sample.language)


def test_the_parquet_schema_is_the_one_that_datasets_would_write() -> None:
    from datasets import Features

    from storyloom.export.obelics import arrow_schema

    features = Features.from_arrow_schema(arrow_schema())
    assert features.arrow_schema.equals(arrow_schema())


@pytest.mark.parametrize("split", SPLITS)
def test_webdataset_and_the_rules_of_openflamingo_read_mmc4(out: Path, exports: Path, split: str) -> None:
    import webdataset

    shards = sorted(str(path) for path in (exports / "mmc4" / split).glob("shard-*.tar"))
    assert len(shards) > 1
    sizes = json.loads((exports / "mmc4" / split / "sizes.json").read_bytes())
    wanted = expected(out, split)
    assert (len(sizes), sum(sizes.values())) == (len(shards), len(wanted))
    found = list(webdataset.WebDataset(shards, shardshuffle=False, empty_check=False).to_tuple("json"))
    for document, (raw,) in zip(wanted, found, strict=True):
        info, sample = json.loads(raw), document.sample
        images = info["image_info"]
        assert info["text_list"] == sample.spoken
        assert [base64.b64decode(image["image_base64"], validate=True) for image in images] == document.jpegs
        assert [image["time"] for image in images] == sample.image_time
        assert [image["matched_sim"] for image in images] == sample.image_clip_score
        # its loader puts a tag before the text of each image that is similar enough, and drops the others
        sentences = list(info["text_list"])
        kept = [image["matched_text_index"] for image in images if image["matched_sim"] >= 0.0]
        for index in kept:
            sentences[index] = f"<image>{sentences[index]}"
        assert kept == [index for index in sample.image_text_index if index >= 0]
        assert " ".join(sentences).count("<image>") == len(kept)
        # the assignment of Energon and others goes over the whole matrix
        matrix = info["similarity_matrix"]
        assert [len(row) for row in matrix] == [len(sample.spoken)] * len(images)
        assert [row.index(max(row)) for row in matrix if max(row) > -1.0] == kept
        assert json.loads(info["metadata"]) == json.loads(document.content)


def rows(file: Path) -> list[dict[str, Any]]:
    if file.suffix == ".json":
        loaded: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
        return loaded
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def check_images(folder: Path, paths: list[str], document: SourceDocument) -> None:
    assert [Path(path).name for path in paths] == document.sample.pictures
    assert [(folder / path).read_bytes() for path in paths] == document.jpegs


@pytest.mark.parametrize("split", SPLITS)
def test_ms_swift_gets_as_many_tags_as_images_in_a_text_to_learn(out: Path, exports: Path, split: str) -> None:
    folder = exports / "ms-swift"
    for document, row in zip(expected(out, split), rows(folder / f"{split}.jsonl"), strict=True):
        (message,) = row["messages"]
        assert message["role"] == "assistant"
        check_images(folder, row["images"], document)
        parts = re.split("(<image>)", message["content"])
        spoken = [" ".join(group) for group in runs(document)]
        assert [part for part in parts if part not in ("", "<image>")] == spoken
        assert [part == "<image>" for part in parts if part] == shape(document)
        assert json.loads(row["metadata"])["image_time"] == document.sample.image_time


def runs(document: SourceDocument) -> list[list[str]]:
    """Texts with no image between them."""
    groups: list[list[str]] = [[]]
    for text in document.sample.texts:
        if text is None:
            groups.append([])
        else:
            groups[-1].append(text)
    return [group for group in groups if group]


def shape(document: SourceDocument) -> list[bool]:
    """Images, and runs of texts, in order: whether each is an image."""
    found: list[bool] = []
    for text in document.sample.texts:
        if text is None or not found or found[-1]:
            found.append(text is None)
    return found


def check_conversation(turns: list[dict[str, str]], document: SourceDocument) -> None:
    """What Qwen-VL, LLaVA-NeXT and LLaMA-Factory have in common."""
    assert [turn["from"] for turn in turns] == (["human", "gpt"] * len(turns))[: len(turns)]
    asked = [turn["value"] for turn in turns if turn["from"] == "human"]
    answered = [turn["value"] for turn in turns if turn["from"] == "gpt"]
    assert all(not value.replace("<image>", "") for value in asked)
    assert "".join(asked).count("<image>") == len(document.jpegs)
    assert [value for value in answered if value] == [" ".join(group) for group in runs(document)]
    order = [turn["value"] for turn in turns if turn["value"]]
    assert [
        bool(re.fullmatch("(<image>)+", value)) for value in order for _ in range(max(1, value.count("<image>")))
    ] == shape(document)


@pytest.mark.parametrize("split", SPLITS)
def test_llama_factory_finds_its_files_and_only_pairs_of_turns(out: Path, exports: Path, split: str) -> None:
    folder = exports / "llama-factory"
    info = json.loads((folder / "dataset_info.json").read_bytes())[f"exported_{split}"]
    assert info["formatting"] == "sharegpt"
    assert info["columns"] == {"messages": "conversations", "images": "images"}
    for document, row in zip(expected(out, split), rows(folder / info["file_name"]), strict=True):
        check_conversation(row["conversations"], document)
        assert len(row["conversations"]) % 2 == 0  # else its converter skips the example
        check_images(folder, row["images"], document)
        assert json.loads(row["metadata"]) == json.loads(document.content)


@pytest.mark.parametrize("split", SPLITS)
def test_datasets_reads_the_lines_of_llama_factory_and_ms_swift(exports: Path, split: str, tmp_path: Path) -> None:
    from datasets import load_dataset

    for name in ("llama-factory", "ms-swift"):
        file = exports / name / f"{split}.jsonl"
        loaded = load_dataset("json", data_files=[str(file)], split="train", cache_dir=str(tmp_path))
        assert [row["images"] for row in loaded] == [row["images"] for row in rows(file)]
        assert [row["metadata"] for row in loaded] == [row["metadata"] for row in rows(file)]


@pytest.mark.parametrize("split", SPLITS)
def test_llava_interleave_starts_with_a_human_turn_and_opens_every_image(out: Path, exports: Path, split: str) -> None:
    folder = exports / "llava-interleave"
    for document, row in zip(expected(out, split), rows(folder / f"{split}.json"), strict=True):
        check_conversation(row["conversations"], document)
        assert row["conversations"][0]["from"] == "human"  # else its loader drops the first turn
        # with a single tag it moves the tag to the front of the turn: it has to be there already
        assert all(turn["value"].startswith("<image>") for turn in row["conversations"] if "<image>" in turn["value"])
        check_images(folder, row["image"], document)
        assert (row["id"], json.loads(row["metadata"])) == (document.key, json.loads(document.content))


@pytest.mark.parametrize("split", SPLITS)
def test_qwen_vl_uses_up_its_images_with_the_tags_of_human_turns(out: Path, exports: Path, split: str) -> None:
    folder = exports / "qwen-vl"
    for document, row in zip(expected(out, split), rows(folder / f"{split}.jsonl"), strict=True):
        pool = [str((folder / path).resolve()) for path in row["image"]]
        sequence: list[str] = []
        for turn in row["conversations"]:
            if turn["from"] == "human":
                for part in re.split("(<image>|<video>)", turn["value"]):
                    sequence += [pool.pop(0)] if part == "<image>" else [part] * bool(part.strip())
            else:
                sequence.append(turn["value"])
        assert not pool
        names = [Path(item).name for item in sequence if item.endswith(".jpg")]
        assert names == document.sample.pictures
        assert [item for item in sequence if not item.endswith(".jpg")] == [" ".join(run) for run in runs(document)]
        check_conversation(row["conversations"], document)
        check_images(folder, row["image"], document)
        assert json.loads(row["metadata"]) == json.loads(document.content)


def mds_samples(folder: Path) -> list[dict[str, bytes]]:
    """The columns of every sample, by the layout that MosaicML documents."""
    found = []
    for shard in json.loads((folder / "index.json").read_bytes())["shards"]:
        content = (folder / shard["raw_data"]["basename"]).read_bytes()
        assert len(content) == shard["raw_data"]["bytes"]
        (count,) = struct.unpack_from("<I", content)
        assert count == shard["samples"]
        offsets = struct.unpack_from(f"<{count + 1}I", content, 4)
        for start, end in pairwise(offsets):
            names = shard["column_names"]
            sizes = struct.unpack_from(f"<{len(names)}I", content, start)
            assert start + 4 * len(names) + sum(sizes) == end
            file = io.BytesIO(content[start + 4 * len(names) : end])
            found.append({name: file.read(size) for name, size in zip(names, sizes, strict=True)})
    return found


@pytest.mark.parametrize("split", SPLITS)
def test_mds_shards_hold_every_column_byte_for_byte(out: Path, exports: Path, split: str) -> None:
    found = mds_samples(exports / "mosaicml" / split)
    for document, columns in zip(expected(out, split), found, strict=True):
        assert columns["key"].decode() == document.key
        assert json.loads(columns["doc"]) == json.loads(document.content)
        (count,) = struct.unpack_from("<I", columns["images"])
        sizes = struct.unpack_from(f"<{count}I", columns["images"], 4)
        file = io.BytesIO(columns["images"][4 + 4 * count :])
        assert [file.read(size) for size in sizes] == document.jpegs
        assert not file.read()


@pytest.mark.parametrize("split", SPLITS)
def test_streaming_dataset_gives_every_document_and_image(out: Path, exports: Path, split: str) -> None:
    streaming = pytest.importorskip("streaming", reason="mosaicml-streaming is not installed")
    loaded = streaming.StreamingDataset(local=str(exports / "mosaicml"), split=split, batch_size=1, shuffle=False)
    for document, row in zip(expected(out, split), loaded, strict=True):
        assert (row["key"], row["doc"]) == (document.key, json.loads(document.content))
        assert [image.fp.getvalue() for image in row["images"]] == document.jpegs
        assert all(image.convert("RGB").size == (64, 48) for image in row["images"])


@pytest.mark.parametrize("split", SPLITS)
def test_the_bytes_are_those_of_mds_writer(out: Path, exports: Path, split: str, tmp_path: Path) -> None:
    streaming = pytest.importorskip("streaming", reason="mosaicml-streaming is not installed")
    columns = {"key": "str", "doc": "json", "images": "jpegarray"}
    with streaming.MDSWriter(columns=columns, out=str(tmp_path / split), size_limit=40_000) as writer:
        for document in expected(out, split):
            writer.write({"key": document.key, "doc": json.loads(document.content), "images": document.jpegs})
    ours = exports / "mosaicml" / split
    assert {path.name for path in (tmp_path / split).iterdir()} == {path.name for path in ours.iterdir()}
    assert all(path.read_bytes() == (ours / path.name).read_bytes() for path in (tmp_path / split).iterdir())


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, form in FORMATS.items()
        if form.file_bytes is None and not form.needs_words and not form.needs_codes
    ],
)
def test_extracted_images_decode_and_no_folder_holds_more_than_a_shard(exports: Path, name: FormatName) -> None:
    found = sorted((exports / name.value / "images").rglob("*.jpg"))
    assert {Image.open(path).size for path in found} == {(64, 48)}
    assert len({path.parent for path in found}) > 2


OPTIONS = ("--texts caption", "--texts fused", "--interleave word", "--interleave stream", "--sequence-length 8192")
"""Options with which the page exports a dataset again."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / "export.md").read_text(encoding="utf-8"), re.DOTALL)


def test_the_commands_and_snippets_of_the_page_run(tmp_path: Path) -> None:
    made(tmp_path / "dataset")
    (tmp_path / "out" / "demo").mkdir(parents=True)
    (tmp_path / "dataset" / "out").rename(tmp_path / "out" / "demo" / "shards")
    dataset(tmp_path / "told", [list(map(complete, videos(2)))], WriteConfig())
    (tmp_path / "out" / "talks").mkdir()
    (tmp_path / "told" / "out").rename(tmp_path / "out" / "talks" / "shards")
    lines = [
        line for block in blocks("sh") for line in block.splitlines() if line.startswith(".venv/bin/storyloom export")
    ]
    assert len(lines) == sum(not form.needs_codes for form in FORMATS.values()) + len(
        OPTIONS
    )  # tokenizers.md: the rest
    assert all(option in line for option, line in zip(OPTIONS, lines[-len(OPTIONS) :], strict=True))
    snippets = [code for code in blocks("python") if HAS_STREAMING or "streaming import" not in code]
    assert len(snippets) >= 4
    calls = [["storyloom", *line.split()[1:]] for line in lines]
    commands = f"import sys\nfrom typer.main import get_command\nfrom pipeline.cli import app\nfor call in {calls!r}:\n"
    commands += "    get_command(app).main(call[1:], standalone_mode=False)\n"
    run = subprocess.run(
        [sys.executable, "-c", "\n".join([commands, *snippets])],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("Erst ein Satz.") >= 1
