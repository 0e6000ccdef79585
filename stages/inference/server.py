"""A server that speaks OpenAI's protocol: requests within its limits and the run's budget, failures by their kind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stages.base import RunEnds, ServiceDown
from stages.inference.question import REPLY, Answer, NoAnswer, Question, answer_in
from stages.inference.settings import ModelConfig
from stages.inference.spending import Spending
from stages.turns import Turns, retry_after

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from tenacity import RetryCallState

AWAY = frozenset({429, 502, 503, 504})
"""Statuses of a server, or of a proxy before it, that has too much to do, is loading its model, or is away."""

SLOW = 408
PAYMENT = "insufficient_quota"
"""OpenAI's code, with status 429, for an account without money."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds within which a question is asked again after its first failure, and after any (our choice)."""

BAD_ANSWERS = 1
"""Times that a question is asked again after an answer that is none: at temperature 0 the next one is seldom another
(our choice)."""

LOOK = 1.0
"""Seconds after which a worker without limits of its own looks whether the server asked others for a pause (our
choice)."""

WHETHER_IT_WORKS = Question("Answer with a JSON object that has the id and the text of the request.", {"text": "yes"})
"""Asked when a question fails and no other was answered meanwhile: is it the question, or the server?"""


class AskAgain(Exception):
    """A request failed in a way that may pass.

    Args:
        reason: As in docs/errors.md.
        away: Whether the server did not look at the request.
        after: Seconds after which the server wants to be asked again.
    """

    def __init__(self, reason: str, *, away: bool = False, after: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.away = away
        self.after = after


@dataclass
class Tries:
    """The tries of one question.

    Attributes:
        began: When, on `time.monotonic`'s clock.
        failed: Requests that failed.
        away: Requests that met no server.
        bad: Answers that were none.
    """

    began: float = field(default_factory=time.monotonic)
    failed: int = 0
    away: int = 0
    bad: int = 0


class Server:
    """Asks one server; a back end of `Asking`.

    Args:
        config: The stage's settings.
        stage: Name of the stage.
        seed: Of the sampling, though there is no chance at temperature 0.
        turns: The limits over all workers.
    """

    at_once = 1

    def __init__(self, config: ModelConfig, stage: str, seed: int, turns: Turns) -> None:
        self._config = config
        self._seed = seed
        self._turns = turns
        self._host = urlsplit(config.url).netloc
        self._spending = Spending(config.budget, stage, turns)
        self._slots = asyncio.Semaphore(config.concurrency)
        self._client: AsyncOpenAI | None = None
        self._looked = self._heard = self._answered = 0.0
        self._tokens = float(config.max_tokens)  # of a request, by the last ones

    async def answers(self, questions: Sequence[Question]) -> list[Answer | NoAnswer]:
        """See `Backend.answers`; also raises `ServiceDown` for a server that is away, or answers nothing."""
        return [await self._answer_to(question) for question in questions]

    async def _answer_to(self, question: Question) -> Answer | NoAnswer:
        from tenacity import AsyncRetrying, retry_if_exception_type

        tries = Tries()
        asked = AsyncRetrying(
            retry=retry_if_exception_type(AskAgain),
            stop=lambda state: self._is_last(state, tries),
            wait=_pause,
            reraise=True,
        )
        try:
            return await asked(self._asked, question)
        except AskAgain as last:
            return await self._given_up(last, tries)

    async def _asked(self, question: Question) -> Answer | NoAnswer:
        """Ask once.

        Raises:
            AskAgain: Another try may help.
        """
        self._spending.check()
        await self._may_ask()
        async with self._slots:
            self._spending.check()
            found = await self._request(question)
        self._answered = time.monotonic()
        if isinstance(found, NoAnswer) and found.retryable:
            raise AskAgain(found.reason)
        return found

    async def _request(self, question: Question) -> Answer | NoAnswer:
        import openai

        try:
            await self._spending.add(requests=1)
            async with asyncio.timeout(self._config.timeout):
                body = await asyncio.to_thread(self._body, question)
                response = await self._client_here().chat.completions.create(**body)
        except (TimeoutError, openai.APITimeoutError):
            raise AskAgain("timeout") from None
        except openai.APIStatusError as reason:
            return await self._status(reason)
        except openai.APIConnectionError as reason:
            raise AskAgain(f"connection_failed ({reason.__cause__ or reason})", away=True) from None
        except (openai.APIError, ValueError):  # the body is no JSON
            self._heard = time.monotonic()
            raise AskAgain("bad_answer") from None
        self._heard = time.monotonic()
        return await self._answer(response, question)

    async def _answer(self, response: Any, question: Question) -> Answer | NoAnswer:
        """The answer in a server's response, which may lack anything."""
        usage = getattr(response, "usage", None)
        tokens_in, tokens_out = (int(getattr(usage, name, 0) or 0) for name in ("prompt_tokens", "completion_tokens"))
        await self._spending.add(tokens_in=tokens_in, tokens_out=tokens_out)
        if tokens_in + tokens_out:
            self._tokens += 0.1 * (tokens_in + tokens_out - self._tokens)
        choices = getattr(response, "choices", None)
        if not choices:
            return NoAnswer("bad_answer", retryable=True)
        if choices[0].finish_reason == "length":
            return NoAnswer("cut_answer", retryable=False)
        if choices[0].finish_reason == "content_filter":
            return NoAnswer("content_filter", retryable=False)
        return answer_in(str(getattr(choices[0].message, "content", "") or ""), question, tokens_in, tokens_out)

    async def _status(self, reason: Any) -> NoAnswer:
        """What follows from a status that is no success."""
        status, url = reason.status_code, self._config.url
        if status == 429 and PAYMENT in str(reason.code):  # noqa: PLR2004 - too many requests
            raise RunEnds(f"the account at {url} has no money left ({PAYMENT}); what was answered is kept") from None
        if status in AWAY:
            after = retry_after(reason.response.headers) or 0.0
            if after:
                await asyncio.to_thread(self._turns.pause, self._host, after)
            raise AskAgain(f"status {status}", away=True, after=after) from None
        self._heard = time.monotonic()
        if status == SLOW:
            raise AskAgain("timeout") from None
        if status >= 500 or status == 409:  # noqa: PLR2004 - server errors, and a conflict
            raise AskAgain("server_error") from None
        if status in (401, 403):
            raise RunEnds(f"{url} refuses the key in ${self._config.api_key} (status {status}): set another") from None
        if status == 404:  # noqa: PLR2004 - not found
            model = self._config.model
            raise RunEnds(f"{url} knows no model {model!r}, or the address is wrong: it ends with /v1") from None
        return NoAnswer("bad_request", retryable=False)

    def _body(self, question: Question) -> dict[str, Any]:
        url = question.picture.url() if question.picture else ""
        image = {"type": "image_url", "image_url": {"url": url}}
        return {
            "model": self._config.model,
            "messages": question.turns(image),
            "temperature": 0,
            "seed": self._seed,
            "max_tokens": self._config.max_tokens,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "reply", "strict": True, "schema": REPLY},
            },
            "extra_body": self._config.body or None,
        }

    def _client_here(self) -> AsyncOpenAI:
        """The client, made in the event loop that uses it; it never asks again by itself."""
        if self._client is None:
            from openai import AsyncOpenAI

            self._client = AsyncOpenAI(
                base_url=self._config.url, api_key=self._config.key, max_retries=0, timeout=self._config.timeout
            )
        return self._client

    async def _may_ask(self) -> None:
        """Wait until the limits over all workers admit a request."""
        limits = {}
        if self._config.requests_per_minute:
            limits[self._host] = 60.0 / self._config.requests_per_minute
        elif time.monotonic() - self._looked > LOOK:
            limits[self._host] = 0.0
        if self._config.tokens_per_minute:
            limits[f"{self._host} tokens"] = 60.0 * self._tokens / self._config.tokens_per_minute
        for name, interval in limits.items():
            while (left := await asyncio.to_thread(self._turns.due, name, interval)) > 0.0:  # noqa: ASYNC110 - of others
                await asyncio.sleep(left)
        self._looked = time.monotonic() if limits else self._looked

    def _is_last(self, state: RetryCallState, tries: Tries) -> bool:
        """Whether a question is given up after this failure."""
        failure = state.outcome.exception() if state.outcome else None
        assert isinstance(failure, AskAgain)
        if failure.away:
            tries.away += 1
            back = self._answered > tries.began  # others are answered: is it this question that ends it?
            silent = time.monotonic() - max(self._heard, tries.began)
            return silent > self._config.patience or (back and tries.away > self._config.retries)
        if failure.reason in ("bad_answer", "other_answer"):
            tries.bad += 1
            return tries.bad > BAD_ANSWERS
        tries.failed += 1
        return tries.failed > self._config.retries

    async def _given_up(self, last: AskAgain, tries: Tries) -> NoAnswer:
        """Why a question has no answer, if that is not the server's fault.

        Raises:
            ServiceDown: It is.
        """
        if self._answered > tries.began or (not last.away and await self._works()):
            return NoAnswer("connection_failed" if last.away else last.reason, retryable=True)
        waited = f" for {self._config.patience:g} s" if last.away else ""
        raise ServiceDown(f"the server {self._config.url} answers nothing{waited}: {last.reason}")

    async def _works(self) -> bool:
        try:
            await self._request(WHETHER_IT_WORKS)
        except AskAgain as failure:
            return failure.reason in ("bad_answer", "other_answer")
        return True


def _pause(state: RetryCallState) -> float:
    """Seconds before the next try: longer each time, with jitter, and at least what the server asked for."""
    from tenacity import wait_random_exponential

    failure = state.outcome.exception() if state.outcome else None
    after = failure.after if isinstance(failure, AskAgain) else 0.0
    return after + wait_random_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE)(state)
