"""While a run goes on: what its stages do, what all will come to, and how fast it was."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from pipeline.attempts import doing
from pipeline.progress.estimate import Speeds, estimate, keep_speeds
from pipeline.progress.listener import Listener
from pipeline.progress.pace import FEW, Pace
from pipeline.workspace import Workspace
from stages.base import CorpusStep, GroupStage
from storyloom.errors import RunFailed

LOOK_SECONDS = 1.0
"""Seconds between two looks at what the stages do (our choice)."""

SOON = 60.0
"""Seconds left under which nobody needs an estimate (our choice)."""

RARER = 4
"""Times as many parts as at one estimate have to be finished at the next (our choice)."""


@contextlib.contextmanager
def watched(workspace: Workspace, pace: Pace, listener: Listener) -> Iterator[None]:
    """Tell a listener, from a thread, what the stages do, and now and then what all will come to."""
    keys = {name: key.key for name, key in workspace.job.keys.items() if name in pace.stages}
    graph = workspace.graph
    through = {name for name in keys if not issubclass(graph.stages[name], CorpusStep | GroupStage)}
    over = threading.Event()

    def watch() -> None:
        due, begun = FEW, 0
        while not over.wait(LOOK_SECONDS):
            listener.works(doing(workspace.job.store.files, keys))
            if len(pace.begun(through)) > begun:
                due, begun = FEW, len(pace.begun(through))
            if (finished := pace.through(through)) < due or pace.left()[0] < SOON:
                continue
            due = RARER * finished
            with contextlib.suppress(OSError, RunFailed):  # what went meanwhile is done again
                found = estimate(workspace.refreshed())
                if found is not None and not over.is_set():
                    listener.estimated(found)

    if not keys:
        yield
        return
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(LOOK_SECONDS)  # a large folder takes long to look at


def remember_speeds(workspace: Workspace, pace: Pace, kind: str) -> None:
    """Keep how long the units of a run took, by its kind of runner, for the estimates of later ones."""
    seconds = {workspace.job.keys[name].key: took for name, took in pace.unit_seconds().items()}
    if seconds:
        with contextlib.suppress(OSError):  # a full disk: the next estimate does without
            keep_speeds(workspace.job.store, Speeds(runner=kind, seconds=seconds))
