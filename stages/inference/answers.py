"""The answers that are remembered: a part's, in files that appear whole, so that no question is paid for twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from threading import Lock
from typing import Any

from pydantic import ValidationError

from stages.inference.question import Answer, Question
from storyloom.format.model import Model
from storyloom.fs.files import Files

NAME_DIGITS = 16
"""Hexadecimal digits of its content's SHA-256 that name a file (our choice: 64 bits)."""


class Remembered(Model):
    """A line of a file: an answer and the digest of what was asked, of whom and how."""

    key: str
    text: str
    tokens_in: int = 0
    tokens_out: int = 0


class Answers:
    """The answers of one part. Failures are never among them.

    Args:
        files: The folder of all answers.
        folder: The part's within it.
        asked: All beside a question that an answer depends on: the model, its revision, the sampling.
        at_once: Answers that are written together, as one file.
    """

    def __init__(self, files: Files, folder: str, asked: Mapping[str, Any], at_once: int) -> None:
        self._files = files
        self._folder = folder
        self._asked = json.dumps(asked, sort_keys=True)
        self._at_once = at_once
        self._lock = Lock()
        self._waiting: list[Remembered] = []
        self._known = self._read()

    def of(self, question: Question) -> Answer | None:
        """The remembered answer to a question; None where there is none."""
        found = self._known.get(self._key(question))
        return Answer(found.text, found.tokens_in, found.tokens_out) if found else None

    def remember(self, question: Question, answer: Answer) -> bool:
        """Remember an answer; returns whether enough of them wait to be written."""
        with self._lock:
            one = Remembered(
                key=self._key(question), text=answer.text, tokens_in=answer.tokens_in, tokens_out=answer.tokens_out
            )
            self._known[one.key] = one
            self._waiting.append(one)
            return len(self._waiting) >= self._at_once

    def write(self) -> int:
        """Write what waits, and return how many answers that was; where it fails they wait on."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        if waiting:
            content = "".join(f"{one.model_dump_json()}\n" for one in waiting).encode()
            try:
                name = f"{self._folder}/{_name(content)}"
                if not self._files.create(name, content):
                    self._files.replace(name, content)  # what is there is damaged
            except BaseException:
                with self._lock:
                    self._waiting += waiting
                raise
        return len(waiting)

    def _key(self, question: Question) -> str:
        return hashlib.sha256(f"{self._asked}\n{question.digest}".encode()).hexdigest()

    def _read(self) -> dict[str, Remembered]:
        """The answers in all files of the part; a damaged file is none."""
        names = sorted(entry.name for entry in self._files.entries(self._folder))
        found: dict[str, Remembered] = {}
        for name, content in zip(names, self._files.read_all(names), strict=True):
            if content is None or name.rpartition("/")[2] != _name(content):
                continue
            try:
                lines = [Remembered.model_validate_json(line) for line in content.splitlines()]
            except ValidationError:
                continue
            found.update((one.key, one) for one in lines)
        return found


def _name(content: bytes) -> str:
    return f"{hashlib.sha256(content).hexdigest()[:NAME_DIGITS]}.jsonl"
