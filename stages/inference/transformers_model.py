"""A model in this process, through transformers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from stages.base import RunEnds
from stages.inference.question import REPLY, Answer, NoAnswer, Question, Refused, answer_in
from stages.inference.settings import ModelConfig
from stages.models.device import resolved_torch_device
from stages.models.hub import hub_commit
from stages.models.loading import never_run_model_code

TRIAL = Question("Answer.", {"text": "yes"}, refused=Refused("no", "Say yes."))
"""Put into the chat template when a model is loaded, so that one that takes no such conversation is refused then."""


class TransformersModel:
    """Holds a model and asks it in batches, one after the other; a back end of `Asking`.

    What the model's config is for decides how it is loaded: a vision-language model with its processor, and any other
    as a causal language model, which is shown no pictures. The numbers are bfloat16 on a GPU that has them, and
    float32 elsewhere.

    Decoding is greedy, whatever the model's own generation config wants: of that its end tokens alone are used.
    llguidance keeps each answer to the form of `Reply`, and to the question's id: a small model need not copy it
    without a slip, and no answer comes back here to another question. A model that thinks first has no room for that:
    have its template turn it off, by ``body: {chat_template_kwargs: {enable_thinking: false}}`` for many.

    An answer depends on its question, and in the last digits of the logits on what else is in the batch: shorter
    questions are padded on the left to the longest, and libraries sum in another order for another shape. Where two
    tokens are nearly as likely, that may change a word. Questions whose answers are remembered are in no batch, so that
    after an interruption batches have other members; with ``batch: 1`` no answer depends on others.

    Args:
        config: The stage's settings.

    Raises:
        StageSetupError: The hub cannot be asked for the model's commit.
        OSError: There is no model, or it has no safetensors.
        ValueError: transformers do not know the model, or only with its own code; it has no chat template; or its
            tokenizer is none of Hugging Face's tokenizers.
        jinja2.TemplateError: Its chat template refuses a conversation such as ours.
    """

    def __init__(self, config: ModelConfig) -> None:
        import transformers as hf

        never_run_model_code()
        source = _source(config)
        kind = type(hf.AutoConfig.from_pretrained(**source))
        self._sees = kind in hf.AutoModelForImageTextToText._model_mapping  # noqa: SLF001 - there is no other list
        self._reader: Any = (hf.AutoProcessor if self._sees else hf.AutoTokenizer).from_pretrained(**source)
        self._tokenizer: Any = self._reader.tokenizer if self._sees else self._reader
        self._tokenizer.padding_side = "left"
        self._tokenizer.pad_token = self._tokenizer.pad_token or self._tokenizer.eos_token
        self._model = config.model
        self._template = config.template
        self._inputs([TRIAL])
        device, dtype = _device()
        network: Any = (hf.AutoModelForImageTextToText if self._sees else hf.AutoModelForCausalLM).from_pretrained(
            **source, dtype=dtype, use_safetensors=True
        )
        self._network = network.to(device).eval()
        self._ends = _end_tokens(network.generation_config, self._tokenizer)
        self._network.generation_config = self._greedy(config.max_tokens)
        self._forms = _Forms(self._tokenizer, network.config.get_text_config().vocab_size, self._ends)
        self._thread = ThreadPoolExecutor(1, "model")  # all parts in hand ask; the model takes one batch at a time
        self.at_once = config.batch

    async def answers(self, questions: Sequence[Question]) -> list[Answer | NoAnswer]:
        """See `Backend.answers`; also raises `RunEnds` for a picture and a model that is shown none."""
        if any(question.picture for question in questions) and not self._sees:
            raise RunEnds(f"the model {self._model} is shown no pictures: name a vision-language model")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._answers, questions)

    def _answers(self, questions: Sequence[Question]) -> list[Answer | NoAnswer]:
        """Ask those with pictures and those without apart: processors take a batch of one kind."""
        found: dict[int, Answer | NoAnswer] = {}
        for shown in (False, True):
            places = [place for place, question in enumerate(questions) if bool(question.picture) == shown]
            if places:
                found |= zip(places, self._batch([questions[place] for place in places]), strict=True)
        return [found[place] for place in range(len(questions))]

    def _batch(self, questions: Sequence[Question]) -> list[Answer | NoAnswer]:
        import torch
        from transformers import LogitsProcessorList

        with torch.inference_mode():
            inputs = self._inputs(questions).to(self._network.device)
            if self._sees:
                inputs = inputs.to(self._network.dtype)  # pixels; token ids stay whole numbers
            tokens = self._network.generate(**inputs, logits_processor=LogitsProcessorList([self._forms.of(questions)]))
        asked = inputs["attention_mask"].sum(dim=1).tolist()
        written = tokens[:, inputs["input_ids"].shape[1] :].tolist()
        return [self._answer(*one) for one in zip(questions, asked, written, strict=True)]

    def _inputs(self, questions: Sequence[Question]) -> Any:
        """A batch of questions as the model takes it, padded on the left: token ids and, where it sees, pixels."""
        padding = {"processor_kwargs": {"padding": True}} if self._sees else {"padding": True}
        return self._reader.apply_chat_template(
            [self._turns(question) for question in questions],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            **padding,
            **self._template,
        )

    def _turns(self, question: Question) -> list[dict[str, Any]]:
        """The conversation; for a processor with all contents as parts: many of their templates take nothing else."""
        image = {"type": "image", "image": question.picture.opened()} if question.picture else None
        turns = question.turns(image)
        if not self._sees:
            return turns
        return [
            turn | {"content": [{"type": "text", "text": turn["content"]}]}
            if isinstance(turn["content"], str)
            else turn
            for turn in turns
        ]

    def _answer(self, question: Question, asked: int, tokens: list[int]) -> Answer | NoAnswer:
        """The answer in the tokens after a question, which are padded after their end.

        Args:
            question: What was asked.
            asked: Its tokens.
            tokens: What the model wrote.
        """
        written = next((place for place, token in enumerate(tokens) if token in self._ends), None)
        if written is None:
            return NoAnswer("cut_answer", retryable=False)
        text = self._tokenizer.decode(tokens[:written], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return answer_in(text, question, asked, written + 1)

    def _greedy(self, max_tokens: int) -> Any:
        """A generation config in place of the model's own, which fills what a call leaves open."""
        import transformers

        config: Any = transformers.GenerationConfig
        return config(
            do_sample=False,
            max_new_tokens=max_tokens,
            eos_token_id=self._ends,
            pad_token_id=self._tokenizer.pad_token_id,
        )


