"""The run that the pages look at: its workspace, read again as it goes on, and single rows of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa
from starlette.exceptions import HTTPException
from starlette.requests import Request

from pipeline.config import RunConfig
from pipeline.view.moves import Tuning
from pipeline.workspace import Workspace, survey
from schemas.manifest import ManifestRow
from schemas.row import Row
from storyloom.format.arrow import arrow_schema

RowT = TypeVar("RowT", bound=Row)

FRESH = 3.0
"""Least seconds between two looks at the work folder (our choice)."""

PATIENCE = 10
"""Times that a look took which pass before the next one, so that a large run leaves the app time (our choice)."""


class Run:
    """A run, looked at while it may go on.

    Args:
        config: The config.
        command: How the user runs it on the command line.
    """

    def __init__(self, config: RunConfig, command: str) -> None:
        self.command = command
        self._config = config
        self._workspace: Workspace | None = None
        self._next = 0.0
        self._look = threading.Lock()
        self._tuning: tuple[object, Tuning] | None = None
        self._tune = threading.Lock()

    def workspace(self) -> Workspace:
        """The units and their state, a few seconds old at most.

        Raises:
            UsageError: The manifest or the work folder cannot be used.
        """
        with self._look:
            begin = time.monotonic()
            if self._workspace is None:
                self._workspace = survey(self._config)
            elif begin >= self._next:
                self._workspace = self._workspace.refreshed()
            else:
                return self._workspace
            end = time.monotonic()
            self._next = end + max(FRESH, PATIENCE * (end - begin))
            return self._workspace

    @contextmanager
    def tuning(self, *, again: bool = False) -> Iterator[Tuning]:
        """The recorded scores, for one caller at a time.

        Args:
            again: Whether those of parts that were scored since, or scored again, are wanted too.
        """
        with self._tune:
            if self._tuning is None or again:
                workspace = self.workspace()
                there = ({one.stem for one in workspace.done("score").values()}, set(workspace.job.results))
                if self._tuning is None or self._tuning[0] != there:
                    self._tuning = there, Tuning(workspace)
            yield self._tuning[1]


@dataclass(frozen=True)
class Place:
    """The place of a video in a run: its part, its position there, its line of the manifest."""

    workspace: Workspace
    part: str
    position: int
    line: ManifestRow

    def row(self, stage: str, model: type[RowT], without: tuple[str, ...] = ()) -> RowT | None:
        """The video's row in a stage, some columns left out; None where its part is not done there."""
        found = self.workspace.found(stage, self.part) if stage in self.workspace.graph.names else None
        if found is None or found[1] is None:
            return None
        columns = [name for name in arrow_schema(model).names if name not in without]
        try:
            with self.workspace.job.store.unchecked(found[0]) as opened:
                values = opened.read_row_group(self.position, columns=columns).to_pylist()[0]
        except (OSError, pa.ArrowException):  # a run does it again, now or when it finds it damaged
            return None
        row = model.model_validate(values)
        return row if row.video == self.line.video else None


def place_of(workspace: Workspace, name: str) -> Place | None:
    """A video by its id in the manifest; None where there is none."""
    for part in workspace.lines.parts_with([name]):
        for position, line in enumerate(workspace.lines[part]):
            if line.source_id == name:
                return Place(workspace, part, position, line)
    return None


def place_of_key(workspace: Workspace, key: str) -> Place:
    """A video by its key.

    Raises:
        HTTPException: There is none: the answer is 404.
    """
    part = workspace.lines.part_of(key)
    if part is None:
        raise HTTPException(404)
    lines = workspace.lines[part]
    position = next(position for position, line in enumerate(lines) if line.video == key)
    return Place(workspace, part, position, lines[position])


def number_of(request: Request, name: str, default: int = 1) -> int:
    """A whole number of the query, from 1 on; the default where there is none such."""
    text = request.query_params.get(name, "")
    return max(1, int(text)) if text.isdecimal() and len(text) < 10 else default  # noqa: PLR2004 - nine digits
