"""A flood of cuts gives a bounded row: an even share of its frames, and a word of the others."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.rows import FramesRow, SampledFrame
from stages.sample.stage import SampleConfig, SampleFrames
from stages.sample.thinning import Most, Thinned, evenly
from tests.stages.real_media import context, made, run

SECONDS = 70
"""Of the flood: a minute and some."""

UNBOUNDED = 10_000


@pytest.fixture(scope="module")
def flood(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cut every half second."""
    picture = f"testsrc2=s=64x64:r=4:d={SECONDS},negate=enable='mod(floor(t*2),2)'"
    return made(tmp_path_factory.mktemp("flood") / "flood.mp4", "-f", "lavfi", "-i", picture)


def sampled(media: Path, **config: Any) -> FramesRow:
    row = run(SampleFrames(SampleConfig.model_validate(config), context()), media)
    assert isinstance(row, FramesRow)
    return row


def most(per_minute: int = UNBOUNDED, frames: int = UNBOUNDED, size: int = UNBOUNDED) -> Most:
    return Most(per_minute, frames, size)


def thinned(times: list[float], bounds: Most, jpeg: bytes = b"jpeg") -> tuple[list[float], list[bytes], int]:
    found = Thinned(bounds)
    for time in times:
        found.add(SampledFrame(time=time, start=time, scene=0, width=1, height=1, black=0, sharpness=0), jpeg)
    frames, jpegs = found.finished()
    return [frame.time for frame in frames], jpegs, found.left_out


def test_a_flood_keeps_an_even_share_of_each_minute_and_says_so(flood: Path) -> None:
    row = sampled(flood, max_per_minute=12)
    first = [frame.time for frame in row.frames if frame.time < 60]
    assert len(first) == 12
    assert [later - earlier for earlier, later in pairwise(first)] == pytest.approx([5.0] * 11, abs=0.6)
    assert "frames_thinned" in row.warnings
    everything = sampled(flood, max_per_minute=UNBOUNDED)
    assert row.thinned == row.counts()["frames_dropped.thinned"] == len(everything.frames) - len(row.frames) > 100
    assert not everything.warnings


def test_each_kept_frame_stays_beside_its_own_jpeg(flood: Path) -> None:
    everything = sampled(flood, max_per_minute=UNBOUNDED)
    by_time = {frame.time: jpeg for frame, jpeg in zip(everything.frames, everything.jpegs, strict=True)}
    few = sampled(flood, max_frames=7)
    assert [by_time[frame.time] for frame in few.frames] == few.jpegs
    assert len(few.jpegs) == 7


def test_the_bytes_of_a_video_s_pictures_are_bounded() -> None:
    times, jpegs, left_out = thinned([float(n) for n in range(100)], most(size=1000), bytes(100))
    assert (len(times), sum(map(len, jpegs)), left_out) == (10, 1000, 90)


def test_a_video_within_the_bounds_loses_nothing() -> None:
    times = [float(n) for n in range(0, 600, 4)]
    assert thinned(times, most(15, len(times), 4 * len(times))) == (times, [b"jpeg"] * len(times), 0)


@given(st.integers(0, 300), st.integers(1, 40))
def test_an_even_share_is_in_order_and_parts_by_at_most_one_step_more(count: int, bound: int) -> None:
    found = evenly(range(count), bound)
    assert len(found) == min(count, bound)
    steps = {later - earlier for earlier, later in pairwise(found)}
    assert not steps or max(steps) - min(steps) <= 1
