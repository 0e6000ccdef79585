"""The base of all models that are written to files, and the type of their times."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MOST_SECONDS = 1e9
"""A time or a shift has no more, 31 years (our choice): sums of times stay finite."""

Seconds = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
"""Seconds from the start of the video, float64, rounded to 1 ms."""


def to_milliseconds(seconds: float) -> float:
    """Round a time to 1 ms, the resolution of every time in a row or a shard."""
    return round(float(seconds), 3)


class Model(BaseModel):
    """Base of all models that are written to files: immutable, and strict about unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
