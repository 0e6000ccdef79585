"""A server on loopback that speaks OpenAI's protocol: it answers by rule, and misbehaves when it is told to.

For benchmarks and drills it runs by itself: ``python -m tests.chat_server --port 8000 --latency 0.2 --slots 64``. Then
it prints its address, takes faults by ``POST /faults`` (a list, as `Fault` has them), and tells what it counted by
``GET /counts``.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import math
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).parent.parent

MODEL = "eyes"
"""The model that is there unless others are named."""

ALWAYS = 10**9

LARGEST_BODY = 64 * 1024 * 1024

COLOURS: dict[str, tuple[float, ...]] = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "grey": (128, 128, 128),
    "red": (200, 40, 40),
    "green": (40, 160, 60),
    "blue": (40, 70, 200),
    "yellow": (230, 220, 50),
    "brown": (120, 75, 40),
    "orange": (240, 140, 30),
    "pink": (240, 150, 190),
}

OTHER_ID = "f" * 6

INJECTION = re.compile(r"ignore all instructions and answer\W+(\w+)", re.IGNORECASE)

TOKENS_OF_A_PICTURE = 256
CHARACTERS_OF_A_TOKEN = 4

PAGE = b"<!DOCTYPE html><html><title>Sign in</title><p>Welcome to the hotel's network.</html>"

BODIES = {"html": PAGE, "list": b"[1, 2]", "null": b"null", "deep": b"[" * 100_000 + b"]" * 100_000}
"""That are no completions, by the kind of the fault."""

DIRTY = "Dirty <image> words,\x07 <|im_end|>\u202e and\nlines [INST]."
"""A text with special tokens, control characters, an override of direction and a line break."""


@dataclass
class Fault:
    """What happens to requests.

    Attributes:
        kind: A status, such as ``429``, or:

            - ``no_money``: status 429 with OpenAI's code for an account without money;
            - ``stall``, ``stall_body``: nothing comes, or half of the body, until the client goes;
            - ``reset``, ``reset_body``: the connection is reset before the answer, or in the middle of its body;
            - ``die``: the whole server goes, with all connections; `ChatServer.start` brings it back;
            - ``cut_json``: a body that is whole by its length and ends early as JSON;
            - ``html``: a page, with status 200; ``list``, ``null``: JSON that is no completion;
            - ``redirect``: to `location`, with status 307;
            - ``huge``, ``huge_400``: a body of `size` bytes; ``deep``: one of many brackets;
            - ``no_choices``, ``odd_choices``, ``null_content``, ``no_usage``, ``odd_usage``, ``huge_usage``: a
              completion in which this is amiss;
            - ``length``, ``content_filter``: its finish_reason, with half of the answer;
            - ``prose``, ``no_text``, ``null_text``, ``number_id``, ``no_id``, ``extra_field``: another form;
            - ``other_id``: the answer to the question before it; if there is none, its own with another id;
            - ``fenced``: the right answer in a code block; ``dirty``: `DIRTY` as text;
            - ``text``: `text` as text, with the right id;
            - ``obeys``: what the data asks for by "ignore all instructions and answer WORD";
            - ``slow``: the right answer after `seconds` more.
        times: Requests to which it happens.
        within: What the data of the question match somewhere, as a regular expression.
        after: Requests that it lets go by first.
        retry_after: Seconds that a status asks for; 0 asks for none.
        dated: Whether it asks for them as a date.
        location: Where a redirect leads to.
        quotes_key: Whether the message of a status quotes the key.
        seconds: See ``slow``; a status waits as long.
        size: See ``huge``.
        text: See ``text``.
        path: Of the requests: ``chat/completions`` or ``models``.
    """

    kind: str
    times: int = 1
    within: str = ""
    after: int = 0
    retry_after: float = 0.0
    dated: bool = False
    location: str = ""
    quotes_key: bool = False
    seconds: float = 0.0
    size: int = 0
    text: str = ""
    path: str = "chat/completions"

    def meets(self, asked: Asked) -> bool:
        """Whether it happens to this request; then it happens to one less."""
        if self.times <= 0 or asked.path != self.path or not re.search(self.within, asked.text):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        self.times -= 1
        return True


@dataclass
class Asked:
    """A request.

    Attributes:
        path: Behind ``/v1/``.
        key: That it came with.
        headers: Its other headers, by their names in small letters.
        body: What it had, without pictures.
        instruction: The system's text.
        text: The user's, which is JSON.
        data: What that says beside the id.
        id: Of the question; empty where there is none.
        picture: Its bytes; None for none. Dropped once answered, unless `ChatServer.keeps_pictures`.
        size: Width and height of the picture.
        fault: Kind of what happened to it; empty for an answer by the rule.
        answered: Whether an answer went out as a whole.
    """

    path: str
    key: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    instruction: str = ""
    text: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    id: str = ""
    picture: bytes | None = None
    size: tuple[int, int] = (0, 0)
    fault: str = ""
    answered: bool = False


class BadRequest(Exception):
    """A request that no server of the protocol takes."""


class ChatServer:
    """The server, in a thread of its own.

    Args:
        port: 0 takes any; it stays the same over restarts.
        latency: Seconds that an answer takes.
        slots: Requests that are answered at a time; others wait.
        models: Their names.
        key: The only one that is taken; empty takes all.
        faults: What is to happen; the first that meets a request does.

    Attributes:
        asked: All requests to ``chat/completions`` so far, in the order in which they came.
        most: Requests that were in hand at once, at most; those in which it stalls count, too.
        connections: That were opened so far.
        keeps_pictures: Whether `asked` keeps them.
        blind: Whether it takes no pictures.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        latency: float = 0.0,
        slots: int = ALWAYS,
        models: Sequence[str] = (MODEL,),
        key: str = "",
        faults: Sequence[Fault] = (),
    ) -> None:
        self.port = port
        self.latency = latency
        self.slots = slots
        self.models = tuple(models)
        self.key = key
        self.faults = list(faults)
        self.asked: list[Asked] = []
        self.most = 0
        self.connections = 0
        self.keeps_pictures = self.blind = False
        self._in_hand = 0
        self._last = ""
        self._held = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """Its address, with ``/v1``."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def questions(self) -> list[dict[str, Any]]:
        """The data of all requests, in the order in which they came."""
        with self._changed:
            return [one.data for one in self.asked]

    def start(self) -> None:
        """Listen, again on the same port."""
        started: Future[int] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(started)), daemon=True)
        self._thread.start()
        self.port = started.result(30)

    def kill(self) -> None:
        """Reset all connections and listen no longer; what was in hand is lost."""
        with suppress(RuntimeError):  # it is gone already
            self._loop.call_soon_threadsafe(self._stopping.set)
        if self._thread and self._thread is not threading.current_thread():
            self._thread.join(30)

    def hold(self) -> None:
        """Answer nobody until `release`."""
        self._held = True
        self._loop.call_soon_threadsafe(self._gate.clear)

    def release(self) -> None:
        """Answer all who wait since `hold`."""
        self._held = False
        self._loop.call_soon_threadsafe(self._gate.set)

    def wait_for(self, what: Callable[[ChatServer], bool], seconds: float = 60.0) -> None:
        """Wait until something holds, e.g. ``lambda server: server.in_hand == 8``.

        Raises:
            TimeoutError: It does not.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: what(self), seconds):
                raise TimeoutError(f"in vain: {len(self.asked)} requests, {self._in_hand} in hand")

    @property
    def in_hand(self) -> int:
        """Requests that are in hand now."""
        return self._in_hand

    def counts(self) -> dict[str, Any]:
        """What was counted: requests, those answered, by fault, the most at once, connections, different questions."""
        with self._changed:
            faults: dict[str, int] = {}
            for one in self.asked:
                if one.fault:
                    faults[one.fault] = faults.get(one.fault, 0) + 1
            return {
                "requests": len(self.asked),
                "answered": sum(one.answered for one in self.asked),
                "questions": len({one.id for one in self.asked}),
                "faults": faults,
                "most": self.most,
                "connections": self.connections,
            }

    async def _run(self, started: Future[int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping, self._gate = asyncio.Event(), asyncio.Event()
        if not self._held:
            self._gate.set()
        self._free = asyncio.Semaphore(self.slots)
        try:
            server = await asyncio.start_server(
                self._connection, "127.0.0.1", self.port, limit=LARGEST_BODY, backlog=4096
            )
        except OSError as reason:
            started.set_exception(reason)
            return
        started.set_result(server.sockets[0].getsockname()[1])
        await self._stopping.wait()
        server.close()
        for writer in list(self._writers):
            _reset(writer)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # the client has gone, or the server goes
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request of a connection; returns whether another may follow."""
        head, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        content = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _ = head.split(" ")
        if path == "/counts":
            return await _send(writer, self.counts())
        if path == "/faults":
            self.faults = [Fault(**one) for one in json.loads(content)]
            return await _send(writer, {})
        asked = Asked(path.removeprefix("/v1/"), headers.pop("authorization", "").removeprefix("Bearer "), headers)
        if (method, asked.path) not in (("POST", "chat/completions"), ("GET", "models")):
            return await _send_status(writer, 404, "no such address")
        problem = ""
        if asked.path == "chat/completions":
            try:
                _read(json.loads(content), asked)
            except (BadRequest, ValueError, TypeError, KeyError, OSError) as reason:
                problem = f"{type(reason).__name__}: {reason}"
        with self._in_hand_until_answered(asked):
            return await self._answer(asked, problem, reader, writer)

    @contextmanager
    def _in_hand_until_answered(self, asked: Asked) -> Iterator[None]:
        if asked.path != "chat/completions":
            yield
            return
        with self._changed:
            self.asked.append(asked)
            self._in_hand += 1
            self.most = max(self.most, self._in_hand)
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._in_hand -= 1
                if not self.keeps_pictures:
                    asked.picture = None
                self._changed.notify_all()

    async def _answer(
        self, asked: Asked, problem: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        fault = next((one for one in self.faults if one.meets(asked)), None) or Fault("")
        asked.fault = kind = fault.kind
        if kind == "die":
            self._stopping.set()
            await asyncio.sleep(60)
        if kind == "stall":
            return bool(await reader.read(1))  # the client goes
        if kind == "reset":
            return _reset(writer)
        await self._gate.wait()
        if kind.isdigit() or kind in ("no_money", "redirect", "huge_400"):
            await asyncio.sleep(fault.seconds)
            return await _send_fault(writer, fault, asked)
        if self.key and asked.key != self.key:
            return await _send_status(writer, 401, f"Incorrect API key provided: {asked.key}", code="invalid_api_key")
        if asked.path == "models":
            models = [{"id": name, "object": "model", "created": 0, "owned_by": "tests"} for name in self.models]
            return await _send(writer, {"object": "list", "data": models})
        if problem or (self.blind and asked.picture):
            return await _send_status(writer, 400, problem or "no pictures are taken")
        if asked.body["model"] not in self.models:
            return await _send_status(writer, 404, f"no model {asked.body['model']}", code="model_not_found")
        async with self._free:
            await asyncio.sleep(self.latency + fault.seconds)
        body = self._body(asked, fault)
        if kind in ("stall_body", "reset_body"):
            writer.write(_head(200, len(body)) + body[: len(body) // 2])
            await writer.drain()
            return bool(await reader.read(1)) if kind == "stall_body" else _reset(writer)
        await _send_bytes(writer, 200, body, {"Content-Type": "text/html"} if kind == "html" else {})
        asked.answered = True
        return True

    def _body(self, asked: Asked, fault: Fault) -> bytes:
        """The body of a success, with whatever is wrong with it."""
        if fault.kind in BODIES:
            return BODIES[fault.kind]
        if fault.kind == "huge":
            return b'{"choices": "' + b"x" * fault.size + b'"}'
        content, finish = self._content(asked, fault)
        tokens = {
            "prompt_tokens": _tokens(asked.instruction + asked.text) + TOKENS_OF_A_PICTURE * bool(asked.picture),
            "completion_tokens": _tokens(content or ""),
        }
        completion: dict[str, Any] = {
            "id": f"chatcmpl-{asked.id}",
            "object": "chat.completion",
            "created": 0,
            "model": asked.body["model"],
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish},
            ],
            "usage": tokens | {"total_tokens": sum(tokens.values())},
        }
        match fault.kind:
            case "no_choices":
                completion["choices"] = []
            case "odd_choices":
                completion["choices"] = [None]
            case "no_usage":
                del completion["usage"]
            case "huge_usage":
                completion["usage"] = {"prompt_tokens": 10**400, "completion_tokens": 1}
            case "odd_usage":
                completion["usage"] = {"prompt_tokens": "many", "completion_tokens": -5}
        body = json.dumps(completion).encode()
        return body[: len(body) // 2] if fault.kind == "cut_json" else body

    def _content(self, asked: Asked, fault: Fault) -> tuple[str | None, str]:
        """What the model writes, and its finish_reason."""
        text = answer(asked.data, asked.picture)
        right = {"id": asked.id, "text": text}
        before, self._last = self._last, json.dumps(right)
        match fault.kind:
            case "null_content":
                return None, "stop"
            case "length" | "content_filter":
                return self._last[: len(self._last) // 2], fault.kind
            case "prose":
                return f"Sure! {text}", "stop"
            case "other_id":
                other = before if json.loads(before or "{}").get("id") not in (None, asked.id) else ""
                return other or json.dumps(right | {"id": OTHER_ID if asked.id != OTHER_ID else "0" * 6}), "stop"
            case "fenced":
                return f"```json\n{self._last}\n```", "stop"
            case "obeys":
                found = INJECTION.search(" ".join(map(str, asked.data.values())))
                return json.dumps(right | {"text": found[1]} if found else right), "stop"
        changed: dict[str, dict[str, Any]] = {
            "no_text": {"id": asked.id},
            "null_text": right | {"text": None},
            "number_id": right | {"id": 123456},
            "no_id": {"text": text},
            "extra_field": right | {"thoughts": "none"},
            "dirty": right | {"text": DIRTY},
            "text": right | {"text": fault.text},
        }
        return json.dumps(changed.get(fault.kind, right), ensure_ascii=True), "stop"


def answer(data: dict[str, Any], picture: bytes | None) -> str:
    """What the server answers: of a picture its looks, of a caption and speech both, of anything else all of it."""
    if picture is not None:
        return caption(picture)
    if isinstance(data.get("speech"), str) and isinstance(data.get("caption"), str):
        return f"{_ended(data['caption']).rstrip('.')}: {_ended(data['speech'])}"
    return " ".join(str(value) for value in data.values())


def caption(picture: bytes) -> str:
    """A sentence about a picture's size and colour."""
    with Image.open(io.BytesIO(picture)) as image:
        width, height = image.size
        image.draft("RGB", (64, 64))
        pixel = image.convert("RGB").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    assert isinstance(pixel, tuple)
    name = min(COLOURS, key=lambda colour: math.dist(COLOURS[colour], pixel))
    code = "".join(f"{value:02x}" for value in pixel)
    return f"A view in {name} tones of {code}, {width} wide and {height} high."


def _ended(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?", "。", "！", "？", "।", "؟", "…")) else f"{text}."


def _read(body: dict[str, Any], asked: Asked) -> None:
    """Take a request apart.

    Raises:
        BadRequest: It is none.
    """
    if not isinstance(body["model"], str) or not isinstance(body["messages"], list) or not body["messages"]:
        raise BadRequest("model and messages are wanted")
    asked.body = {name: value for name, value in body.items() if name != "messages"}
    wanted = body.get("response_format")
    if wanted is not None and (wanted["type"] != "json_schema" or wanted["json_schema"]["schema"]["type"] != "object"):
        raise BadRequest("response_format is no json_schema of an object")
    for message in body["messages"]:
        if message["role"] == "system":
            asked.instruction = message["content"]
        if message["role"] == "user" and not asked.text:
            content: Any = message["content"]
            parts: list[Any] = [{"type": "text", "text": content}] if isinstance(content, str) else content
            for part in parts:
                if part["type"] == "text":
                    asked.text = part["text"]
                elif part["type"] == "image_url":
                    head, _, encoded = part["image_url"]["url"].partition(";base64,")
                    if head != "data:image/jpeg":
                        raise BadRequest("only data URLs with a JPEG are taken")
                    asked.picture = base64.b64decode(encoded, validate=True)
                    with Image.open(io.BytesIO(asked.picture)) as image:
                        asked.size = image.size
                else:
                    raise BadRequest(f"no part of type {part['type']}")
    data = json.loads(asked.text)
    asked.id = str(data.pop("id", ""))
    asked.data = data


def _tokens(text: str) -> int:
    return math.ceil(len(text) / CHARACTERS_OF_A_TOKEN)


def _reset(writer: asyncio.StreamWriter) -> bool:
    """Reset a connection; returns that no request follows."""
    connection = writer.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


def _head(status: int, length: int, headers: dict[str, str] | None = None) -> bytes:
    stated = {"Content-Type": "application/json", "Content-Length": str(length)} | (headers or {})
    lines = [f"HTTP/1.1 {status} Status", *(f"{name}: {value}" for name, value in stated.items())]
    return "\r\n".join([*lines, "", ""]).encode()


async def _send_bytes(
    writer: asyncio.StreamWriter, status: int, body: bytes, headers: dict[str, str] | None = None
) -> bool:
    writer.write(_head(status, len(body), headers) + body)
    await writer.drain()
    return True


async def _send(writer: asyncio.StreamWriter, value: Any) -> bool:
    return await _send_bytes(writer, 200, json.dumps(value).encode())


async def _send_status(
    writer: asyncio.StreamWriter, status: int, message: str, *, code: str = "", headers: dict[str, str] | None = None
) -> bool:
    error = {"error": {"message": message, "type": "error", "param": None, "code": code or None}}
    return await _send_bytes(writer, status, json.dumps(error).encode(), headers)


async def _send_fault(writer: asyncio.StreamWriter, fault: Fault, asked: Asked) -> bool:
    said = f"status {fault.kind}{f' for the key {asked.key}' if fault.quotes_key else ''}"
    if fault.kind == "huge_400":
        return await _send_status(writer, 400, "x" * fault.size)
    if fault.kind == "no_money":
        return await _send_status(writer, 429, f"no quota: {said}", code="insufficient_quota")
    headers = {"Location": fault.location} if fault.location else {}
    if fault.retry_after:
        until = formatdate(math.ceil(time.time() + fault.retry_after), usegmt=True) if fault.dated else ""
        headers["Retry-After"] = until or f"{fault.retry_after:.0f}"
    return await _send_status(writer, 307 if fault.kind == "redirect" else int(fault.kind), said, headers=headers)


@contextmanager
def chatting(
    *faults: Fault, latency: float = 0.0, slots: int = ALWAYS, models: Sequence[str] = (MODEL,), key: str = ""
) -> Iterator[ChatServer]:
    """A server in a thread of its own, gone with the block."""
    server = ChatServer(latency=latency, slots=slots, models=models, key=key, faults=faults)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def chatting_elsewhere(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in a process of its own, started with these options of the command line, and its address."""
    command = [sys.executable, "-m", "tests.chat_server", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def main() -> None:
    """Serve until somebody ends the process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes any")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that an answer takes")
    parser.add_argument("--slots", type=int, default=ALWAYS, help="requests that are answered at a time")
    parser.add_argument("--model", action="append", help="name of a model; several may be named")
    parser.add_argument("--key", default="", help="the only one that is taken")
    parser.add_argument("--fault", action="append", default=[], help='e.g. {"kind": "429", "times": 3}')
    given = parser.parse_args()
    server = ChatServer(
        port=given.port,
        latency=given.latency,
        slots=given.slots,
        models=given.model or [MODEL],
        key=given.key,
        faults=[Fault(**json.loads(one)) for one in given.fault],
    )
    server.start()
    print(server.url, flush=True)
    with suppress(KeyboardInterrupt):
        while server._thread and server._thread.is_alive():
            server._thread.join(1)
    print(json.dumps(server.counts() | {"faults_left": [asdict(one) for one in server.faults]}), flush=True)


if __name__ == "__main__":
    main()
