"""The base of every row: the key of its video, and its error, drop and warnings."""

from __future__ import annotations

import hashlib
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from storyloom.format.model import Model
from storyloom.fs.url import without_secrets

KEY_DIGITS = 20

VideoKey = Annotated[str, StringConstraints(pattern=rf"^[0-9a-f]{{{KEY_DIGITS}}}$")]
"""As `video_key` makes it of a manifest row's id (or published URL, where it has none)."""


def video_key(of: str) -> str:
    """First `KEY_DIGITS` hexadecimal digits of the SHA-256 of a text."""
    return hashlib.sha256(of.encode()).hexdigest()[:KEY_DIGITS]


Similarity = Annotated[float, Field(ge=-1.0, le=1.0, allow_inf_nan=False)]
"""Cosine similarity of a frame and a text, rounded to 4 decimals (beyond these, devices disagree)."""


LONGEST_MESSAGE = 2000
"""Characters of a message that are kept: it may quote a server (our choice)."""


def _kept(message: str) -> str:
    message = without_secrets(message)
    return message if len(message) <= LONGEST_MESSAGE else message[: LONGEST_MESSAGE - 1] + "…"


Message = Annotated[str, AfterValidator(_kept)]
"""Text for the user, without userinfo and queries of the URLs that it quotes."""


class RowError(Model):
    """Why a stage failed on a video.

    Attributes:
        stage: Stage in which the failure arose; later stages pass it through unchanged.
        code: Short machine-readable cause, e.g. ``not_found``; docs/errors.md lists them all.
        message: What is wrong and how to fix it, for the user.
        retryable: Whether running again may help, e.g. after a timeout.
    """

    stage: str
    code: str
    message: Message
    retryable: bool = False


class Dropped(Model):
    """Why a stage left out a healthy video, e.g. ``no_speech``: not a failure, and counted separately.

    Attributes:
        stage: Stage that dropped it.
        reason: Short machine-readable reason; docs/errors.md lists them all.
        detail: The measured value behind the reason, for the user.
    """

    stage: str
    reason: str
    detail: Message = ""


class Row(Model):
    """One video's row in one stage; every video keeps a row in every stage.

    Attributes:
        video: Key that joins the rows of all stages.
        error: Set when this or an earlier stage failed on the video; the rest of the row is then empty.
        dropped: Set when this or an earlier stage left the video out; never together with `error`.
        warnings: Codes of anomalies that were worked around, e.g. ``picture_ends_early``.
    """

    video: VideoKey
    error: RowError | None = None
    dropped: Dropped | None = None
    warnings: list[str] = []

    @model_validator(mode="after")
    def _fails_or_is_dropped(self) -> Self:
        if self.error and self.dropped:
            raise ValueError("a row has an error or is dropped, never both")
        return self

    @property
    def live(self) -> bool:
        """Whether later stages have work to do on this video."""
        return self.error is None and self.dropped is None

    def retryable_items(self) -> int:
        """Items of the video, such as frames, that failed in a way that may pass; the video itself did not fail."""
        return 0

    def counts(self) -> dict[str, int]:
        """Counts that a run sums over this stage's rows, e.g. frames; keys are ``what`` or ``what_dropped.reason``."""
        return {}
