"""A question to a model, its answer, and what both look like to a server or a chat template."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, StringConstraints, ValidationError

from schemas.text import clean_text
from storyloom.format.model import Model
from storyloom.format.tokens import neutralised, special_token

if TYPE_CHECKING:
    from PIL import Image

JPEG_QUALITY = 90
"""Of a picture that is made smaller (our choice)."""

ID_DIGITS = 6
"""Hexadecimal digits of the id that a model has to repeat (our choice): an answer to another question has its id with a
chance of 1 in 16 million, and few tokens are spent on it."""

MARKS = frozenset("<[|")
"""What special tokens begin with, and the bars in them; no JSON of texts has them outside its strings."""

OF_THE_MODEL = frozenset({"bad_answer", "cut_answer", "other_answer"})
"""Reasons for which there is no answer though the model wrote something."""

LONGEST_ANSWER = 100_000
"""Characters of an answer that are read (our choice)."""


class Reply(Model):
    """What a model has to answer: a JSON object.

    Attributes:
        id: That of the question.
        text: What was asked for.
    """

    model_config = ConfigDict(strict=True)

    id: Annotated[str, StringConstraints(pattern=rf"^[0-9a-f]{{{ID_DIGITS}}}$")]
    text: str


REPLY = Reply.model_json_schema()
"""The JSON schema of answers. It is the same for all questions, so that a server compiles it once."""


@dataclass(frozen=True)
class Picture:
    """A picture that a model is shown.

    Attributes:
        jpeg: Its bytes.
        max_side: Pixels of its longer side as it is shown; smaller ones stay as they are.
    """

    jpeg: bytes
    max_side: int

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what is shown, and how large."""
        return hashlib.sha256(f"{self.max_side}\n".encode() + self.jpeg).hexdigest()

    def opened(self) -> Image.Image:
        """The picture at the size at which it is shown."""
        from PIL import Image

        with Image.open(io.BytesIO(self.jpeg), formats=["JPEG"]) as image:
            image.draft("RGB", (self.max_side, self.max_side))  # decodes at a fraction of the size that is still larger
            picture = image.convert("RGB")
        picture.thumbnail((self.max_side, self.max_side), Image.Resampling.LANCZOS)
        return picture

    def url(self) -> str:
        """The picture as a data URL; one that is small enough has the bytes that it came with."""
        from PIL import Image

        with Image.open(io.BytesIO(self.jpeg), formats=["JPEG"]) as image:
            fits = max(image.size) <= self.max_side
        content = io.BytesIO(self.jpeg)
        if not fits:
            content = io.BytesIO()
            self.opened().save(content, "JPEG", quality=JPEG_QUALITY)
        return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"


@dataclass(frozen=True)
class Refused:
    """An answer that was refused.

    Attributes:
        text: The answer.
        told: What is wrong with it, in a sentence for the model.
    """

    text: str
    told: str


@dataclass(frozen=True)
class Question:
    """A question to a model.

    Attributes:
        instruction: What it is to do.
        data: What it is to do that with, as strangers said it. It is sent as JSON, in which no text ends early.
        picture: Shown with it; None for none.
        refused: An earlier answer that was refused.
    """

    instruction: str
    data: Mapping[str, str] = field(default_factory=dict)
    picture: Picture | None = None
    refused: Refused | None = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that is asked."""
        parts = {
            "instruction": self.instruction,
            "data": dict(self.data),
            "picture": self.picture.digest if self.picture else "",
            "refused": [self.refused.text, self.refused.told] if self.refused else [],
        }
        return hashlib.sha256(_json(parts).encode()).hexdigest()

    @property
    def id(self) -> str:
        """What an answer has to repeat, so that one to another question is known."""
        return self.digest[:ID_DIGITS]

    def turns(self, image: Any) -> list[dict[str, Any]]:
        """The conversation in which it is asked, as chat templates and OpenAI's protocol have it.

        Args:
            image: The part of a message that shows the picture.
        """
        asked = _plain_json({"id": self.id, **self.data})
        content = [image, {"type": "text", "text": asked}] if self.picture else asked
        turns: list[dict[str, Any]] = [
            {"role": "system", "content": self.instruction},
            {"role": "user", "content": content},
        ]
        if self.refused:
            turns += [
                {"role": "assistant", "content": _plain_json({"id": self.id, "text": self.refused.text})},
                {"role": "user", "content": self.refused.told},
            ]
        return turns


@dataclass(frozen=True)
class Answer:
    """A model's answer.

    Attributes:
        text: Trimmed, without control characters or special tokens of trainers.
        tokens_in: Tokens of the question; 0 where the server does not say.
        tokens_out: Tokens of the answer; likewise.
    """

    text: str
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(frozen=True)
class NoAnswer:
    """Why a question has no answer.

    Attributes:
        reason: As in docs/errors.md.
        retryable: Whether asking again in another run may help.
    """

    reason: str
    retryable: bool


def answer_in(content: str, question: Question, tokens_in: int, tokens_out: int) -> Answer | NoAnswer:
    """The answer in what a model wrote; ``bad_answer`` for anything else, ``other_answer`` to another question."""
    try:
        reply = Reply.model_validate_json(_unfenced(content[:LONGEST_ANSWER]))
    except ValidationError:
        return NoAnswer("bad_answer", retryable=True)
    if reply.id != question.id:
        return NoAnswer("other_answer", retryable=True)
    text, _ = clean_text(reply.text, LONGEST_ANSWER)
    return Answer(" ".join(neutralised(text).split()), tokens_in, tokens_out)


def _unfenced(content: str) -> str:
    """A text without the fence of a code block around it, which models like to add to JSON."""
    inner = content.strip()
    if inner.startswith("```") and inner.endswith("```"):
        return inner[3:-3].removeprefix("json").strip()
    return inner


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def _plain_json(value: Mapping[str, str]) -> str:
    """A flat object as JSON without special tokens, which a tokenizer would take for the end of a turn, say.

    Their brackets and bars are escaped, so that the texts are still the same.
    """
    text = _json(value)
    if not special_token(text):
        return text
    return "".join(f"\\u{ord(char):04x}" if unicodedata.normalize("NFKC", char) in MARKS else char for char in text)
