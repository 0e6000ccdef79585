"""What is odd about a document: the flags by which a dataset's verdict counts documents and the app finds them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from hashlib import blake2b
from typing import Protocol

FEW_WORDS = 20
"""Words below which a document is very short: a sentence or two (our choice)."""

SMALL = 224
"""Pixels of a picture's longer side below which it is small: the input of the smallest usual image encoders."""

MUCH_LAG = 1.5
"""Seconds by which speech misses the picture that are worth a look (our choice)."""

SURE = 0.5
"""Least confidence of a lag that is believed (our choice)."""

REPEATS, REPEATED_SHARE = 3, 0.3
"""Times that a sentence is said, and share of a document's sentences that are such, from which the document repeats
itself: the loops of speech recognition (our choice)."""


class Flag(StrEnum):
    """What is odd about a document.

    Attributes:
        UNSCORED: No frame has a sentence of its own, so that no score says that words and pictures belong together.
        MOSTLY_ALONE: More than half of the frames have no sentence of their own.
        LAGGING: Speech misses the picture by `MUCH_LAG` or more.
        SHORT: Fewer than `FEW_WORDS` words.
        SMALL: A picture's longer side has fewer than `SMALL` pixels.
        REPETITIVE: Much of the text is the same sentences again.
        DUPLICATE: Another document has the same text.
    """

    UNSCORED = "unscored"
    MOSTLY_ALONE = "mostly_alone"
    LAGGING = "lagging"
    SHORT = "short"
    SMALL = "small"
    REPETITIVE = "repetitive"
    DUPLICATE = "duplicate"


class Flagged(Protocol):
    """The values of a document that tell its flags."""

    texts: list[str | None]
    image_text_index: list[int]
    image_width: list[int]
    image_height: list[int]
    lag: float
    lag_confidence: float

    @property
    def words(self) -> int:
        """Of the texts."""


def flags_of(document: Flagged) -> set[Flag]:
    """The flags of a document; whether another one has the same text is not known here."""
    texts = [text for text in document.texts if text is not None]
    alone = sum(index < 0 for index in document.image_text_index)
    frames = len(document.image_text_index)
    sides = map(max, document.image_width, document.image_height)
    told = {
        Flag.UNSCORED: alone == frames,
        Flag.MOSTLY_ALONE: alone > frames / 2,
        Flag.LAGGING: lags(document) and abs(document.lag) >= MUCH_LAG,
        Flag.SHORT: document.words < FEW_WORDS,
        Flag.SMALL: min(sides, default=SMALL) < SMALL,
        Flag.REPETITIVE: _repeated(texts) >= REPEATED_SHARE * len(texts) > 0,
    }
    return {flag for flag, yes in told.items() if yes}


def lags(document: Flagged) -> bool:
    """Whether a document's lag is believed."""
    return document.lag_confidence >= SURE


def digest(texts: Sequence[str | None]) -> int:
    """A number of 63 bits that is the same for the same words, in any case and spacing."""
    words = " ".join(" ".join(text for text in texts if text is not None).casefold().split())
    return int.from_bytes(blake2b(words.encode("utf-8", "surrogatepass"), digest_size=8).digest()) >> 1


def _repeated(texts: Sequence[str]) -> int:
    """Sentences that are said `REPEATS` times or more, each time counted."""
    if len(texts) < REPEATS:
        return 0
    return sum(times for times in Counter(map(str.casefold, texts)).values() if times >= REPEATS)
