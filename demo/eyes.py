"""A stand-in for a vision-language model, for `make demo-fuse`: it picks the sentence that fits a picture best.

The sentences are the ones below, the fit is that of the demo's image-text model. It speaks OpenAI's protocol, so that
`caption` asks it as it asks any server.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from stages.score.image_text import ImageTextModel
from stages.score.stage import ScoreConfig, image_text_model
from stages.timing import Timings

MODEL = "eyes"

SENTENCES = (
    "A person in bright clothes smiles at the camera.",
    "A cat looks to the side.",
    "A dog runs over a meadow.",
    "A cup stands on a table.",
    "A plate with food is on a table.",
    "A tall rocket stands on a launch pad.",
    "A round red disc fills the picture.",
    "A man stands outdoors behind a camera on a tripod.",
    "Points of light are spread over a black sky.",
    "A wall is made of bricks.",
    "Coins lie in rows.",
    "A horse stands in front of a light background.",
    "Grass covers the ground.",
    "Several people walk along a street.",
    "A boat lies on calm water.",
    "Snow covers a mountain.",
)


class Eyes:
    """Picks sentences."""

    def __init__(self) -> None:
        self._model: ImageTextModel
        self._model, _ = image_text_model(ScoreConfig(), Timings())
        self._sentences = self._model.encode_texts(SENTENCES)

    def caption(self, jpeg: bytes) -> str:
        """The sentence that fits best."""
        picture, _ = self._model.encode([jpeg], [])
        return SENTENCES[int(np.argmax(self._sentences @ picture[0]))]


def application() -> Starlette:
    """The server's two addresses."""
    eyes = Eyes()

    async def models(_request: Request) -> JSONResponse:
        return JSONResponse({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    async def complete(request: Request) -> JSONResponse:
        jpeg, asked = _question(await request.json())
        answer = json.dumps({"id": asked["id"], "text": await run_in_threadpool(eyes.caption, jpeg)})
        message = {"role": "assistant", "content": answer}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        return JSONResponse({"id": asked["id"], "object": "chat.completion", "model": MODEL, "choices": [choice]})

    return Starlette(routes=[Route("/v1/models", models), Route("/v1/chat/completions", complete, methods=["POST"])])


def _question(body: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    """The picture of a request, and the JSON that came with it."""
    image, text = body["messages"][-1]["content"]
    return base64.b64decode(image["image_url"]["url"].partition(",")[2]), json.loads(text["text"])


@contextmanager
def looking() -> Iterator[str]:
    """The server on loopback, in a thread; its address with ``/v1``."""
    server = uvicorn.Server(uvicorn.Config(application(), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.05)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join()
