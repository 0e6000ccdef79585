"""Clips of longer files: the columns `start` and `end`."""

from __future__ import annotations

import math
import re

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.manifest.batch import safe_text
from storyloom.format.model import to_milliseconds

NONE = -1.0
"""Stands for the start or the end of the file."""

_CLOCK = re.compile(r"(?:(\d{1,4}):)?(\d{1,4}):(\d{1,2}(?:\.\d+)?)")


def clip_seconds(starts: pa.Array, ends: pa.Array, problems: dict[int, str]) -> tuple[list[float], list[float]]:
    """Start and end of each line in seconds, `NONE` where it has none; a line with wrong ones gets a problem."""
    if not any(pc.any(pc.not_equal(column, "")).as_py() for column in (starts, ends)):
        return [NONE] * len(starts), [NONE] * len(starts)
    found: tuple[list[float], list[float]] = ([], [])
    for number, (start, end) in enumerate(zip(starts.to_pylist(), ends.to_pylist(), strict=True)):
        try:
            clip = _seconds(start, "start"), _seconds(end, "end")
        except ValueError as reason:
            problems.setdefault(number, str(reason))
            clip = NONE, NONE
        if NONE < clip[1] <= max(clip[0], 0.0):
            problems.setdefault(number, f"its end {end.strip()} is not after its start {start.strip() or 0}")
        found[0].append(clip[0])
        found[1].append(clip[1])
    return found


def _seconds(text: str, name: str) -> float:
    text = text.strip()
    written = text.isascii() and "_" not in text  # Python reads more as numbers
    if not text:
        return NONE
    try:
        if written and (clock := _CLOCK.fullmatch(text)):
            hours, minutes, seconds = (float(one or 0) for one in clock.groups())
            return to_milliseconds(3600 * hours + 60 * minutes + seconds)
        seconds = float(text) if written else math.nan
    except ValueError:
        seconds = math.nan
    if not 0.0 <= seconds < 1e9:  # noqa: PLR2004 - 30 years
        raise ValueError(f"its {name} {safe_text(text, 40)[0]!r} is no time in the file: give seconds, or H:MM:SS")
    return to_milliseconds(seconds)


def clip_id(url: str, start: float, end: float) -> str:
    """The default id: the published URL, of a clip with its times as a fragment (W3C's Media Fragments URI 1.0)."""
    if start == end == NONE:
        return url
    times = ["" if time == NONE else f"{time:.3f}".rstrip("0").rstrip(".") for time in (start, end)]
    return f"{url}#t={times[0]}{',' + times[1] if times[1] else ''}"
