"""Batches of windows that are filled across videos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from stages.transcribe.languages import Languages
from stages.transcribe.recognizer import Doubt, Recognition, RecognizedSegment, Request

WindowT = TypeVar("WindowT")


@dataclass(eq=False)
class Progress:
    """The progress of a video's recognition.

    Attributes:
        video: Its key.
        languages: Of its windows so far.
        segments: Recognized so far.
        left_out: Words of segments that are not believed, by the reason.
        last_speech: End of the last word in seconds, without pauses.
        waiting: Number of its queued windows.
        cut: Whether all its windows have been cut.
    """

    video: str
    languages: Languages
    segments: list[RecognizedSegment] = field(default_factory=list)
    left_out: Counter[Doubt] = field(default_factory=Counter)
    last_speech: float = 0.0
    waiting: int = 0
    cut: bool = False

    @property
    def done(self) -> bool:
        """Whether all its windows are recognized."""
        return self.cut and not self.waiting

    def result(self) -> tuple[str, Recognition]:
        """The video's key with its recognition."""
        spoken, doubted = self.languages.most_spoken(), self.languages.most_doubted()
        return self.video, Recognition(self.segments, spoken, self.left_out, doubted)


class WindowModel(Protocol[WindowT]):
    """Recognizes windows of speech in batches."""

    def windows(self, request: Request, progress: Progress) -> Iterator[WindowT]:
        """The audio's windows in time order."""

    def recognize_batch(self, batch: Sequence[tuple[Progress, WindowT]]) -> None:
        """Recognize windows, which may be of several languages, and add the segments to their `Progress`."""


class Batches(Generic[WindowT]):
    """A queue of windows, in the order of the videos and of time.

    Args:
        model: Recognizes them.
        size: Windows of a full batch.
    """

    def __init__(self, model: WindowModel[WindowT], size: int) -> None:
        self._model = model
        self._size = size
        self._waiting: list[tuple[Progress, WindowT]] = []

    def recognize(self, requests: Iterable[Request]) -> Iterator[tuple[str, Recognition]]:
        """See `stages.transcribe.recognizer.Recognizer`."""
        for request in requests:
            yield from self._add(request)
        yield from self._recognize()

    def _add(self, request: Request) -> Iterator[tuple[str, Recognition]]:
        """Queue the windows of one more video, and recognize full batches."""
        progress = Progress(request.video, Languages(request.language))
        for window in self._model.windows(request, progress):
            self._waiting.append((progress, window))
            progress.waiting += 1
            if len(self._waiting) == self._size:
                yield from self._recognize()
        progress.cut = True
        if progress.done:
            yield progress.result()

    def _recognize(self) -> Iterator[tuple[str, Recognition]]:
        """Recognize the queued windows."""
        batch, self._waiting = self._waiting, []
        if not batch:
            return
        self._model.recognize_batch(batch)
        for progress, _ in batch:
            progress.waiting -= 1
        yield from (progress.result() for progress in dict.fromkeys(one for one, _ in batch) if progress.done)
