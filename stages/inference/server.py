"""A server that speaks OpenAI's protocol: requests within its limits and the run's budget, failures by their kind."""

from __future__ import annotations

import asyncio
import functools
import io
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from schemas.text import clean_text
from stages.base import RunEnds, ServiceDown
from stages.inference.question import REPLY, Answer, NoAnswer, Picture, Question, answer_in
from stages.inference.settings import ModelConfig
from stages.inference.spending import Spending
from stages.turns import Turns, retry_after
from storyloom.fs.url import without_secrets

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from tenacity import RetryCallState

AWAY = frozenset({429, 502, 503, 504})
"""Statuses of a server, or of a proxy before it, that has too much to do, is loading its model, or is away."""

BUSY = frozenset({429, 503})
"""Those that a server gives by itself, whatever the question."""

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

PLAIN_SIDE = 64
"""Pixels of the picture that it comes with, where the question has one: models refuse smaller ones (our choice)."""

MOST_TOKENS = 10**9
"""Of a request that are believed (our choice)."""

LONGEST_MESSAGE = 300
"""Characters of a server's message that are quoted (our choice)."""


class AskAgain(Exception):
    """A request failed in a way that may pass.

    Args:
        reason: As in docs/errors.md.
        told: More about it, for the user.
        away: Whether the server did not look at the request.
        busy: Whether it said so itself.
        after: Seconds after which the server wants to be asked again.
    """

    def __init__(
        self, reason: str, told: str = "", *, away: bool = False, busy: bool = False, after: float = 0.0
    ) -> None:
        super().__init__(told or reason)
        self.reason = reason
        self.away = away
        self.busy = busy
        self.after = after


