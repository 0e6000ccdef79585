"""A video with its own narration comes apart from the same pictures with another's."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.bench.narration import NarrationResult, bench_narration, markdown
from storyloom.errors import UsageError
from tests.runs import ROOT, SHARED, demo_config

LIVE = SHARED / "real" / "perspective-video.mp4"
DEMO = ROOT / "demo" / "narrated.mp4"
NARRATED = SHARED / "narrated" / "flickr_narrated_12.mp4"
MISMATCHED = SHARED / "narrated" / "flickr_narrated_12_mismatched.mp4"


def measured(files: list[Path], folder: Path) -> dict[tuple[str, str], NarrationResult]:
    config = demo_config(folder)
    scratch = folder / "scratch"
    scratch.mkdir(parents=True)
    return {(one.picture, one.narration): one for one in bench_narration(files, config, scratch)}


def comes_apart(right: NarrationResult, wrong: NarrationResult) -> None:
    assert right.similarity is not None
    assert wrong.similarity is not None
    assert right.similarity > wrong.similarity + 0.05
    assert right.kept / right.frames > wrong.kept / wrong.frames + 0.3


@pytest.mark.slow
@pytest.mark.skipif(not LIVE.exists() or not NARRATED.exists(), reason="needs ../shared/data/real and narrated")
def test_live_action_comes_apart_from_itself_with_a_wrong_narration(tmp_path: Path) -> None:
    found = measured([LIVE, NARRATED], tmp_path)
    comes_apart(found[LIVE.name, LIVE.name], found[LIVE.name, NARRATED.name])
    comes_apart(found[NARRATED.name, NARRATED.name], found[NARRATED.name, LIVE.name])
    assert len(list(markdown(list(found.values())))) == 2 + 4


@pytest.mark.slow
@pytest.mark.skipif(not NARRATED.exists(), reason="needs ../shared/data/narrated")
def test_narrated_photos_come_apart_from_the_same_narration_over_other_photos(tmp_path: Path) -> None:
    right = measured([NARRATED, DEMO], tmp_path / "right")[NARRATED.name, NARRATED.name]
    wrong = measured([MISMATCHED, DEMO], tmp_path / "wrong")[MISMATCHED.name, MISMATCHED.name]
    comes_apart(right, wrong)
    assert right.confidence > 0.8
    assert wrong.confidence < 0.5


def test_a_single_video_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two or more videos"):
        bench_narration([DEMO], demo_config(tmp_path), tmp_path)
