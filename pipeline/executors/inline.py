"""The inline runner: everything in this process, one part after the other. For tests, debugging and small jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.execute import Job, run_part
from pipeline.executors.executor import OnDone
from pipeline.groups import done_mark, write_group
from pipeline.profile import Clock
from stages.base import Stage
from stages.registry import WRITE


class InlineRunner:
    """Brings each part as far as it goes before the next one starts."""

    overlaps = False

    def __init__(self) -> None:
        self._ready: dict[tuple[str, str], Stage[Any, Any]] = {}
        self._clock = Clock()

    def rows(self, job: Job, stages: Sequence[str], parts: Sequence[str], on_done: OnDone) -> None:
        """See `Runner.rows`."""
        done = {name: job.store.done(name, job.digests[name]) for name in stages}
        for part in parts:
            for name in stages:
                if part in done[name]:
                    continue
                run_part(job, self._stage(job, name), part, self._clock)
                on_done(name, part)

    def write(self, job: Job, groups: dict[str, tuple[str, ...]], on_done: OnDone) -> None:
        """See `Runner.write`."""
        for group, parts in groups.items():
            if not done_mark(job, group).exists():
                write_group(job, group, parts, self._clock)
                on_done(WRITE, group)

    def _stage(self, job: Job, name: str) -> Stage[Any, Any]:
        """Set up once for the whole run: models are loaded once, whatever waves there are."""
        key = (name, job.digests[name])
        if key not in self._ready:
            with self._clock.setting_up():
                self._ready[key] = job.ready_stage(name)
        return self._ready[key]
