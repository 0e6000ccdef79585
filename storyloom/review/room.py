"""The pages on which pairs are judged, one key each."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from storyloom.format.manifest import Published
from storyloom.format.reader import ShardReader
from storyloom.format.sample import Sample
from storyloom.format.shard import Shard
from storyloom.format.stored import StoredDocument
from storyloom.review.judgements import Answer, Notebook
from storyloom.review.summary import interval, percent, summary
from storyloom.view.app import Room, page
from storyloom.view.text import LONGEST_SENTENCE, shown

BESIDE = 2
"""Sentences before and after a pair's own that are shown on demand (our choice)."""

ANSWERS: tuple[tuple[Answer, str, str], ...] = (
    ("right", "Right", "1"),
    ("wrong", "Wrong", "2"),
    ("unsure", "Cannot say", "3"),
)
"""Answers, what their buttons say, and their keys."""


@dataclass(frozen=True)
class Neighbour:
    """A sentence near a pair: seconds, words, and whether it is the pair's own."""

    start: float
    text: str
    own: bool


class ReviewPages:
    """The pages of one review.

    Args:
        reader: Of the dataset.
        published: Its manifest.
        notebook: Pairs and answers.
        precision: That a threshold is looked for.
    """

    def __init__(self, reader: ShardReader, published: Published, notebook: Notebook, precision: float) -> None:
        self._reader, self._published, self._notebook, self._precision = reader, published, notebook, precision
        self._writing = threading.Lock()

    def room(self) -> Room:
        """The room of these pages."""
        routes = [
            Route("/review", self._begin),
            Route("/review/summary", self._summary),
            Route("/review/{number:int}", self._pair),
            Route("/review/{number:int}/{answer}", self._answer, methods=["POST"]),
            Route("/review/{number:int}.jpg", self._picture),
        ]
        return Room("Review", "/review", routes, "storyloom.review")

    def _begin(self, request: Request) -> Response:
        del request
        return RedirectResponse(self._next(-1), 303)

    def _next(self, number: int) -> str:
        """Address of the next pair to judge, or of the summary."""
        following = self._notebook.next_open(number)
        return "/review/summary" if following is None else f"/review/{following + 1}"

    def _pair(self, request: Request) -> Response:
        number = self._number(request)
        (stored,) = self._reader.json_only(*self._place(number))
        sample = self._checked(number, stored)
        own = sample.image_text_index[self._notebook.pairs[number].image]
        return page(
            request,
            "review.html",
            number=number,
            total=len(self._notebook.pairs),
            judged=len(self._notebook.answers),
            answer=self._notebook.answers.get(number),
            answers=ANSWERS,
            sentence=shown(sample.spoken[own], LONGEST_SENTENCE),
            time=sample.image_time[self._notebook.pairs[number].image],
            title=sample.title,
            neighbours=_neighbours(sample, own),
        )

    def _answer(self, request: Request) -> Response:
        number = self._number(request)
        answer = request.path_params["answer"]
        if answer not in get_args(Answer):
            raise HTTPException(400, "no such answer")
        with self._writing:
            self._notebook.put(number, answer)
            return JSONResponse({"next": self._next(number)})

    def _picture(self, request: Request) -> Response:
        number = self._number(request)
        shard, numbers = self._place(number)
        (stored,) = self._reader.pick([(shard, numbers.start)])
        jpeg = stored.pictures(self._checked(number, stored))[self._notebook.pairs[number].image]
        return Response(jpeg, media_type="image/jpeg")

    def _summary(self, request: Request) -> Response:
        found = summary(self._notebook.judged(), self._precision)
        first_open = self._notebook.next_open()
        return page(
            request, "review-summary.html", found=found, first_open=first_open, interval=interval, percent=percent
        )

    def _number(self, request: Request) -> int:
        """Number of a pair from 0; addresses count from 1."""
        number = int(request.path_params["number"]) - 1
        if not 0 <= number < len(self._notebook.pairs):
            raise HTTPException(404)
        return number

    def _place(self, number: int) -> tuple[Shard, range]:
        pair = self._notebook.pairs[number]
        return self._published.shards[pair.shard], range(pair.document, pair.document + 1)

    def _checked(self, number: int, stored: StoredDocument) -> Sample:
        sample = stored.sample()
        pair = self._notebook.pairs[number]
        if sample.sample_id != pair.key:
            raise stored.bad(f"it is {sample.sample_id}, but was {pair.key} when the pairs were drawn")
        return sample


def _neighbours(sample: Sample, own: int) -> Sequence[Neighbour]:
    """The sentences around a pair's own."""
    around = range(max(0, own - BESIDE), min(len(sample.spoken), own + BESIDE + 1))
    return [Neighbour(sample.text_start[n], shown(sample.spoken[n], LONGEST_SENTENCE), n == own) for n in around]
