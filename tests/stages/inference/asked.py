"""Questions, settings and videos for tests that ask a server."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from schemas.manifest import ManifestRow
from schemas.row import Row, video_key
from stages.base import Context, Video
from stages.inference.asking import Ask, Asking
from stages.inference.question import Answer, NoAnswer, Picture, Question
from stages.inference.server import Server
from stages.inference.settings import ModelConfig
from stages.turns import FolderTurns
from storyloom.fs.files import files_at
from tests.chat_server import MODEL, ChatServer

STAGE = "caption"

INSTRUCTION = "Repeat the text."


def config(chat: ChatServer, **settings: Any) -> ModelConfig:
    """Settings that ask a server."""
    return ModelConfig.model_validate({"enabled": True, "model": MODEL, "url": chat.url, "retries": 2} | settings)


def question(text: str) -> Question:
    """A question whose right answer is its text."""
    return Question(INSTRUCTION, {"text": text})


def questions(number: int) -> list[Question]:
    return [question(f"question {place}.") for place in range(number)]


def picture(colour: tuple[int, int, int], size: tuple[int, int] = (64, 36), max_side: int = 512) -> Picture:
    """A picture in one colour."""
    content = io.BytesIO()
    Image.new("RGB", size, colour).save(content, "JPEG", quality=95)
    return Picture(content.getvalue(), max_side)


@dataclass(frozen=True)
class Seen(FolderTurns):
    """Turns that note what was asked of them.

    Attributes:
        dues: What `due` said, with the host and the interval.
        paused: Set once a host wanted to be left alone.
    """

    dues: list[tuple[str, float, float]] = field(default_factory=list, compare=False)
    paused: threading.Event = field(default_factory=threading.Event, compare=False)

    def due(self, host: str, interval: float) -> float:
        left = super().due(host, interval)
        self.dues.append((host, interval, left))
        return left

    def pause(self, host: str, seconds: float) -> None:
        super().pause(host, seconds)
        self.paused.set()


async def replies(server: Server, asked: Sequence[Question]) -> list[Answer | NoAnswer]:
    """The answers to questions that are all asked at once; an exception once all are through."""
    found = await asyncio.gather(*(server.answers([one]) for one in asked), return_exceptions=True)
    for each in found:
        if isinstance(each, BaseException):
            raise each
    return [answer for each in found if not isinstance(each, BaseException) for answer in each]


def ask(settings: ModelConfig, asked: Sequence[Question], turns: FolderTurns) -> list[Answer | NoAnswer]:
    """The answers of a server that nobody asked before."""
    return asyncio.run(replies(Server(settings, STAGE, 0, turns), asked))


class Said(Row):
    """What was answered, or why nothing was, to each question of a video."""

    texts: list[str] = []


def video(name: str) -> Video:
    return Video(ManifestRow(video=video_key(name), url=name, source_id=name), [], "part")


def videos(number: int) -> list[Video]:
    return [video(f"video {place}") for place in range(number)]


@dataclass
class Stage:
    """A stage that asks some questions of each video, by a folder of answers.

    Attributes:
        settings: How it asks.
        folder: Of the run.
        each: Questions of a video.
    """

    settings: ModelConfig
    folder: Path
    each: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        answers = files_at(self.folder / "answers")
        turns = FolderTurns(self.folder / "turns")
        context = Context(seed=self.seed, media=files_at(self.folder / "media"), turns=turns, answers=answers)
        self.asking = Asking(STAGE, self.settings, context, Server(self.settings, STAGE, self.seed, turns))

    def rows(self, of: Sequence[Video]) -> Iterator[Said]:
        return self.asking.rows(of, lambda _: self.each, self._row)

    async def _row(self, one: Video, ask: Ask) -> Said:
        answers = await ask([question(text) for text in texts(one, self.each)])
        return Said(
            video=one.key,
            texts=[answer.text if isinstance(answer, Answer) else answer.reason for answer in answers],
        )


def texts(one: Video, each: int = 2) -> list[str]:
    """The texts of a video's questions."""
    return [f"{one.manifest.url}, question {place}." for place in range(each)]
