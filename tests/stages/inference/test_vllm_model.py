"""The back end of vLLM, whose engine needs a GPU: here a stand-in has the classes of vLLM 0.33 that it uses."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest

from stages.base import Context, StageSetupError
from stages.inference.backend import backend_of
from stages.inference.question import REPLY, Answer, NoAnswer
from stages.inference.settings import ModelConfig
from storyloom.fs.files import files_at
from tests.stages.inference.tiny_models import about, again

CONTEXT = Context(seed=7, media=files_at(""))
CONFIG = ModelConfig(
    backend="vllm",
    model="/",
    max_tokens=64,
    batch=3,
    body={"chat_template_kwargs": {"enable_thinking": False}},
)


@dataclass
class Completion:
    """As vLLM's `CompletionOutput`."""

    text: str
    finish_reason: str = "stop"
    token_ids: Sequence[int] = (1, 2, 3)


@dataclass
class Output:
    """As vLLM's `RequestOutput`."""

    outputs: list[Completion]
    prompt_token_ids: list[int] = field(default_factory=lambda: [0] * 20)


class Engine:
    """As vLLM's `LLM`, with answers that are given."""

    made: dict[str, Any]
    asked: list[dict[str, Any]]
    answers: list[Completion]

    def __init__(self, model: str, **options: Any) -> None:
        Engine.made = {"model": model, **options}
        Engine.asked = []

    def chat(self, messages: list[list[dict[str, Any]]], sampling_params: Any, **options: Any) -> list[Output]:
        Engine.asked.append({"messages": messages, "sampling": sampling_params, **options})
        return [Output([answer]) for answer in Engine.answers[: len(messages)]]


@pytest.fixture
def _engine(monkeypatch: pytest.MonkeyPatch) -> None:
    vllm: Any = ModuleType("vllm")
    sampling: Any = ModuleType("vllm.sampling_params")
    vllm.LLM, vllm.SamplingParams, sampling.StructuredOutputsParams = Engine, dict, dict
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    monkeypatch.setitem(sys.modules, "vllm.sampling_params", sampling)


@pytest.mark.usefixtures("_engine")
def test_questions_go_to_the_engine_as_to_a_server() -> None:
    questions = [about("red"), again("blue"), about("green")]
    Engine.answers = [
        Completion(f'{{"id": "{questions[0].id}", "text": " A red wall.<|im_end|> "}}'),
        Completion('{"id": "', finish_reason="length"),
        Completion(f'{{"id": "{questions[0].id}", "text": "A green wall."}}'),
    ]
    model = backend_of("caption", CONFIG, CONTEXT)
    assert model.at_once == 3
    assert asyncio.run(model.answers(questions)) == [
        Answer("A red wall.im_end", 20, 3),
        NoAnswer("cut_answer", retryable=False),
        NoAnswer("other_answer", retryable=True),
    ]
    assert Engine.made["trust_remote_code"] is False
    assert Engine.made["load_format"] == "safetensors"
    (asked,) = Engine.asked
    sampling = {"temperature": 0.0, "seed": 7, "max_tokens": 64, "structured_outputs": {"json": REPLY}}
    assert asked["sampling"] == sampling
    assert asked["chat_template_kwargs"] == {"enable_thinking": False}
    for question, turns in zip(questions, asked["messages"], strict=True):
        picture = question.picture
        assert picture is not None
        assert turns == question.turns({"type": "image_url", "image_url": {"url": picture.url()}})


def test_without_vllm_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(StageSetupError, match=r"caption\.model '/' cannot be loaded: ModuleNotFoundError.*vllm"):
        backend_of("caption", CONFIG, CONTEXT)
