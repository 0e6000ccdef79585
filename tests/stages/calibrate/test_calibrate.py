"""calibrate: null scores are pooled, and where they are few the model's stated threshold takes their place."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.calibration import ENOUGH, Calibration
from schemas.rows import ScoresRow
from stages.base import Video
from stages.calibrate.stage import Calibrate, CalibrateConfig, NullScoresRow
from stages.score.thresholds import STATED, scored_by
from tests.stages.rows import CONTEXT, KEY, MANIFEST

OPENAI = "ViT-B-32/openai, timm/vit_base_patch32_clip_224.openai@0123abc"


def calibrated(null: list[float], model: str = "demo", revision: str = "0123456789abcdef") -> Calibration:
    stage = Calibrate(CalibrateConfig(), CONTEXT)
    row = stage.one(Video(MANIFEST, [ScoresRow(video=KEY, model=model, revision=revision, null_similarity=null)]))
    return stage.reduce([row])


@pytest.mark.parametrize(
    ("model", "revision", "name"),
    [
        ("demo", "0123456789abcdef", "demo"),
        ("ViT-B-32", OPENAI, "ViT-B-32/openai"),
        ("ViT-B-32", "ViT-B-32/sha256:0123456789abcdef", "ViT-B-32/sha256:0123456789abcdef"),
        ("local-dir:/models/one", "sha256:0123456789abcdef", "local-dir:/models/one"),
        ("hf-hub:owner/name", "owner/name@0123abc", "hf-hub:owner/name"),
    ],
)
def test_the_model_of_scores_is_named_with_the_tag_of_its_weights(model: str, revision: str, name: str) -> None:
    assert scored_by(model, revision) == name


def test_few_null_scores_give_the_threshold_that_is_stated_for_the_model() -> None:
    found = calibrated([0.1] * (ENOUGH - 1))
    assert (found.basis, found.model, found.stated) == ("model", "demo", STATED["demo"])
    assert found.threshold(0.05) == pytest.approx(0.204, abs=0.01)
    assert calibrated([0.1], "ViT-B-32", OPENAI).threshold(0.01) == 0.28


def test_enough_null_scores_give_their_own_threshold() -> None:
    found = calibrated(np.linspace(0.0, 1.0, ENOUGH).tolist())
    assert found.basis == "calibrated"
    assert found.threshold(0.1) == pytest.approx(0.9, abs=0.01)
    assert Calibrate.notes(found) == []


def test_a_model_without_a_stated_threshold_has_none() -> None:
    found = calibrated([0.1], "ViT-B-32", "ViT-B-32/laion2b_s34b_b79k, laion/CLIP-ViT-B-32@0123abc")
    assert (found.basis, found.threshold(0.05)) == ("none", -1.0)


def test_what_the_threshold_rests_on_is_told() -> None:
    (of_model,) = Calibrate.notes(calibrated([0.1]))
    assert of_model.startswith("unrelated pairs are too few to calibrate a threshold (1, under 50)")
    assert "the one stated for score.model 'demo' is used" in of_model
    (of_paper,) = Calibrate.notes(calibrated([], "ViT-B-32", OPENAI))
    assert "filter.false_accept_rate has no part" in of_paper
    (unknown,) = Calibrate.notes(calibrated([], "hf-hub:owner/name", "owner/name@0123abc"))
    assert "none is known for score.model 'hf-hub:owner/name'" in unknown


def test_where_nothing_was_scored_there_is_nothing_to_tell() -> None:
    assert Calibrate.notes(Calibrate(CalibrateConfig(), CONTEXT).reduce(list[NullScoresRow]())) == []