def _source(config: ModelConfig) -> dict[str, Any]:
    """Where each part of a model is loaded from, for transformers' `from_pretrained`."""
    path = Path(config.model).expanduser()
    # A commit, and no branch: for "main" transformers would look for converted weights in others' branches.
    revision = None if path.exists() else config.revision or hub_commit(config.model)
    return {"pretrained_model_name_or_path": str(path), "revision": revision, "trust_remote_code": False}


def _device() -> tuple[str, Any]:
    """The device of a model, and the type of its numbers."""
    import torch

    device = resolved_torch_device("auto")
    half = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return device, torch.bfloat16 if half else torch.float32


class _Forms:
    """Makes what keeps answers to their form.

    Args:
        tokenizer: One of transformers'.
        width: Number of logits, which may be more than there are tokens.
        ends: The tokens that end an answer.

    Raises:
        ValueError: The tokenizer is none of Hugging Face's tokenizers.
    """

    def __init__(self, tokenizer: Any, width: int, ends: list[int]) -> None:
        from llguidance.hf import from_tokenizer

        self._tokenizer = from_tokenizer(tokenizer, n_vocab=width, eos_token=ends)

    def of(self, questions: Sequence[Question]) -> _KeptToForm:
        """For a batch of questions."""
        from llguidance import LLMatcher

        # Spaces as in questions, and none elsewhere: a model may go on with spaces forever.
        spaces: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
        grammars = [LLMatcher.grammar_from_json_schema(json.dumps(_form(one)), overrides=spaces) for one in questions]
        return _KeptToForm([LLMatcher(self._tokenizer, grammar) for grammar in grammars])


class _KeptToForm:
    """A logits processor of transformers that leaves each answer of a batch the tokens that its form allows.

    Args:
        matchers: llguidance's, one an answer.
    """

    def __init__(self, matchers: Sequence[Any]) -> None:
        self._matchers = matchers
        self._begun = False

    def __call__(self, tokens: Any, scores: Any) -> Any:
        """The scores, minus infinity for tokens that are not allowed.

        Args:
            tokens: All up to here, a row for each answer.
            scores: Of the next token: a row for each answer, a column for each logit.
        """
        import torch

        if self._begun:
            for matcher, token in zip(self._matchers, tokens[:, -1].tolist(), strict=True):
                if not matcher.is_stopped():  # after its end an answer is padded
                    matcher.consume_token(token)
        self._begun = True
        masks = [np.frombuffer(matcher.compute_bitmask(), np.uint8) for matcher in self._matchers]
        allowed = np.unpackbits(np.stack(masks), axis=1, count=scores.shape[1], bitorder="little").astype(bool)
        return scores.masked_fill(~torch.from_numpy(allowed).to(scores.device), float("-inf"))


def _form(question: Question) -> dict[str, Any]:
    """The JSON schema of the answer to a question: `REPLY` with its id."""
    return REPLY | {"properties": REPLY["properties"] | {"id": {"const": question.id}}}


def _end_tokens(config: Any, tokenizer: Any) -> list[int]:
    """Ids of the tokens that end an answer: those of the model's generation config, and the tokenizer's."""
    known = config.eos_token_id
    ids = {*(known if isinstance(known, list) else [known]), tokenizer.eos_token_id}
    return sorted(ids - {None})
