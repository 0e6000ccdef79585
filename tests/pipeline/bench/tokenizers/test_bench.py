"""The command over a dataset: its table, its JSON and its drawing."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from pipeline.bench.tokenizers import measure
from pipeline.bench.tokenizers.bench import Options, bench_tokenizers, scoring_model
from pipeline.bench.tokenizers.frames import sampled
from pipeline.bench.tokenizers.plot import drawn
from pipeline.bench.tokenizers.report import SENT, markdown
from pipeline.bench.tokenizers.sparse import SHARES
from pipeline.cli import app
from stages.tokenize.fitted import FITTED
from stages.write.stage import WriteConfig
from storyloom.errors import UsageError
from storyloom.format.manifest import finished_dataset
from storyloom.format.stored import BadShard
from tests.documents import dataset, videos
from tests.runs import Finished


def bench(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["bench", "tokenizers", *arguments])
    return (2 if isinstance(result.exception, UsageError) else result.exit_code), str(result.exception or result.stdout)


def test_the_command_writes_table_json_and_drawing(
    demo_run: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "TIMED", 0.0)
    files = tmp_path / "report.json", tmp_path / "report.svg"
    output = str(demo_run.config.output)
    code, printed = bench(
        output, "--frames", "2", "--side", "128", "--json", str(files[0]), "--svg", str(files[1]), "--device", "cpu"
    )
    assert code == 0, printed
    report = json.loads(files[0].read_text())
    names = [row["tokenizer"] for row in report["whole"]]
    assert names == ["patches-16", "patches-30", "patches-32", "jpeg-30", "jpeg-60", "jpeg-90", *FITTED]
    assert report["frames"] == 2
    assert report["sizes"] == {"128x64": 2}
    assert report["model"] == "demo"
    assert all(f"| {name} | " in printed for name in names)
    for row in report["whole"]:
        assert row["survival"]["low"] <= row["survival"]["auc"] <= row["survival"]["high"]
        assert (row["quality"]["psnr"] is None) == row["tokenizer"].startswith("patches")
        assert row["encoded_per_second"] > 0
    sparse = [(row["tokenizer"], row["sent"], row["share"]) for row in report["sparse"]]
    assert sparse == [
        (name, sent, share) for name in ("patches-16", list(FITTED)[-1]) for sent in SENT for share in SHARES
    ]
    texts = [element.text for element in ET.fromstring(files[1].read_text()).iter() if element.tag.endswith("text")]
    assert {"patches", "jpeg", "fitted", "patches-16: changed", "lossless", "tokens a frame"} <= set(texts)


@pytest.mark.parametrize("option", ["--json", "--svg"])
def test_a_report_that_cannot_be_written_is_said_before_anything_is_measured(tmp_path: Path, option: str) -> None:
    for file, said in ((tmp_path / "nothing" / "report", "there is no folder"), (tmp_path, "is a folder")):
        result = CliRunner().invoke(app, ["bench", "tokenizers", str(tmp_path / "shards"), option, str(file)])
        assert result.exit_code == 2
        assert said in " ".join(result.output.split())


@pytest.mark.parametrize("name", ["fited-16", "emu"])
def test_a_tokenizer_that_there_is_not_is_refused_and_others_are_listed(demo_run: Finished, name: str) -> None:
    code, message = bench(str(demo_run.config.output), "--with", name)
    assert code == 2
    assert f"--with {name}" in message
    assert all(known in message for known in FITTED)


def test_a_folder_without_weights_is_refused(demo_run: Finished, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    code, message = bench(str(demo_run.config.output), "--with", str(tmp_path))
    assert code == 2
    assert str(tmp_path) in message


@pytest.mark.slow
def test_a_folder_with_weights_has_rows_and_one_without_a_decoder_its_cost(
    demo_run: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hf, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two wait for each other where the machine is shared
    monkeypatch.setattr(measure, "TIMED", 0.0)
    small = dict(embed_dim=4, latent_channels=4, base_channels=32, channel_multiplier=[1, 1, 1, 1], num_res_blocks=1)
    decoding, mute = tmp_path / "emu3", tmp_path / "chameleon"
    emu3 = hf.Emu3VQVAEConfig(codebook_size=64, attn_resolutions=[], hidden_size=32, num_attention_heads=1, **small)
    hf.Emu3VQVAE(emu3).save_pretrained(decoding)
    hf.ChameleonVQVAE(hf.ChameleonVQVAEConfig(num_embeddings=64, resolution=64, **small)).save_pretrained(mute)
    options = Options([str(decoding), str(mute)], 2, 64, "", "cpu")
    report = bench_tokenizers(str(demo_run.config.output), options, lambda _: None)
    torch.set_num_threads(threads)
    rows = {row.tokenizer: row for row in report.whole}
    assert (rows[str(decoding)].tokens_per_frame, rows[str(decoding)].bits_per_token) == (32.0, 6.0)
    assert rows[str(decoding)].quality is not None
    assert rows[str(mute)].quality is None
    assert any("no decoder" in note for note in report.notes)
    assert {row.tokenizer for row in report.sparse} == {"patches-16", list(FITTED)[-1], str(decoding)}
    assert f"| {mute} | yes | 32 | 6 |" in "\n".join(markdown(report))
    assert str(mute) in drawn(report)


def test_a_place_without_a_dataset_is_refused(tmp_path: Path) -> None:
    code, message = bench(str(tmp_path / "none"))
    assert code == 2
    assert "no such folder" in message


def test_a_sample_is_spread_over_documents_and_bounded(tmp_path: Path) -> None:
    made = dataset(tmp_path, [videos(6, documents=1, frames=5)], WriteConfig())
    runs = sampled(str(tmp_path / "out"), made, 12, 64)
    assert [len(run) for run in runs] == [4, 4, 4]
    assert len({frame.sentence for run in runs for frame in run if frame.sentence}) > 1
    assert sampled(str(tmp_path / "out"), made, 1000, 64) != []
    assert sum(map(len, sampled(str(tmp_path / "out"), made, 1000, 64))) == 30


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("flaw", ["header", "vast"])
def test_a_picture_that_cannot_be_decoded_is_named_with_its_document(tmp_path: Path, flaw: str) -> None:
    made = dataset(tmp_path, [videos(2, documents=1, frames=2)], WriteConfig())
    (shard,) = (tmp_path / "out").rglob("*.tar")
    content = bytearray(shard.read_bytes())
    at = content.rindex(b"\xff\xc0") if flaw == "vast" else content.rindex(b"\xff\xd8\xff")
    content[at + 5 : at + 9] = (65_000).to_bytes(2, "big") * 2
    if flaw == "header":
        content[at : at + 3] = b"GIF"
    shard.unlink()
    shard.write_bytes(content)
    with pytest.raises(BadShard, match=r"shard-000000\.tar, document 1: the frame at .* cannot be decoded"):
        sampled(str(tmp_path / "out"), made, 8, 64)


def test_frames_without_a_sentence_are_in_the_sample(tmp_path: Path) -> None:
    made = dataset(tmp_path, [videos(1, documents=1, frames=3, texts=2)], WriteConfig())
    (run,) = sampled(str(tmp_path / "out"), made, 64, 64)
    assert [bool(frame.sentence) for frame in run] == [True, True, False]


def test_the_model_is_the_one_that_scored_the_dataset_or_the_named_one(demo_run: Finished, tmp_path: Path) -> None:
    scored = finished_dataset(str(demo_run.config.output))
    assert scoring_model(scored, Options([], 1, 64, "", "cpu")).model == "demo"
    named = scoring_model(scored, Options([], 1, 64, "ViT-B-32/openai", "cpu"))
    assert (named.model, named.pretrained, named.device) == ("ViT-B-32", "openai", "cpu")
    unknown = dataset(tmp_path, [videos(1)], WriteConfig())
    with pytest.raises(UsageError, match="--model"):
        scoring_model(unknown, Options([], 1, 64, "", "cpu"))