@dataclass
class Tries:
    """The tries of one question.

    Attributes:
        began: When, on `time.monotonic`'s clock; 0.0 before the first.
        since: When the last one failed, or the first one began.
        others: Whether the server answered anything between the last failure and the one before it.
        failed: Requests that failed.
        lost: Requests that met no server while others were answered: perhaps it is the question that ends it.
        bad: Answers that were none.
    """

    began: float = 0.0
    since: float = 0.0
    others: bool = False
    failed: int = 0
    lost: int = 0
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
        self._stage = stage
        self._seed = seed
        self._turns = turns
        self._host = urlsplit(config.url).netloc
        self._spending = Spending(config.budget, stage, turns)
        self._slots = asyncio.Semaphore(config.concurrency)
        self._client: AsyncOpenAI | None = None
        self._end = ""
        self._ended = asyncio.Event()
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
            sleep=self._sleep,
            reraise=True,
        )
        try:
            try:
                return await asked(self._asked, question, tries)
            except AskAgain as last:
                return await self._given_up(last, question, tries)
        except RunEnds as reason:
            self._end = self._end or str(reason)
            self._ended.set()
            raise

    async def _asked(self, question: Question, tries: Tries) -> Answer | NoAnswer:
        """Ask once.

        Raises:
            AskAgain: Another try may help.
        """
        async with self._slots:
            await self._may_ask()
            tries.began = tries.began or time.monotonic()
            tries.since = tries.since or tries.began
            found = await self._request(question)
        if isinstance(found, NoAnswer) and found.retryable:
            raise AskAgain(found.reason)
        return found

    async def _request(self, question: Question) -> Answer | NoAnswer:
        import httpx2
        import openai

        from stages.inference.client import BodyTooLarge

        client = self._client_here()
        await self._spending.add(requests=1)
        try:
            async with asyncio.timeout(self._config.timeout):
                body = await asyncio.to_thread(self._body, question) if question.picture else self._body(question)
                # Without openai's models of requests and responses, which take as long as all the rest.
                response = await client.post("/chat/completions", body=body, cast_to=httpx2.Response)
            completion = json.loads(response.content)
        except (TimeoutError, openai.APITimeoutError):
            raise AskAgain("timeout") from None
        except openai.APIStatusError as reason:
            raise await self._status(reason) from None
        except openai.APIConnectionError as reason:
            if isinstance(reason.__cause__, BodyTooLarge):
                raise self._no_completion() from None
            told = self._quoted(str(reason.__cause__ or reason))
            raise AskAgain("connection_failed", f"connection_failed ({told})", away=True) from None
        except (openai.APIError, ValueError, RecursionError):  # the body is no JSON
            raise self._no_completion() from None
        return await self._answer(completion, question)

    def _no_completion(self) -> AskAgain:
        """What follows from a success that is something else, such as the page of a hotel's network."""
        self._heard = time.monotonic()
        return AskAgain("server_error", "server_error (its response is no completion)")

    async def _answer(self, completion: Any, question: Question) -> Answer | NoAnswer:
        """The answer in a server's response, which may lack anything.

        Raises:
            AskAgain: It lacks all that makes it one.
        """
        usage = completion.get("usage") if isinstance(completion, dict) else None
        tokens_in, tokens_out = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
        await self._spending.add(tokens_in=tokens_in, tokens_out=tokens_out)
        if tokens_in + tokens_out:
            self._tokens += 0.1 * (tokens_in + tokens_out - self._tokens)
        try:
            choice = completion["choices"][0]
            content, finish = choice["message"].get("content"), choice.get("finish_reason")
        except (LookupError, TypeError, AttributeError):
            raise self._no_completion() from None
        self._heard = self._answered = time.monotonic()
        if finish == "length":
            return NoAnswer("cut_answer", retryable=False)
        if finish == "content_filter":
            return NoAnswer("content_filter", retryable=False)
        return answer_in(content if isinstance(content, str) else "", question, tokens_in, tokens_out)

    async def _status(self, reason: Any) -> AskAgain:
        """What follows from a status that is no success."""
        status, url = reason.status_code, self._config.url
        if status == 402 or (status == 429 and PAYMENT in str(reason.code)):  # noqa: PLR2004 - payment; too many requests
            raise RunEnds(
                f"the account at {url} has no money left (status {status}); what was answered is kept"
            ) from None
        if status in AWAY:
            after = retry_after(reason.response.headers) or 0.0
            if after:
                await asyncio.to_thread(self._turns.pause, self._host, after)
                self._looked = 0.0
            return AskAgain("connection_failed", f"status {status}", away=True, busy=status in BUSY, after=after)
        self._heard = time.monotonic()
        if status == SLOW:
            return AskAgain("timeout")
        if status >= 500 or status == 409:  # noqa: PLR2004 - server errors, and a conflict
            return AskAgain("server_error", f"server_error (status {status})")
        if status in (401, 403):
            raise RunEnds(f"{url} refuses the key in ${self._config.api_key} (status {status}): set another") from None
        if status == 404:  # noqa: PLR2004 - not found
            model = self._config.model
            raise RunEnds(f"{url} knows no model {model!r}, or the address is wrong: it ends with /v1") from None
        if status < 400:  # noqa: PLR2004 - a redirect
            to, _ = clean_text(without_secrets(reason.response.headers.get("Location", "")), LONGEST_MESSAGE)
            raise RunEnds(f"{url} leads elsewhere ({to}; status {status}): name the address that answers") from None
        return AskAgain("bad_request", f"status {status}, {self._quoted(reason.message)}")

    def _quoted(self, message: str) -> str:
        """A server's message, which may be long, or tell the key."""
        key = self._config.key
        return clean_text(message.replace(key, "…") if key != "none" else message, LONGEST_MESSAGE)[0]

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
            **self._config.body,
        }

    def _client_here(self) -> AsyncOpenAI:
        """The client, made in the event loop that uses it; it never asks again by itself."""
        from stages.inference.client import client_of

        if self._client is None:
            self._client = client_of(self._config)
        return self._client

    async def _may_ask(self) -> None:
        """Wait until the limits over all workers admit a request.

        Raises:
            RunEnds: No request is made any more.
            ServiceDown: The server wants to be left alone for longer than it is waited for.
        """
        self._check()
        limits = {}
        if self._config.requests_per_minute:
            limits[self._host] = 60.0 / self._config.requests_per_minute
        elif time.monotonic() - self._looked > LOOK:
            limits[self._host] = 0.0
        if self._config.tokens_per_minute:
            limits[f"{self._host} tokens"] = 60.0 * self._tokens / self._config.tokens_per_minute
        for name, interval in limits.items():
            while (left := await asyncio.to_thread(self._turns.due, name, interval)) > 0.0:
                if left > interval + self._config.patience:
                    raise self._left_alone(left)
                await self._sleep(left)
                self._check()
        self._looked = time.monotonic() if limits else self._looked

    def _check(self) -> None:
        if self._end:
            raise RunEnds(self._end)
        self._spending.check()

    async def _sleep(self, seconds: float) -> None:
        """Sleep so long, or until the run ends."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)

    def _is_last(self, state: RetryCallState, tries: Tries) -> bool:
        """Whether a question is given up after this failure."""
        failure = state.outcome.exception() if state.outcome else None
        assert isinstance(failure, AskAgain)
        now = time.monotonic()
        tries.others, tries.since = self._answered > tries.since, now
        if failure.reason == "bad_request":
            return True
        if failure.away:
            tries.lost += tries.others and not failure.busy
            heard = tries.began if tries.others else max(self._heard, tries.began)
            return tries.lost > self._config.retries or now + failure.after - heard > self._config.patience
        if failure.reason in ("bad_answer", "other_answer"):
            tries.bad += 1
            return tries.bad > BAD_ANSWERS
        tries.failed += 1
        return tries.failed > self._config.retries

    async def _given_up(self, last: AskAgain, question: Question, tries: Tries) -> NoAnswer:
        """Why a question has no answer, if that is not the server's fault.

        Raises:
            RunEnds: The server takes no request as this stage makes them.
            ServiceDown: It is away, or answers nothing.
        """
        if tries.others or (last.after <= self._config.patience and await self._works(question, tries)):
            return NoAnswer(last.reason, retryable=last.reason != "bad_request")
        if last.reason == "bad_request":
            raise RunEnds(
                f"{self._config.url} takes no request of {self._stage}, not even a plain one ({last}): see"
                f" {self._stage}.model and {self._stage}.body"
            )
        if last.after > self._config.patience:
            raise self._left_alone(last.after)
        waited = f" for {self._config.patience:g} s" if last.away else ""
        raise ServiceDown(f"the server {self._config.url} answers nothing{waited}: {last}")

    def _left_alone(self, seconds: float) -> ServiceDown:
        patience = f"{self._stage}.patience ({self._config.patience:g} s)"
        return ServiceDown(f"the server {self._config.url} wants to be left alone for {seconds:.0f} s, over {patience}")

    async def _works(self, question: Question, tries: Tries) -> bool:
        """Whether the server answers a question like this one, or has just answered another."""
        plain = replace(WHETHER_IT_WORKS, picture=_plain_picture() if question.picture else None)
        try:
            async with self._slots:
                await self._may_ask()
                if self._answered <= tries.since:
                    await self._request(plain)
        except AskAgain:
            return False
        return True


@functools.cache
def _plain_picture() -> Picture:
    """A grey square."""
    from PIL import Image

    content = io.BytesIO()
    Image.new("RGB", (PLAIN_SIDE, PLAIN_SIDE), "grey").save(content, "JPEG")
    return Picture(content.getvalue(), PLAIN_SIDE)


def _count(usage: Any, name: str) -> int:
    """A number of tokens in what a server counted; 0 where it did not."""
    found = usage.get(name) if isinstance(usage, dict) else None
    return min(max(0, found), MOST_TOKENS) if isinstance(found, int) else 0


def _pause(state: RetryCallState) -> float:
    """Seconds before the next try: longer each time, with jitter, and at least what the server asked for."""
    from tenacity import wait_random_exponential

    failure = state.outcome.exception() if state.outcome else None
    after = failure.after if isinstance(failure, AskAgain) else 0.0
    return after + wait_random_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE)(state)
