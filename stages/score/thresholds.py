"""Thresholds that are stated for image-text models, where a run has too few unrelated pairs to find one.

Similarities of different models have different scales, so a model that is not listed has none.
"""

from __future__ import annotations

from schemas.calibration import StatedThreshold
from stages.models.demo import DEMO

CLIP_PER_NAT = 0.015
"""`StatedThreshold.per_nat` of OpenAI's models: their unrelated pairs lie closer together than the demo model's, with a
standard deviation of about 0.03 (our choice; not measured here)."""

LAION = StatedThreshold(
    source="LAION-5B dropped English pairs below it by OpenAI's ViT-B/32 (Schuhmann et al. 2022)",
    thresholds=[0.28],
    per_nat=CLIP_PER_NAT,
)

MMC4 = StatedThreshold(
    source="MMC4 dropped images below it with every sentence by OpenAI's ViT-L/14 (Zhu et al. 2023)",
    thresholds=[0.15],
    per_nat=CLIP_PER_NAT,
)

STATED = {
    DEMO: StatedThreshold(
        source="measured on photos of Flickr8k that it was not fitted on: its MODEL_CARD.md",
        rates=[0.01, 0.05, 0.1, 0.25, 0.5],
        thresholds=[0.315, 0.204, 0.149, 0.066, -0.012],
        per_nat=0.05,
    ),
    "ViT-B-32/openai": LAION,
    "ViT-B-32-quickgelu/openai": LAION,
    "ViT-L-14/openai": MMC4,
    "ViT-L-14-quickgelu/openai": MMC4,
}
"""By the model, and after a slash by the tag of its weights."""


def scored_by(model: str, revision: str) -> str:
    """The model of a row of scores, with the tag of its weights where it has one: a key of `STATED`.

    Args:
        model: `ScoresRow.model`.
        revision: `ScoresRow.revision`, which begins with the model and the tag for a model of open_clip's own.
    """
    named = f"{model}/"
    return named + revision.removeprefix(named).partition(",")[0] if revision.startswith(named) else model
