"""Other tools: their weights are ours, and one that cannot be had is reported."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed.environments import PeerEnvironment
from benchmarks.speed.peer_table import PEERS, select_peers
from benchmarks.speed.weights import read_ctranslate2, write_weights
from stages.score.stage import ScoreConfig
from stages.transcribe.settings import TranscribeConfig
from storyloom.errors import UsageError


def test_every_peer_says_what_it_does_and_what_it_cannot() -> None:
    for peer in PEERS:
        assert peer.does.endswith(".")
        assert peer.cannot.endswith(".")
        assert all("==" in package for package in peer.packages)


def test_peers_are_chosen_by_name() -> None:
    assert select_peers([]) == list(PEERS)
    assert select_peers(["none"]) == []
    assert [one.name for one in select_peers(["pixeltable"])] == ["pixeltable"]
    with pytest.raises(UsageError, match="openai-whisper"):
        select_peers(["whisper"])


def test_a_peer_that_cannot_be_installed_is_reported_with_the_error(tmp_path: Path) -> None:
    broken = replace(PEERS[0], packages=("openai-whisper @ file:///nowhere/whisper.whl",), ours=())
    said = PeerEnvironment(broken, tmp_path, install_seconds=60.0).report()
    assert said.failed.startswith("not installed: ")
    assert said.cannot == broken.cannot
    assert said.versions == {}


def test_a_peer_whose_installation_takes_too_long_is_reported(tmp_path: Path) -> None:
    assert "took over" in PeerEnvironment(PEERS[0], tmp_path, install_seconds=0.001).report().failed


def test_a_file_of_another_format_is_refused() -> None:
    with pytest.raises(UsageError, match="format 5"):
        list(read_ctranslate2(io.BytesIO(struct.pack("<I", 5))))


def test_variables_come_back_with_their_shapes() -> None:
    array = np.arange(6, dtype=np.float16).reshape(2, 3)
    name = b"encoder/x\0"
    head = struct.pack("<IH", 6, 5) + b"Spec\0" + struct.pack("<II", 1, 1)
    body = struct.pack("<H", len(name)) + name + struct.pack("<BIIBI", 2, 2, 3, 4, array.nbytes) + array.tobytes()
    ((found, values),) = read_ctranslate2(io.BytesIO(head + body))
    assert found == "encoder/x"
    np.testing.assert_array_equal(values, array)


def test_a_model_that_is_no_folder_cannot_be_given_to_peers(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="large-v3"):
        write_weights(TranscribeConfig(model="large-v3"), ScoreConfig(), tmp_path)


@pytest.mark.slow
def test_openai_whisper_and_clip_load_the_weights_that_are_written(tmp_path: Path) -> None:
    import torch
    import whisper
    from transformers import CLIPModel, CLIPProcessor

    weights = write_weights(TranscribeConfig(), ScoreConfig(), tmp_path)
    hearing = whisper.load_model(str(weights.whisper), device="cpu")
    assert (hearing.is_multilingual, hearing.dims.n_text_layer) == (False, 4)
    clip, processor = CLIPModel.from_pretrained(weights.clip), CLIPProcessor.from_pretrained(weights.clip)
    tokens = processor(text=["a red cup of coffee"], return_tensors="pt")
    assert tokens["input_ids"][0].tolist() == [49406, 320, 736, 1937, 539, 2453, 49407]
    with torch.inference_mode():
        assert clip.get_text_features(**tokens).pooler_output.shape == (1, 384)
    long = processor(text=["a red cup " * 100], return_tensors="pt", truncation=True)
    assert long["input_ids"].shape == (1, 77)
