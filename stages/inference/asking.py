"""Asking for a stage: the frames of several videos at a time, what is known already from the part's answers."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from typing import Protocol, TypeVar

from schemas.row import Row
from stages.base import Context, RunEnds, Video
from stages.inference.answers import Answers
from stages.inference.question import OF_THE_MODEL, Answer, NoAnswer, Question
from stages.inference.settings import ModelConfig

AHEAD = 4
"""Questions that are prepared for each one under way, so that the end of one video does not leave slots empty (our
choice)."""

USELESS = 20
"""Answers without one that is usable after which a model is not asked on (our choice): it thinks aloud, or writes what
it likes."""

RowT = TypeVar("RowT", bound=Row)

Ask = Callable[[Sequence[Question]], Awaitable[list[Answer | NoAnswer]]]
"""Asks questions; their answers come in the same order."""


class Backend(Protocol):
    """What answers.

    Attributes:
        at_once: Questions that it takes together.
    """

    at_once: int

    async def answers(self, questions: Sequence[Question]) -> list[Answer | NoAnswer]:
        """The answers to at most `at_once` questions, in their order.

        Raises:
            RunEnds: It will answer nothing in this run, e.g. since a budget is spent.
        """


class Usable:
    """A back end that ends the run when its first answers are all unusable: every other one would be paid for, too.

    Args:
        backend: What answers.
        named: The model, for a message.
    """

    def __init__(self, backend: Backend, named: str) -> None:
        self._backend = backend
        self._named = named
        self._good = False
        self._useless = Counter[str]()
        self.at_once = backend.at_once

    async def answers(self, questions: Sequence[Question]) -> list[Answer | NoAnswer]:
        """See `Backend.answers`."""
        self._check()
        found = await self._backend.answers(questions)
        if not self._good:
            self._good = any(isinstance(answer, Answer) for answer in found)
            self._useless.update(answer.reason for answer in found if isinstance(answer, NoAnswer))
            self._check()
        return found

    def _check(self) -> None:
        useless = sum(number for reason, number in self._useless.items() if reason in OF_THE_MODEL)
        if not self._good and useless >= USELESS:
            counted = ", ".join(f"{number} {reason}" for reason, number in sorted(self._useless.items()))
            raise RunEnds(
                f"{self._named} gave no usable answer ({counted}): raise max_tokens, have it not think aloud (body), or"
                " name another model; docs/errors.md has the reasons"
            )

    def prove(self) -> None:
        """Take the model as usable: an answer of its is remembered."""
        self._good = True


class Asking:
    """Asks a back end, in an event loop of its own that all parts in hand share.

    Args:
        stage: Name of the stage.
        config: Its settings.
        context: Of the run.
        backend: What answers.
    """

    def __init__(self, stage: str, config: ModelConfig, context: Context, backend: Backend) -> None:
        self._stage = stage
        self._config = config
        self._context = context
        self._backend = Usable(backend, f"{stage}.model {config.model!r}")
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name=f"{stage}-asking", daemon=True).start()

    def rows(
        self, videos: Iterable[Video], size: Callable[[Video], int], work: Callable[[Video, Ask], Awaitable[RowT]]
    ) -> Iterator[RowT]:
        """The rows of a part's videos, in their order; several videos are in hand at a time.

        Args:
            videos: Of one part.
            size: Number of questions of a video, roughly.
            work: Makes a video's row; it asks by what it is given.
        """
        part: _Part | None = None
        waiting: deque[tuple[int, Future[RowT]]] = deque()
        asked = 0
        try:
            for video in videos:
                part = part or self._part(video.part)
                expected = size(video)
                waiting.append((expected, asyncio.run_coroutine_threadsafe(_row(work, video, part.ask), self._loop)))
                asked += expected
                while asked > AHEAD * self._config.concurrency:
                    expected, future = waiting.popleft()
                    yield future.result()
                    asked -= expected
            while waiting:
                yield waiting.popleft()[1].result()
        except RunEnds:
            wait(future for _, future in waiting)  # what is under way is paid for
            raise
        finally:
            for _, future in waiting:
                future.cancel()
            if part is not None:
                part.answers.write()

    def _part(self, part: str) -> _Part:
        files = self._context.answers
        assert files is not None, "the machine says where answers lie"
        config = self._config
        # Half of what is not under way, so that questions go on while answers are written.
        at_once = max(1, (config.chunk - config.concurrency) // 2)
        answers = Answers(files, f"{self._stage}/{part or 'none'}", config.asks(self._context.seed), at_once)
        return _Part(self._backend, answers, config.chunk)


async def _row(work: Callable[[Video, Ask], Awaitable[RowT]], video: Video, ask: Ask) -> RowT:
    return await work(video, ask)


class _Part:
    """A part whose videos ask.

    Args:
        backend: What answers.
        answers: Those that are known.
        most: Answers that may be lost with the process: questions under way, and answers that are not written.
    """

    def __init__(self, backend: Usable, answers: Answers, most: int) -> None:
        self._backend = backend
        self.answers = answers
        self._most = most
        self._unwritten = self._in_hand = 0
        self._changed = asyncio.Condition()

    async def ask(self, questions: Sequence[Question]) -> list[Answer | NoAnswer]:
        """See `Ask`."""
        found: dict[str, Answer | NoAnswer | None] = {one.digest: self.answers.of(one) for one in questions}
        if any(found.values()):
            self._backend.prove()
        new = [one for one in {one.digest: one for one in questions}.values() if found[one.digest] is None]
        groups = [new[begin : begin + self._backend.at_once] for begin in range(0, len(new), self._backend.at_once)]
        answered = await asyncio.gather(*(self._asked(group) for group in groups), return_exceptions=True)
        for group, answers in zip(groups, answered, strict=True):
            if isinstance(answers, BaseException):
                raise answers
            found.update(zip((one.digest for one in group), answers, strict=True))
        return [answer for one in questions if (answer := found[one.digest]) is not None]

    async def _asked(self, questions: Sequence[Question]) -> list[Answer | NoAnswer]:
        """Ask once so many answers may be lost; remember those that come."""
        number, written = len(questions), 0
        async with self._changed:
            await self._changed.wait_for(lambda: self._unwritten + number <= self._most or not self._in_hand)
            self._unwritten += number
            self._in_hand += number
        try:
            answers = await self._backend.answers(questions)
            enough = False
            for question, answer in zip(questions, answers, strict=True):
                if isinstance(answer, Answer):
                    enough = self.answers.remember(question, answer)
                else:
                    written += 1  # a failure is not lost
            if enough:
                written += await asyncio.to_thread(self.answers.write)
        finally:
            async with self._changed:
                self._in_hand -= number
                self._unwritten -= written
                self._changed.notify_all()
        return answers
