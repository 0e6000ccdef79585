"""Batches of windows that are filled across videos."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from stages.transcribe.recognizer import DECIMALS, Recognition, RecognizedSegment, Request

WindowT = TypeVar("WindowT")


@dataclass(eq=False)
class Progress:
    """The progress of a video's recognition.

    Attributes:
        video: Its key.
        language: Whisper's code; empty until it is detected.
        probability: Of the language.
        segments: Recognized so far.
        last_speech: End of the last word in seconds, without pauses.
        waiting: Number of its queued windows.
        cut: Whether all its windows have been cut.
    """

    video: str
    language: str
    probability: float = 1.0
    segments: list[RecognizedSegment] = field(default_factory=list)
    last_speech: float = 0.0
    waiting: int = 0
    cut: bool = False

    @property
    def done(self) -> bool:
        """Whether all its windows are recognized."""
        return self.cut and not self.waiting

    def result(self) -> tuple[str, Recognition]:
        """The video's key with its recognition."""
        return self.video, Recognition(self.segments, self.language, round(self.probability, DECIMALS))


class WindowModel(Protocol[WindowT]):
    """Recognizes windows of speech in batches."""

    def windows(self, request: Request, progress: Progress) -> Iterator[WindowT]:
        """The audio's windows in time order; `progress.language` is set before the first one is yielded."""

    def recognize_batch(self, batch: Sequence[tuple[Progress, WindowT]]) -> None:
        """Recognize windows of one language and add the segments to their `Progress`."""


class Batches(Generic[WindowT]):
    """A queue of windows per language.

    Args:
        model: Recognizes them.
        size: Windows of a full batch. With several languages, the one with the most windows is recognized when twice
            as many are queued, so that memory is bounded.
    """

    def __init__(self, model: WindowModel[WindowT], size: int) -> None:
        self._model = model
        self._size = size
        self._waiting: dict[str, list[tuple[Progress, WindowT]]] = defaultdict(list)

    def recognize(self, requests: Iterable[Request]) -> Iterator[tuple[str, Recognition]]:
        """See `stages.transcribe.recognizer.Recognizer`."""
        for request in requests:
            yield from self._add(request)
        for language in list(self._waiting):
            yield from self._recognize(language)

    def _add(self, request: Request) -> Iterator[tuple[str, Recognition]]:
        """Queue the windows of one more video, and recognize full batches."""
        progress = Progress(request.video, request.language)
        for window in self._model.windows(request, progress):
            self._waiting[progress.language].append((progress, window))
            progress.waiting += 1
            if due := self._due():
                yield from self._recognize(due)
        progress.cut = True
        if progress.done:
            yield progress.result()

    def _due(self) -> str:
        """The language whose batch is due; empty when none is."""
        fullest = max(self._waiting, key=lambda language: len(self._waiting[language]))
        total = sum(map(len, self._waiting.values()))
        return fullest if len(self._waiting[fullest]) >= self._size or total >= 2 * self._size else ""

    def _recognize(self, language: str) -> Iterator[tuple[str, Recognition]]:
        """Recognize the queued windows of a language."""
        batch = self._waiting.pop(language)
        self._model.recognize_batch(batch)
        for progress, _ in batch:
            progress.waiting -= 1
        yield from (progress.result() for progress in dict.fromkeys(one for one, _ in batch) if progress.done)
