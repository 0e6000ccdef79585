"""Pages over a run's work folder, which the app of `storyloom.view` shows beside those of the finished dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.config import RunConfig
    from storyloom.view.app import Room


def rooms(config: RunConfig) -> list[Room]:  # noqa: ARG001 - none yet
    """The rooms of a config."""
    return []
