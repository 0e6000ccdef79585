"""`storyloom tokens`: what an epoch costs each model, counted again here from the documents."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from pipeline.cli import app
from stages.write.stage import WriteConfig
from storyloom.errors import UsageError
from storyloom.format.counts import Counts, size_name
from storyloom.format.image_tokens import MODELS, UnfitImage, image_model
from storyloom.format.manifest import Provenance, describe, finished_dataset
from storyloom.format.reader import ShardReader
from storyloom.format.shard import Shard
from storyloom.format.tokenizer import TextTokenizer
from storyloom.format.words import count_pieces
from storyloom.tokens.account import account, check_names, told_texts
from storyloom.tokens.measure import measured_texts
from storyloom.tokens.processor import ProcessorCost, is_folder
from tests.documents import dataset, document, jpeg, read_documents, video, videos
from tests.storyloom.format.test_items import tokenizer


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokens")
    wide = video("wide", document(frames=2), jpegs=[jpeg(1, 640, 360), jpeg(2, 640, 360)])
    dataset(folder, [[*videos(4), wide]], WriteConfig(val_share=0.3, shard_bytes=20_000))
    return folder / "out"


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tokenizer(tmp_path_factory.mktemp("words"))


def printed(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["tokens", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


def told(*arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(printed(*arguments, "--json"))
    return found


def documents(output: Path, split: str) -> list[dict[str, Any]]:
    return list(read_documents(output / f"data/{split}").values())


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("name", ["qwen3-vl", "internvl"])
def test_the_tokens_of_a_split_are_those_of_its_documents(output: Path, split: str, name: str) -> None:
    held, model = documents(output, split), image_model(name)
    sizes = [size for one in held for size in zip(one["image_width"], one["image_height"], strict=True)]
    image, around = sum(model.tokens(*size) for size in sizes), model.around * len(sizes)
    text = sum(count_pieces(text) for one in held for text in one["texts"] if text)
    wanted = {"image": image, "around": around, "text": text, "epoch": image + around + text, "refused": 0}
    assert told(output, "--for", name)["splits"][split]["models"] == {name: wanted}


def test_no_shard_is_read_without_a_tokenizer(output: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes((output / "manifest.json").read_bytes())
    assert told(tmp_path) == told(output)


def test_without_a_name_all_models_are_told(output: Path) -> None:
    assert list(told(output)["models"]) == list(MODELS)


def test_people_are_told_the_sizes_the_tokens_and_that_texts_are_an_estimate(output: Path) -> None:
    said = printed(output, "--for", "qwen2.5-vl,InternVL3")
    for part in ("64x48", "640x360 2", "299", "768", "texts: an estimate", "train, tokens an epoch", "val, tokens"):
        assert part in said
    assert "\x1b" not in said
    assert "emu3" not in said


def test_a_misspelt_model_is_wrong_usage() -> None:
    result = CliRunner().invoke(app, ["tokens", "nowhere", "--for", "qwen3-vll"])
    assert isinstance(result.exception, UsageError)
    assert "did you mean 'qwen3-vl'?" in str(result.exception)


def test_an_older_dataset_is_told_to_be_written_again(output: Path, tmp_path: Path) -> None:
    made = json.loads((output / "manifest.json").read_bytes())
    for one in (*made["shards"], *made["splits"].values()):
        for key in ("image_sizes", "nchars", "npieces", "ntokens"):
            del one[key]
    (tmp_path / "manifest.json").write_text(json.dumps(made))
    result = CliRunner().invoke(app, ["tokens", str(tmp_path)])
    assert isinstance(result.exception, UsageError)
    assert "neither the sizes of images nor the characters of texts: write it again" in str(result.exception)


def test_a_tokenizer_counts_the_texts_of_all_documents_of_a_small_dataset(output: Path, words: Path) -> None:
    found = told(output, "--tokenizer", words)
    for split in ("train", "val"):
        held = [text for one in documents(output, split) for text in one["texts"] if text]
        assert found["text"]["by_split"][split] == sum(len(text.split()) for text in held)
    assert found["text"]["how"] == "measured"
    assert "on 9 documents (all of 9)" in found["text"]["said"]


@pytest.mark.parametrize("most", [1, 3, 8])
def test_a_sample_is_spread_over_the_documents_and_no_larger(output: Path, words: Path, most: int) -> None:
    published, reader = finished_dataset(output), ShardReader(output)
    found = measured_texts(reader, published, TextTokenizer(words), most)
    step = math.ceil(9 / most)
    assert found.documents == sum(math.ceil(one.nsamples / step) for one in published.splits.values())
    assert f"one in {step} of 9" in found.said
    assert found == measured_texts(reader, published, TextTokenizer(words), most)


def test_what_was_counted_when_the_dataset_was_written_is_told(tmp_path: Path, words: Path) -> None:
    dataset(tmp_path, [videos(2)], WriteConfig(), TextTokenizer(words))
    text = told(tmp_path / "out")["text"]
    held = [text for one in documents(tmp_path / "out", "train") for text in one["texts"] if text]
    assert (text["how"], text["by_split"]["train"]) == ("counted", sum(len(text.split()) for text in held))


@pytest.mark.slow
def test_a_folder_with_a_processor_is_asked_itself(output: Path, tmp_path: Path) -> None:
    from tests.storyloom.format.test_image_tokens import processor

    processor("qwen2.5-vl").save_pretrained(tmp_path / "mine")
    found = told(output, "--for", tmp_path / "mine")
    assert found["models"]["mine"]["per_image"]["640x360"] == 299
    assert "Qwen2_5_VLProcessor" in found["models"]["mine"]["source"]


@pytest.mark.slow
def test_a_folder_without_a_processor_is_wrong_usage(output: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["tokens", str(output), "--for", str(tmp_path)])
    assert isinstance(result.exception, UsageError)
    assert "holds no processor that transformers can load" in str(result.exception)


@pytest.mark.slow
@pytest.mark.parametrize("content", ["[]", '{"processor_class": 5}'])
def test_a_folder_whose_files_are_no_processor_s_is_wrong_usage(output: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "preprocessor_config.json").write_text(content)
    result = CliRunner().invoke(app, ["tokens", str(output), "--for", str(tmp_path)])
    assert isinstance(result.exception, UsageError)
    assert "holds no processor that transformers can load" in str(result.exception)


def test_a_folder_that_is_called_as_a_model_does_not_hide_it(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fuyu").mkdir()
    monkeypatch.chdir(tmp_path)
    assert told(output, "--for", "fuyu")["models"]["fuyu"]["per_image"]["640x360"] == 276
    assert is_folder("./fuyu")


def test_a_processor_whose_settings_make_no_sense_is_named() -> None:
    transformers = pytest.importorskip("transformers")
    processor = transformers.Qwen2VLImageProcessor(patch_size=0)
    asked = SimpleNamespace(
        _get_num_multimodal_tokens=lambda image_sizes: processor.get_number_of_image_patches(*image_sizes[0])
    )
    with pytest.raises(UsageError, match="the processor in mine cannot count a picture of 640x360"):
        ProcessorCost("mine", asked).tokens(640, 360)


def test_two_folders_of_one_name_are_not_mixed_up() -> None:
    check_names([image_model("fuyu"), image_model("fuyu")])
    with pytest.raises(UsageError, match="two of --for are called 'fuyu'"):
        check_names([image_model("fuyu"), ProcessorCost("fuyu", object())])


def test_images_that_a_model_refuses_are_told_and_not_counted() -> None:
    counts = Counts.total([]).model_copy(
        update={"nsamples": 1, "nimages": 3, "image_sizes": {size_name(1, 300): 2, size_name(640, 360): 1}}
    )
    shard = Shard(
        split="train", file="data/train/shard-000000.tar", filesize=1, sha256="0" * 64, md5sum="0" * 32,
        **counts.counted(),
    )  # fmt: skip
    published = describe("odd", 3, [shard], Provenance())
    tokens = account(published, [image_model("qwen2.5-vl")], told_texts(published)).splits["train"].models["qwen2.5-vl"]
    assert (tokens.image, tokens.around, tokens.refused) == (299, 2, 2)


REFUSE_THIN = ("qwen2-vl", "qwen2.5-vl", "qwen3-vl", "emu3", "fuyu", "pixtral")
"""Models of the table that refuse a picture of 4000x1."""


@pytest.fixture(scope="module")
def thin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of 4000x1 among so many others that its size is none of the commonest."""
    folder, line = tmp_path_factory.mktemp("thin"), io.BytesIO()
    Image.new("RGB", (4000, 1)).save(line, "JPEG")
    sizes = [(64, 48), (64, 48), (80, 48), (80, 48), (48, 48), (48, 48)]
    jpegs = [line.getvalue(), *(jpeg(number, *size) for number, size in enumerate(sizes))]
    dataset(folder, [[video("thin", document(frames=7), jpegs=jpegs)]], WriteConfig())
    return folder / "out"


