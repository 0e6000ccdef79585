"""The timing of the assignment is of a video of the size that was asked for."""

from pipeline.bench.assign import bench_assign


def test_the_video_has_the_size_that_was_asked_for() -> None:
    measured = bench_assign(sentences=20, frames=72)
    assert (measured.sentences, measured.frames) == (20, 72)
    assert 72 <= measured.pairs <= 72 * 20


def test_more_frames_have_more_pairs() -> None:
    assert bench_assign(20, 144).pairs > bench_assign(20, 72).pairs
