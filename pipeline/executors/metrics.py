"""Prometheus metrics of workers, exported through Ray's endpoint; configs/cluster/grafana.json plots them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.store import Mark

PART_SECONDS = [0.1, 1.0, 10.0, 60.0, 300.0, 1800.0, 7200.0]
"""Upper bounds of the histogram of seconds per part."""


class StageMetrics:
    """Counters of one worker of a stage; Ray's agent adds the node and exports them all."""

    def __init__(self, stage: str) -> None:
        from ray.util.metrics import Counter, Histogram

        tags = {"stage": stage}
        self._parts = Counter("storyloom_parts", "Parts that a stage finished.", ("stage",))
        self._videos = Counter("storyloom_videos", "Videos of finished parts, by outcome.", ("stage", "outcome"))
        self._media = Counter("storyloom_media_seconds", "Seconds of media in finished parts.", ("stage",))
        self._seconds = Histogram("storyloom_part_seconds", "Seconds that a part took.", PART_SECONDS, ("stage",))
        for metric in (self._parts, self._videos, self._media, self._seconds):
            metric.set_default_tags(tags)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Time the work on a part."""
        began = time.monotonic()
        yield
        self._seconds.observe(time.monotonic() - began)

    def count(self, done: Mark, media_seconds: float) -> None:
        """Count a finished unit."""
        self._parts.inc()
        outcomes = {
            "live": done.live,
            "failed": sum(done.failed.values()),
            "dropped": sum(done.dropped.values()),
        }
        for outcome, videos in outcomes.items():
            if videos:
                self._videos.inc(videos, {"outcome": outcome})
        if media_seconds:
            self._media.inc(media_seconds)
