"""The client of a server that speaks OpenAI's protocol. It asks once, nobody else, and reads no body without end."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from stages.base import RunEnds
from stages.inference.settings import ModelConfig

NO_PROXY = "a proxy that the environment names (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) cannot be used"

PROXY_ERRORS = (ValueError, ImportError, httpx2.InvalidURL)
"""Their messages may have the proxy's password."""

LARGEST_BODY = 16 * 1024 * 1024
"""Bytes of a response that are read (our choice): far more than an answer takes with all thoughts before it."""


class BodyTooLarge(httpx2.ReadError):
    """A response has more than `LARGEST_BODY` bytes."""


def client_of(config: ModelConfig) -> AsyncOpenAI:
    """A client of the server that the settings name, for one event loop.

    Raises:
        RunEnds: The key or a proxy in the environment cannot be one.
    """
    key = config.key
    if not key.isascii() or not key.isprintable() or " " in key:
        raise RunEnds(f"${config.api_key} holds no key: it has characters that no key has; set another")
    try:
        http = DefaultAsyncHttpxClient(
            follow_redirects=False,  # no other host is told the question
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=config.concurrency),
            event_hooks={"response": [_bound]},
        )
    except PROXY_ERRORS:
        raise RunEnds(NO_PROXY) from None
    return AsyncOpenAI(base_url=config.url, api_key=key, max_retries=0, timeout=config.timeout, http_client=http)


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > LARGEST_BODY:
                raise BodyTooLarge(f"more than {LARGEST_BODY} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _bound(response: httpx2.Response) -> None:
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    response.stream = _Bounded(response.stream)
