"""HTM-Align's protocol over features that are made to hit and to miss."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.bench.htm_align import htm_align
from pipeline.cli import app
from storyloom.errors import UsageError

SECONDS = np.eye(10)
"""A video of ten seconds that look like nothing but themselves."""

TRUTH = {
    "first": [[1, 2.3, 4.2, "stir"], [1, 6.0, 7.0, "pour"], [0, 8.0, 9.0, "hello"]],
    "second": [[1, 1.5, 2.5, "cut"], [0, 0.0, 1.0, "bye"]],
}


def looks_like(second: int, strength: float) -> np.ndarray:
    """A sentence's features: of unit length, and so similar to that second."""
    found = np.zeros(11)
    found[second], found[10] = strength, np.sqrt(1 - strength**2)
    return found


TEXTS = {
    # Best at 5 s, the last bin that [floor(2.3), ceil(4.2)] holds; at 8 s, one too late; not alignable, and not sure.
    "first": np.stack([looks_like(5, 0.9), looks_like(8, 0.8), looks_like(3, 0.4)]),
    # Best at 1 s, the first bin of [floor(1.5), ceil(2.5)]; not alignable, but surer than the second sentence above.
    "second": np.stack([looks_like(1, 0.7), looks_like(6, 0.75)]),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One video's features packed, the other's as two files."""
    video = np.hstack([SECONDS, np.zeros((10, 1))])
    np.savez(tmp_path / "first.npz", video=video, text=TEXTS["first"])
    np.save(tmp_path / "second.video.npy", video)
    np.save(tmp_path / "second.text.npy", TEXTS["second"])
    (tmp_path / "htm_align.json").write_text(json.dumps(TRUTH))
    return tmp_path


def test_a_hit_is_a_best_second_between_floor_of_start_and_ceiling_of_end(folder: Path) -> None:
    found = htm_align(folder, folder / "htm_align.json")
    assert (found.videos, found.sentences, found.alignable) == (2, 5, 3)
    assert found.recall == pytest.approx(2 / 3)


def test_auc_compares_the_best_similarity_of_sentences_that_can_be_aligned_with_the_others(folder: Path) -> None:
    # Of 3 x 2 pairs only (0.7, 0.75) is in the wrong order.
    assert htm_align(folder, folder / "htm_align.json").auc == pytest.approx(5 / 6)


def test_cosine_takes_no_notice_of_length_and_dot_product_does(folder: Path) -> None:
    np.savez(
        folder / "first.npz",
        video=np.hstack([SECONDS, np.zeros((10, 1))]) * np.arange(1, 11)[:, None],
        text=np.stack([looks_like(5, 0.5) + 0.4 * np.eye(11)[9], looks_like(8, 0.8), looks_like(3, 0.4)]),
    )
    cosine = htm_align(folder, folder / "htm_align.json")
    dot = htm_align(folder, folder / "htm_align.json", dot=True)
    assert cosine.recall == pytest.approx(2 / 3)
    assert dot.recall == pytest.approx(1 / 3)


def test_features_of_another_number_of_sentences_are_refused(folder: Path) -> None:
    np.save(folder / "second.text.npy", TEXTS["second"][:1])
    with pytest.raises(UsageError, match=r"video second have shapes .* expected \(seconds, width\) and \(2, width\)"):
        htm_align(folder, folder / "htm_align.json")


def test_a_video_without_features_is_named(folder: Path) -> None:
    (folder / "first.npz").unlink()
    with pytest.raises(UsageError, match="no features of video first"):
        htm_align(folder, folder / "htm_align.json")


def test_pickled_features_are_refused(folder: Path) -> None:
    np.save(folder / "second.text.npy", np.array([{"a": 1}, {"b": 2}], dtype=object), allow_pickle=True)
    with pytest.raises(UsageError, match="no features of video second"):
        htm_align(folder, folder / "htm_align.json")


def test_annotations_of_another_shape_are_refused(folder: Path) -> None:
    (folder / "htm_align.json").write_text('{"first": [["yes", 1.0]]}')
    with pytest.raises(UsageError, match="not HTM-Align's JSON"):
        htm_align(folder, folder / "htm_align.json")


def test_the_command_prints_percent_as_published(folder: Path) -> None:
    result = CliRunner().invoke(app, ["bench", "htm-align", str(folder), str(folder / "htm_align.json")])
    assert result.exit_code == 0
    assert "| 2 | 5 | 3 | 66.7 | 83.3 |" in result.output
