"""Emu3's and Emu3.5's sequences, read back by their tokenizers' rules."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.write.stage import VideoDocuments, WriteConfig
from storyloom.errors import UsageError
from storyloom.export.emu3 import emu3_image, emu35_image, foreign_codes
from storyloom.export.names import FormatName
from storyloom.export.run import export
from storyloom.format.codes import codes_bytes
from storyloom.format.manifest import Provenance, finished_dataset
from storyloom.format.stored import BadShard
from tests.documents import dataset, document, picture_codes, video, videos, with_codes
from tests.storyloom.validate.damage import members, write_members

VISUAL = re.compile(r"<\|visual token (\d{6})\|>")
"""As `decode_image` in src/utils/generation_utils.py of github.com/baaivision/Emu3.5 finds them, of six digits."""


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coded")
    dataset(folder, [[with_codes(video("a", document(frames=2, texts=3), document(1, frames=1)))]], WriteConfig())
    return folder / "out"


def rows(coded: Path, folder: Path, name: FormatName) -> dict[str, str]:
    export(coded, name, folder / name)
    lines = (folder / name / "train.jsonl").read_text().splitlines()
    return {row["key"]: row["text"] for row in map(json.loads, lines)}


def test_a_document_that_lost_its_codes_is_named(tmp_path: Path) -> None:
    dataset(tmp_path, [[with_codes(one) for one in videos(1, documents=1)]], WriteConfig())
    out = tmp_path / "out"
    write_members(out, [(name, data) for name, data in members(out) if not name.endswith(".codes.npy")])
    with pytest.raises(BadShard, match=r"document 0: there is no '.*\.000\.codes\.npy'"):
        rows(out, tmp_path, FormatName.EMU3)


def emu3_tokenizer() -> Any:
    """Words of letters, and Emu3's special tokens, as transformers' `Emu3Processor` takes a tokenizer."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    letters = {chr(number): number for number in range(32, 127)}
    words = Tokenizer(models.BPE({**letters, "[UNK]": 127}, [], unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    special = {
        "image_token": "<image>",
        "boi_token": "<|image start|>",
        "eoi_token": "<|image end|>",
        "image_wrapper_token": "<|image token|>",
        "eof_token": "<|extra_201|>",
    }
    kind: Any = transformers.PreTrainedTokenizerFast
    tokenizer = kind(tokenizer_object=words, bos_token="<|extra_203|>", extra_special_tokens=special, unk_token="[UNK]")
    visual = [f"<|visual token {number:06d}|>" for number in range(2000)]
    tokenizer.add_tokens(["<|extra_200|>", *visual], special_tokens=True)
    return tokenizer


def emu3_processor(tokenizer: Any) -> Any:
    import transformers

    processor: Any = transformers.Emu3Processor
    return processor(transformers.Emu3ImageProcessor(), tokenizer)


def test_emu3_s_processor_makes_the_tokens_that_its_model_decodes_to_the_codes(coded: Path, tmp_path: Path) -> None:
    import torch
    from transformers.models.emu3 import modeling_emu3

    tokenizer = emu3_tokenizer()
    processor = emu3_processor(tokenizer)
    mapping: Any = modeling_emu3.Emu3ImageVocabularyMapping
    vocabulary = mapping(tokenizer.get_vocab())
    (text, _) = (found for _, found in sorted(rows(coded, tmp_path, FormatName.EMU3).items()))
    ids = processor(text=text)["input_ids"][0]
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.unk_token_id not in ids
    starts = [place for place, one in enumerate(ids) if one == tokenizer.convert_tokens_to_ids("<|image token|>")]
    assert len(starts) == 2
    for number, start in enumerate(starts):
        grid = torch.tensor(ids[start + 1 : start + 1 + 3 * 5]).reshape(3, 5)
        assert (grid[:, -1] == vocabulary.eol_token_id).all()
        assert vocabulary.convert_bpe2img(grid).tolist() == picture_codes(number).tolist()
        after = tokenizer.convert_ids_to_tokens(ids[start + 16 : start + 18])
        assert after == ["<|extra_201|>", "<|image end|>"]


def test_emu3_s_own_replacement_reserves_as_many_tokens(coded: Path, tmp_path: Path) -> None:
    tokenizer = emu3_tokenizer()
    reserved = emu3_processor(tokenizer).replace_image_token({"image_sizes": [(24, 32)]}, 0)
    ours = emu3_image(picture_codes(0))
    assert len(tokenizer.encode(ours)) == len(tokenizer.encode(reserved))
    assert ours.partition("<|visual")[0] == reserved.partition("<image>")[0]


def test_emu3_5_s_rows_split_at_the_end_of_a_row_are_the_codes(coded: Path, tmp_path: Path) -> None:
    text = dict(sorted(rows(coded, tmp_path, FormatName.EMU35).items()))
    for number, image in enumerate(re.findall(r"<\|image start\|>.*?<\|image end\|>", "".join(text.values()))):
        assert image.startswith("<|image start|>3*4<|image token|>")
        grid = [[int(one) for one in VISUAL.findall(row)] for row in image.split("<|extra_200|>")]
        assert grid == picture_codes(number).tolist()
        assert image.endswith("|><|image end|>")
        assert "<|extra_201|>" not in image


def test_texts_and_images_stand_in_the_document_s_order(coded: Path, tmp_path: Path) -> None:
    for text in rows(coded, tmp_path, FormatName.EMU35).values():
        without = re.sub(r"<\|image start\|>.*?<\|image end\|>", "▣", text)
        assert without in ("▣so here we 0 0▣so here we 0 1 so here we 0 2", "▣so here we 1 0 so here we 1 1")


def test_a_dataset_without_codes_is_refused_with_the_setting_that_makes_them(tmp_path: Path) -> None:
    dataset(tmp_path, [[video("a", document())]], WriteConfig())
    with pytest.raises(UsageError, match=r"no visual tokens, which emu3 needs: make it with tokenize\.enabled: true"):
        export(tmp_path / "out", FormatName.EMU3, tmp_path / "dest")
    assert not (tmp_path / "dest").exists()


def test_a_code_beyond_emu3_s_vocabulary_is_refused(tmp_path: Path) -> None:
    one = with_codes(video("a", document(frames=1)))
    dataset(tmp_path, [[coded_as(one, 40_000)]], WriteConfig())
    with pytest.raises(UsageError, match="the code 40000 is none of Emu3's 32,768 visual tokens"):
        export(tmp_path / "out", FormatName.EMU3, tmp_path / "dest")
    assert "<|visual token 040000|>" in "".join(rows(tmp_path / "out", tmp_path, FormatName.EMU35).values())


def coded_as(one: VideoDocuments, code: int) -> VideoDocuments:
    assert one.additions.codes is not None
    row = one.additions.codes().model_copy(update={"npy": [codes_bytes(np.full((3, 4), code, np.uint16))]})
    return one._replace(additions=replace(one.additions, codes=lambda: row))


@pytest.mark.parametrize(
    ("revision", "warned"),
    [
        ("storyloom 0.1.0; Emu3VQVAE; sha256:0", ""),
        ("storyloom 0.1.0; fitted-16 sha256:0; numpy 2", "fitted-16 sha256:0"),
    ],
)
def test_codes_of_another_codebook_are_warned_of(coded: Path, revision: str, warned: str) -> None:
    made = finished_dataset(coded).model_copy(update={"provenance": Provenance(revisions={"tokenize": revision})})
    found = foreign_codes(made)
    assert [f"mean codes of {warned}; the model was trained on those of Emu3VQVAE" in one for one in found] == (
        [True] if warned else []
    )


def test_the_export_says_that_the_codes_are_of_another_codebook(coded: Path, tmp_path: Path) -> None:
    (warning,) = export(coded, FormatName.EMU35, tmp_path / "emu").warnings
    assert "trained on 131,072 of its own" in warning


def test_a_single_row_has_no_end_of_row_in_emu3_5() -> None:
    assert emu35_image(np.zeros((1, 2), np.uint16)) == (
        "<|image start|>1*2<|image token|><|visual token 000000|><|visual token 000000|><|image end|>"
    )
