"""A worker's memory on a long video."""

from pathlib import Path

import pytest

from benchmarks.speed.memory import Peak, long_video, peaks
from tests.runs import ROOT
from tests.stages.real_media import made

SHORT, LONG = 0.25, 2.0


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[float, Path]:
    """Videos of a quarter of an hour and of two; nobody speaks in them, so that the test is over soon."""
    folder = tmp_path_factory.mktemp("long")
    silence = made(folder / "silence.wav", "-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-t", "60")
    return {hours: long_video(hours, silence, folder) for hours in (SHORT, LONG)}


def found(stage: str, videos: dict[float, Path], folder: Path) -> tuple[Peak, Peak]:
    short, long = peaks(ROOT / "configs" / "demo.yaml", ["sample.decode=keyframes"], videos, folder, stages=[stage])
    assert (short.failed, long.failed) == ("", "")
    return short, long


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_sampling_two_hours_of_1080p_takes_under_two_gibibytes_and_little_more_than_a_quarter_of_an_hour(
    videos: dict[float, Path], tmp_path: Path
) -> None:
    short, long = found("sample", videos, tmp_path)
    assert long.with_children_mebibytes < 2048
    assert long.with_children_mebibytes - short.with_children_mebibytes < 300  # the JPEGs that are kept


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_sound_of_two_hours_is_not_held_in_memory(videos: dict[float, Path], tmp_path: Path) -> None:
    short, long = found("transcribe", videos, tmp_path)
    assert long.with_children_mebibytes < 2048
    assert long.with_children_mebibytes - short.with_children_mebibytes < 100  # the whole sound is 220 MiB