@pytest.mark.parametrize("name", MODELS)
def test_a_picture_of_4000x1_is_counted_or_told_for_every_model(thin: Path, name: str) -> None:
    (split,) = told(thin, "--for", name)["splits"].values()
    found = split["models"][name]
    assert found["refused"] == (name in REFUSE_THIN)
    assert found["image"] > 0
    said = f"{name} refuses 1 image of train for its shape: not counted"
    assert (said in printed(thin, "--for", name)) == (name in REFUSE_THIN)


def test_the_card_says_which_models_refuse_how_many_images(thin: Path, output: Path) -> None:
    said = "Images that a model refuses for their shape are not counted"
    models = ", ".join(f"{name} 1" for name in REFUSE_THIN)
    assert f"{said}: {models}." in (thin / "README.md").read_text()
    assert said not in (output / "README.md").read_text()


def test_a_picture_for_which_a_processor_counts_no_token_is_refused() -> None:
    processor = SimpleNamespace(_get_num_multimodal_tokens=lambda **_: {"num_image_tokens": [0]})
    with pytest.raises(UnfitImage, match="a picture of 3000x2: the processor counts no token"):
        ProcessorCost("pixtral", processor).tokens(3000, 2)


@given(st.text())
def test_pieces_lose_no_character_of_a_text(text: str) -> None:
    from storyloom.format.words import PIECE

    assert "".join(PIECE.findall(text)) == text
    assert (count_pieces(text) == 0) == (text == "")


def test_pieces_are_those_of_gpt_2() -> None:
    from storyloom.format.words import PIECE

    assert PIECE.findall("We've  seen 12 cats, haven't we?") == [
        "We", "'ve", " ", " seen", " 12", " cats", ",", " haven", "'t", " we", "?",
    ]  # fmt: skip
    assert PIECE.findall("猫が 好き") == ["猫", "が", " 好", "き"]
