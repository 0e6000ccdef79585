"""A model in this process, through vLLM's engine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from stages.inference.question import REPLY, Answer, NoAnswer, Question, answer_in
from stages.inference.settings import ModelConfig
from stages.models.hub import hub_commit


class VllmModel:
    """Holds a model in vLLM's engine and asks it in batches; a back end of `Asking`.

    Written after the source and the pages of vLLM 0.33, and not run: no GPU was at hand. ``backend: server`` asks the
    same engine in a server of its own (``vllm serve``), which all workers share.

    vLLM puts questions into batches as they come, so that the last digits of logits, and with them a word, may depend
    on what else is asked; the environment variable ``VLLM_BATCH_INVARIANT=1`` rules that out, on GPUs that it is made
    for.

    Args:
        config: The stage's settings.
        seed: Of the sampling, though there is no chance at temperature 0.

    Raises:
        ImportError: vLLM is not installed, or older than 0.12.
        Exception: vLLM cannot load the model; what it raises has many types.
    """

    def __init__(self, config: ModelConfig, seed: int) -> None:
        from vllm import LLM, SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        path = Path(config.model).expanduser()
        revision = None if path.exists() else config.revision or hub_commit(config.model)
        self._engine: Any = LLM(
            str(path),
            revision=revision,
            tokenizer_revision=revision,
            trust_remote_code=False,
            load_format="safetensors",
            limit_mm_per_prompt={"image": 1},
            seed=seed,
        )
        self._sampling = SamplingParams(
            temperature=0.0,
            seed=seed,
            max_tokens=config.max_tokens,
            structured_outputs=StructuredOutputsParams(json=REPLY),
        )
        self._template = config.template
        self._thread = ThreadPoolExecutor(1, "model")  # all parts in hand ask; the engine is for one thread
        self.at_once = config.batch

    async def answers(self, questions: Sequence[Question]) -> list[Answer | NoAnswer]:
        """See `Backend.answers`."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._answers, questions)

    def _answers(self, questions: Sequence[Question]) -> list[Answer | NoAnswer]:
        outputs = self._engine.chat(
            [question.turns(_image(question)) for question in questions],
            self._sampling,
            use_tqdm=False,
            chat_template_kwargs=self._template,
        )
        return [_answer(*one) for one in zip(questions, outputs, strict=True)]


def _image(question: Question) -> dict[str, Any]:
    """The part of a message that shows the question's picture, as OpenAI's protocol has it."""
    return {"type": "image_url", "image_url": {"url": question.picture.url() if question.picture else ""}}


def _answer(question: Question, output: Any) -> Answer | NoAnswer:
    """The answer in a `RequestOutput` of vLLM's."""
    (completion,) = output.outputs
    if completion.finish_reason == "length":
        return NoAnswer("cut_answer", retryable=False)
    return answer_in(completion.text, question, len(output.prompt_token_ids or ()), len(completion.token_ids))
