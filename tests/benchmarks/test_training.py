"""What benchmarks.training compares is what docs/training.md says."""

from __future__ import annotations

from collections import Counter

import numpy as np

from benchmarks.training import SHIFT, difference, moved, whole
from examples.train import Vocabulary
from storyloom.reader import Frame, Text
from tests.examples.test_train import told

COLOURS = [0, 1, 2, 3, 0, 1, 2, 2]


def test_shifted_sentences_stand_six_places_earlier_and_go_round() -> None:
    document = told(0, COLOURS)
    shifted = moved(document, Text)
    said = [text.text for text in document.texts]
    assert [text.text for text in shifted.texts] == said[SHIFT:] + said[:SHIFT]
    assert shifted.frames == document.frames
    assert [type(item) for item in shifted.items] == [type(item) for item in document.items]


def test_shifting_keeps_every_token_and_its_count() -> None:
    document = told(0, COLOURS)
    vocabulary = Vocabulary([document])

    def tokens(kind: type[Frame | Text] | None) -> Counter[int]:
        piece = whole(moved(document, kind) if kind else document, vocabulary)
        return Counter(np.concatenate([one.ids for one in piece.items]).tolist())

    assert tokens(Text) == tokens(Frame) == tokens(None)


def test_moved_frames_leave_the_sentences_in_their_order() -> None:
    document = told(0, COLOURS)
    wrong = moved(document, Frame)
    assert wrong.texts == document.texts
    assert [frame.time for frame in wrong.frames] == [frame.time for frame in document.frames[SHIFT:]] + [
        frame.time for frame in document.frames[:SHIFT]
    ]


def test_a_difference_that_is_the_same_everywhere_has_no_width() -> None:
    draw = np.random.default_rng(0)
    tokens = draw.integers(10, 20, (6, 3)).astype(float)
    less = np.stack([np.stack([draw.random((6, 3)), tokens], -1)] * 4)
    more = less.copy()
    more[..., 0] += 0.25 * tokens
    found = difference("same", 1, more, less, ["a", "a", "b", "b", "c", "c"])
    assert np.allclose([found.mean, found.low, found.high], 0.25)
    assert found.kind == "visual"


def test_the_interval_is_over_videos_not_over_their_documents() -> None:
    less = np.ones((3, 8, 3, 2))
    more = less.copy()
    more[:, :4, :, 0] += 1.0  # a video that differs in all its documents, and one that does not
    found = difference("two videos", 0, more, less, ["a"] * 4 + ["b"] * 4)
    assert (found.mean, found.low, found.high) == (0.5, 0.0, 1.0)
