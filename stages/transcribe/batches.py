"""Batches filled across videos: what waits, what goes to the recogniser, and which video pays for its errors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from stages.transcribe.recognizer import DECIMALS, Heard, HeardSegment, Sound

WindowT = TypeVar("WindowT")


@dataclass(eq=False)
class Hearing:
    """A video that is being recognised.

    Attributes:
        video: Its key.
        language: Whisper's code; empty until it is detected.
        probability: Of the language.
        segments: Heard so far.
        last_speech: Seconds at which the last word ended, pauses left out.
        waiting: How many of its windows are cut and not recognised.
        cut: Whether there are no more windows to come.
        failed: What was raised over it.
    """

    video: str
    language: str
    probability: float = 1.0
    segments: list[HeardSegment] = field(default_factory=list)
    last_speech: float = 0.0
    waiting: int = 0
    cut: bool = False
    failed: Exception | None = None

    @property
    def over(self) -> bool:
        """Whether all of it was recognised."""
        return self.cut and not self.waiting

    def outcome(self) -> tuple[str, Heard | Exception]:
        """The video's key with what was heard."""
        return self.video, self.failed or Heard(self.segments, self.language, round(self.probability, DECIMALS))


class WindowModel(Protocol[WindowT]):
    """Recognises windows of speech in batches."""

    def windows(self, sound: Sound, hearing: Hearing) -> Iterator[WindowT]:
        """The sound's windows in the order of time; when the first one comes, `hearing.language` is known."""

    def recognise(self, batch: Sequence[tuple[Hearing, WindowT]]) -> None:
        """Add what is heard in windows of one language to their `Hearing`s; where this raises, nothing was added."""


class Batches(Generic[WindowT]):
    """Windows that wait for their batch.

    Args:
        model: What recognises them.
        size: Windows of a full batch. Where languages differ, the one with most windows goes to the model when twice as
            many wait: what is held stays bounded.
    """

    def __init__(self, model: WindowModel[WindowT], size: int) -> None:
        self._model = model
        self._size = size
        self._waiting: dict[str, list[tuple[Hearing, WindowT]]] = defaultdict(list)

    def heard(self, sounds: Iterable[Sound]) -> Iterator[tuple[str, Heard | Exception]]:
        """See `stages.transcribe.recognizer.Recogniser`."""
        for sound in sounds:
            yield from self._taken(sound)
        for language in list(self._waiting):
            yield from self._recognised(language)

    def _taken(self, sound: Sound) -> Iterator[tuple[str, Heard | Exception]]:
        """Queue the windows of one more sound."""
        hearing = Hearing(sound.video, sound.language)
        try:
            for window in self._model.windows(sound, hearing):
                self._waiting[hearing.language].append((hearing, window))
                hearing.waiting += 1
                if full := self._full():
                    yield from self._recognised(full)
        except (MemoryError, OSError):
            raise
        except Exception as reason:  # noqa: BLE001 - its row says so
            hearing.failed = reason
        hearing.cut = True
        if hearing.over:
            yield hearing.outcome()

    def _full(self) -> str:
        """The language of which a batch is due; empty when none is."""
        fullest = max(self._waiting, key=lambda language: len(self._waiting[language]))
        total = sum(map(len, self._waiting.values()))
        return fullest if len(self._waiting[fullest]) >= self._size or total >= 2 * self._size else ""

    def _recognised(self, language: str) -> Iterator[tuple[str, Heard | Exception]]:
        """Recognise what waits in a language. Where that fails, each video is tried without the others."""
        batch = self._waiting.pop(language)
        hearings = list(dict.fromkeys(hearing for hearing, _ in batch))
        if not self._succeeds(batch, hearings):
            for hearing in hearings:
                self._succeeds([(other, window) for other, window in batch if other is hearing], [hearing])
        for hearing, _ in batch:
            hearing.waiting -= 1
        yield from (hearing.outcome() for hearing in hearings if hearing.over)

    def _succeeds(self, batch: Sequence[tuple[Hearing, WindowT]], hearings: Sequence[Hearing]) -> bool:
        """Recognise windows, less those of videos that failed; one video alone has its failure noted."""
        try:
            if live := [(hearing, window) for hearing, window in batch if not hearing.failed]:
                self._model.recognise(live)
        except (MemoryError, OSError):
            raise
        except Exception as reason:  # noqa: BLE001 - its row says so
            if len(hearings) == 1:
                hearings[0].failed = reason
            return False
        return True
