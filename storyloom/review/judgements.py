"""The file of a person's judgements: a line for the design, then one for each, on the disk before the next is shown."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError

from storyloom.errors import BadDataset, UsageError, printable
from storyloom.format.model import Model
from storyloom.fs.atomic import sync_folder
from storyloom.review.design import Design, Pair

Answer = Literal["right", "wrong", "unsure"]

MOST_BYTES = 64 * 2**20
"""Bytes of a file of judgements (our choice): half a million of them."""


class Judgement(Model):
    """What a person said of a pair; of several lines for one pair the last counts.

    Attributes:
        key: Of the document.
        image: Number of the image in it.
        band: Number of its band in the design.
        score: Its similarity, which the person did not see.
        answer: What they said.
    """

    key: str
    image: Annotated[int, Field(ge=0)]
    band: Annotated[int, Field(ge=0)]
    score: float
    answer: Answer


@dataclass(frozen=True)
class Judged:
    """The content of a file of judgements: its design, and by document and image what was said last."""

    design: Design
    judgements: dict[tuple[str, int], Judgement]


def read(file: Path) -> Judged:
    """Read a file of judgements. A last line that a crash cut off is left out.

    Raises:
        UsageError: It cannot be read.
        BadDataset: It is no such file, or damaged.
    """
    try:
        if file.stat().st_size > MOST_BYTES:
            raise BadDataset(f"{file} has more than {MOST_BYTES} bytes: it is no file of judgements")
        content = file.read_bytes()
    except OSError as reason:
        raise UsageError(f"{file} cannot be read: {reason.strerror}") from reason
    lines = content.split(b"\n")[:-1]
    if not lines:
        raise BadDataset(f"{file} is no file of judgements: `storyloom review` writes one")
    number = 1
    try:
        design = Design.model_validate_json(lines[0])
        judgements: dict[tuple[str, int], Judgement] = {}
        for number, line in enumerate(lines[1:], 2):
            one = Judgement.model_validate_json(line)
            if one.band >= len(design.bands):
                raise BadDataset(f"{file}, line {number}: the design has no band {one.band}")
            judgements[one.key, one.image] = one
    except ValidationError as error:
        flaw = printable(error.errors(include_url=False, include_input=False, include_context=False)[0]["msg"])
        raise BadDataset(f"{file}, line {number}: {flaw}; `storyloom review` writes such files") from None
    return Judged(design, judgements)


class Notebook:
    """An open file of judgements, which nobody else writes to. A context manager.

    Attributes:
        pairs: What is judged, in order.
        answers: By number of the pair.
    """

    def __init__(self, file: Path, design: Design, pairs: Sequence[Pair]) -> None:
        self._path, self._design, self.pairs = file, design, pairs
        self.answers: dict[int, Answer] = {}

    def __enter__(self) -> Self:
        """Open or make the file, and go on where it ends.

        Raises:
            UsageError: It cannot be written, somebody else has it open, or it is of another dataset, count or seed.
            BadDataset: It is no such file, or damaged.
        """
        try:
            self._file = self._path.open("a+b", buffering=0)
        except OSError as reason:
            raise UsageError(f"{self._path} cannot be written: {reason.strerror}") from reason
        try:
            self._begin()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def put(self, number: int, answer: Answer) -> None:
        """Note an answer; it is on the disk when this returns."""
        pair = self.pairs[number]
        one = Judgement(key=pair.key, image=pair.image, band=pair.band, score=pair.score, answer=answer)
        self._append(one.model_dump_json().encode() + b"\n")
        self.answers[number] = answer

    def next_open(self, after: int = -1) -> int | None:
        """The next pair without an answer, from the beginning where there is none after that one; None at the end."""
        pending = [number for number in range(len(self.pairs)) if number not in self.answers]
        return next((number for number in pending if number > after), next(iter(pending), None))

    def judged(self) -> Judged:
        """What the file holds."""
        return read(self._path)

    def _begin(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(
                f"{self._path} is open in another `storyloom review`: end it, or name another file"
            ) from None
        self._file.seek(0)
        content = self._file.read(MOST_BYTES) or b""
        line = self._design.model_dump_json(by_alias=True).encode() + b"\n"
        if line.startswith(content):  # nothing, or a first line that a crash cut off
            self._file.truncate(0)
            self._append(line)
            sync_folder(self._path.absolute().parent)
        else:
            read(self._path)  # nothing is cut off a file that is no such
            self._file.truncate(content.rfind(b"\n") + 1)
        found = read(self._path)
        if found.design != self._design:
            raise UsageError(
                f"{self._path} holds judgements of {_other(found.design, self._design)}: name another file, or give"
                f" --count {found.design.count} --seed {found.design.seed} and the dataset of that file"
            )
        said = {place: one.answer for place, one in found.judgements.items()}
        self.answers = dict(_known(self.pairs, said))

    def _append(self, line: bytes) -> None:
        self._file.write(line)
        os.fsync(self._file.fileno())


def _known(pairs: Sequence[Pair], said: dict[tuple[str, int], Answer]) -> Iterator[tuple[int, Answer]]:
    for number, pair in enumerate(pairs):
        if (pair.key, pair.image) in said:
            yield number, said[pair.key, pair.image]


def _other(found: Design, wanted: Design) -> str:
    if found.sha256 != wanted.sha256:
        return f"another dataset, {printable(found.dataset)} with sha256 {printable(found.sha256[:16])}…"
    return f"{found.count} pairs drawn with seed {found.seed}"
