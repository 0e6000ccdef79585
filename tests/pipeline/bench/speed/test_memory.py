"""A worker's memory on a long video."""

from pathlib import Path

import pytest

from pipeline.bench.speed.memory import long_video, peaks
from tests.runs import ROOT

ROOM_MEBIBYTES = 300.0
"""By which two hours may take more than a quarter of an hour: the JPEGs that are kept."""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_sampling_two_hours_of_1080p_takes_under_two_gibibytes_and_hardly_more_than_a_quarter_of_an_hour(
    tmp_path: Path,
) -> None:
    videos = {hours: long_video(hours, ROOT / "demo" / "narrated.mp4", tmp_path) for hours in (0.25, 2.0)}
    short, long = peaks(
        ROOT / "configs" / "demo.yaml", ["sample.decode=keyframes"], videos, tmp_path, stages=["sample"]
    )
    assert (short.failed, long.failed) == ("", "")
    assert long.with_children_mebibytes < 2048
    assert long.with_children_mebibytes - short.with_children_mebibytes < ROOM_MEBIBYTES
