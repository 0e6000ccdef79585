"""The order of the work: groups of parts in waves, and inside a wave the longest media first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.execute import Job

MOST_GROUPS = 64
"""Groups in a wave: near 5,000 parts, since Ray Data keeps about 2 kB per part until its work ends (our choice)."""


def waves(parts: Sequence[str], group: int) -> Iterator[tuple[str, ...]]:
    """Cut parts into waves of whole groups: one group first, then twice as many each time, up to `MOST_GROUPS`.

    So the calibration comes early. While one wave is worked on, the next is downloaded and the last one written.
    """
    start, groups = 0, 1
    while start < len(parts):
        yield tuple(parts[start : start + groups * group])
        start, groups = start + groups * group, min(2 * groups, MOST_GROUPS)


def longest_first(job: Job, parts: Sequence[str]) -> list[str]:
    """Parts by the length of their media, as far as it is known: a long one that starts last is waited for alone."""
    seconds = {part: media_seconds(job, part) for part in parts}
    return sorted(parts, key=lambda part: (-seconds[part], part))


def media_seconds(job: Job, part: str) -> float:
    """Seconds of media in a part; 0.0 until it is downloaded."""
    store, digest = job.store, job.digests["download"]
    if not store.is_done("download", digest, part):
        return 0.0
    return store.metrics("download", digest, part).counts.get("media_ms", 0) / 1000
